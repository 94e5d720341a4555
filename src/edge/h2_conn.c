/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_conn.c - an HTTP/2 connection: bytes in, what it waits for, and its end.
 *
 * It begins on the fiber that client_serve() runs on and gives that back at once.  An idle one is a
 * struct h2_conn, nghttp2's session and tables, and an operation that waits for bytes.
 *
 * The end always comes on the writer's fiber (h2_settle), when all is sent and every exchange has
 * seen that it is over; so nobody else ever has to ask whether the connection is still there.
 */
#include "edge/h2.h"
#include "observe/log.h"

#include <errno.h>
#include <stdlib.h>

enum {
    READS_MAX = 8,         /* buffers in a row, before others get their turn */
    LEAVE_US = 500000,     /* between "go elsewhere" and the last word: requests on their way */
    NO_FIBER_US = 100000,
};

static void receive(struct h2_conn *h);
static void arm_timer(struct h2_conn *h);

static const struct listener_config *
config_of(const struct h2_conn *h)
{
    return h->client->listener->config;
}

const struct h2_options *
h2_options_of(const struct h2_conn *h)
{
    return &config_of(h)->http2;
}

bool
h2_is_preface(struct slice bytes)
{
    struct slice preface = slice_of(NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    size_t n = bytes.n < preface.n ? bytes.n : preface.n;

    return slice_eq(slice_first(bytes, n), slice_first(preface, n));
}

/* ------------------------------------------------------------------ the end */

void
h2_stop(struct h2_conn *h)
{
    h->stopped = true;
    io_cancel(&h->client->park);
    list_each (link, &h->streams)
        h2_stream_cancel(list_entry(link, struct h2_stream, link));
    h2_wake_writer(h);
}

/* The writer may run at once when it is cancelled, and end the connection. */
void
h2_lost(struct h2_conn *h)
{
    h->over = true;
    h2_stop(h);
    if (h->writer)
        fiber_cancel(h->writer, ERR_CANCELLED);
}

void
h2_try_later(struct h2_conn *h)
{
    timer_set(&loop_self()->timers, &h->client->timer, loop_now_us() + NO_FIBER_US);
}

/* Streams that nghttp2 knows still, but no fiber. */
static void
free_streams(struct h2_conn *h)
{
    struct list *link;

    while ((link = list_pop(&h->streams)))
        h2_stream_free(list_entry(link, struct h2_stream, link));
}

static void
end(struct h2_conn *h)
{
    struct client_conn *c = h->client;
    bool linger = !h->over;

    timer_clear(&loop_self()->timers, &c->timer);
    free_streams(h);
    nghttp2_session_del(h->session);
    free(h);
    c->session = NULL;
    c->fiber = fiber_self();
    list_remove(&c->link);
    list_push(&client_edge(c)->serving, &c->link);
    fiber_uncancel(c->fiber);
    client_close(c, linger);
}

void
h2_settle(struct h2_conn *h)
{
    bool ends = h->over || h->stopped ||
                (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session));

    if (!ends)
        return;
    if (!h->stopped)
        h2_stop(h);
    if (h->running == 0 && !h->reading && !h->writer)
        end(h);
}

/* ------------------------------------------------------------------ leaving */

void
h2_leave(struct h2_conn *h)
{
    if (h->leaving || h->stopped)
        return;
    h->leaving = true;
    h->leave_us = loop_now_us() + LEAVE_US;
    (void) nghttp2_submit_shutdown_notice(h->session);
    h2_wake_writer(h);
    arm_timer(h);
}

/* From here on nghttp2 ignores new requests, and the session ends with those that it has. */
static void
say_last_word(struct h2_conn *h)
{
    h->leaving = h->last_word = true;
    (void) nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                 nghttp2_session_get_last_proc_stream_id(h->session),
                                 NGHTTP2_NO_ERROR, NULL, 0);
    h2_wake_writer(h);
}

void
h2_drain_all(struct edge *e)
{
    list_each (link, &e->sessions)
        h2_leave(list_entry(link, struct client_conn, link)->session);
}

void
h2_cut_all(struct edge *e)
{
    list_each (link, &e->sessions)
        h2_lost(list_entry(link, struct client_conn, link)->session);
}

/* ------------------------------------------------------------------ timers */

/* Silence may last so long when no request is under way. */
static uint64_t
idle_us(const struct h2_conn *h)
{
    return h->client->requests ? config_of(h)->idle_timeout_us : config_of(h)->head_timeout_us;
}

/* When bytes last moved. */
static uint64_t
busy_us(const struct h2_conn *h)
{
    return h->active_us > h->moved_us ? h->active_us : h->moved_us;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void
on_timer(struct timer *t)
{
    struct h2_conn *h = container_of(t, struct client_conn, timer)->session;
    uint64_t now_us = loop_now_us();

    if (h->stopped || nghttp2_session_want_write(h->session))
        h2_wake_writer(h);
    if (h->stopped)
        return;
    if (h->head_us && now_us >= h->head_us + config_of(h)->head_timeout_us) {
        h2_calm(h, "listener.head_timeout");
        h2_stop(h);
        return;
    }
    if (!h->last_word && ((h->leaving && now_us >= h->leave_us) ||
                          (list_is_empty(&h->streams) && now_us >= busy_us(h) + idle_us(h))))
        say_last_word(h);
    arm_timer(h);
}

/* Set once and looked at when it fires: most timers of a busy connection would never have. */
static void
arm_timer(struct h2_conn *h)
{
    uint64_t now_us = loop_now_us(), at_us = now_us + idle_us(h);

    /* After the first request another patience counts. */
    if (h->client->requests == 0)
        at_us = earlier(at_us, now_us + config_of(h)->idle_timeout_us);
    else if (list_is_empty(&h->streams) && !h->last_word)
        at_us = busy_us(h) + idle_us(h);
    if (h->leaving && !h->last_word)
        at_us = earlier(at_us, h->leave_us);
    if (h->head_us)
        at_us = earlier(at_us, h->head_us + config_of(h)->head_timeout_us);
    h->client->timer.fire = on_timer;
    timer_set(&loop_self()->timers, &h->client->timer, at_us);
}

/* ------------------------------------------------------------------ receiving */

/* What nghttp2 cannot go on after; what it can, it has answered already. */
static void
fail(struct h2_conn *h, int error)
{
    uint32_t code = NGHTTP2_INTERNAL_ERROR;

    if (error == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        code = NGHTTP2_PROTOCOL_ERROR;
    else if (error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        code = NGHTTP2_ENHANCE_YOUR_CALM;
    if (!h->last_word) {
        h->leaving = h->last_word = true;
        log_info("client %.*s: HTTP/2 connection ended: %s", (int) h->client->peer_text_n,
                 h->client->peer_text, nghttp2_strerror(error));
        (void) nghttp2_session_terminate_session(h->session, code);
    }
    h2_stop(h);
}

static void
push(struct h2_conn *h, const char *from, const char *to)
{
    ssize_t rv = nghttp2_session_mem_recv(h->session, (const uint8_t *) from, (size_t) (to - from));

    if (rv < 0)
        fail(h, (int) rv);
}

/* All bytes go through the gate, frame by frame, to nghttp2, which gets them in as few pieces as
 * the gate's questions allow. */
static void
pass(struct h2_conn *h, struct slice bytes)
{
    const char *pushed = bytes.at, *end = bytes.at + bytes.n;
    struct h2_frame frame;

    while (!h->stopped && h2_walk_next(&h->walk, &bytes, &frame)) {
        size_t here = (size_t) (bytes.at - pushed);
        const char *head = here > H2_FRAME_HEAD_BYTES ? bytes.at - H2_FRAME_HEAD_BYTES : pushed;

        if (h2_gate_asks(h, &frame)) {
            push(h, pushed, head);
            pushed = head;
        }
        if (!h->stopped && !h2_gate_admit(h, &frame))
            h2_stop(h);
    }
    if (!h->stopped)
        push(h, pushed, end);
    if (h->calm_resets && !h->stopped) {
        h2_calm(h, "listener.http2.resets");
        h2_stop(h);
    }
}

static void
feed(struct h2_conn *h, struct slice bytes)
{
    bool had_head = h->head_us != 0;

    h->active_us = loop_now_us();
    pass(h, bytes);
    if (h->stopped)
        return;
    if (nghttp2_session_want_write(h->session) || !nghttp2_session_want_read(h->session))
        h2_wake_writer(h);
    if (h->head_us && !had_head)
        arm_timer(h);
}

static void
read_on(void *arg)
{
    struct h2_conn *h = arg;

    h->reading = false;
    if (h->stopped)
        h2_wake_writer(h);
    else
        receive(h);
}

static void
on_readable(struct io *io)
{
    struct h2_conn *h = container_of(io, struct client_conn, park)->session;

    if (io->result == -ECANCELED)
        return;
    if (io->result < 0)
        h2_lost(h);
    else
        receive(h);
}

/* True: there may be more at once. */
static bool
receive_some(struct h2_conn *h)
{
    struct client_conn *c = h->client;
    char *buffer = buffer_take(BUFFER_SMALL);
    ssize_t n;

    if (!buffer) {
        h2_lost(h);
        return false;
    }
    n = sock_recv_now(&c->sock, buffer, BUFFER_SMALL_BYTES);
    if (n > 0)
        feed(h, slice_of(buffer, (size_t) n));
    buffer_give(BUFFER_SMALL, buffer);
    if (n == IO_PENDING) {
        n = io_ready(&c->sock, &c->park, IO_READABLE, on_readable);
        return n >= 0;
    }
    if (n <= 0)
        h2_lost(h);
    return n > 0;
}

static void
receive(struct h2_conn *h)
{
    for (unsigned i = 0; i < READS_MAX; i++)
        if (h->stopped || !receive_some(h))
            return;
    if (h->stopped)
        return;
    /* Others first. */
    h->reading = fiber_start("h2 read", read_on, h) != NULL;
    if (!h->reading)
        h2_lost(h);
}

/* ------------------------------------------------------------------ beginning */

static struct h2_conn *
conn_new(struct client_conn *c)
{
    struct h2_conn *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->client = c;
    h->active_us = h->moved_us = loop_now_us();
    list_init(&h->streams);
    h2_walk_begin(&h->walk, H2_PREFACE_BYTES);
    h->session = h2_session_new(h);
    if (!h->session)
        free(take(&h));
    return h;
}

void
h2_start(struct client_conn *c)
{
    struct h2_conn *h = conn_new(c);
    struct slice early = slice_of(c->buffer + c->start, c->end - c->start);
    char *buffer;

    if (!h) {
        client_close(c, false);
        return;
    }
    client_unwatch(c);
    c->session = h;
    c->fiber = NULL;
    list_remove(&c->link);
    list_push(&client_edge(c)->sessions, &c->link);
    arm_timer(h);
    buffer = take(&c->buffer);
    feed(h, early);
    buffer_give(BUFFER_SMALL, buffer);
    if (client_edge(c)->draining)
        h2_leave(h);
    receive(h);
}
