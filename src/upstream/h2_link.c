/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_link.c - a connection that many exchanges share: its bytes, and its end.
 *
 * The end always comes where nobody is in the middle of anything: on the writer's fiber when it has
 * nothing left to send (settle).  Exchanges on it have been told by then.
 */
#include "upstream/h2_link.h"

#include "runtime/fiber.h"
#include "upstream/conn.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WINDOW_BYTES = 128 * 1024, /* unread bytes of one answer */
    READS_MAX = 8,             /* buffers in a row, before others get their turn */
    SEND_US = 30000000,        /* a server that takes nothing for so long is lost */
    TURN_US = 50000,           /* before other workers have theirs, where connections are limited */
    NO_FIBER_US = 100000,
};

static void receive(struct h2_link *link);

/* ------------------------------------------------------------------ the end */

uint32_t
h2_link_busy(const struct h2_link *link)
{
    return link->streams;
}

bool
h2_link_has_room(const struct h2_link *link)
{
    uint32_t theirs = nghttp2_session_get_remote_settings(link->session,
                                                          NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    uint32_t taken = link->streams + link->promised;

    return !link->leaving && !link->over && taken < link->most && taken < theirs &&
           (!link->max_requests || link->conn->requests + link->promised < link->max_requests) &&
           nghttp2_session_check_request_allowed(link->session);
}

void
h2_link_leave(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    if (link->leaving)
        return;
    link->leaving = true;
    list_remove(&c->link);
    timer_clear(&loop_self()->timers, &c->idle);
    h2_link_wake(link);
}

/* The connection is gone: what of it concerns a call.  Orderly: the server's end has come, and with
 * it the acknowledgement of all that its kernel had received; or nothing has come for so long that
 * there was time for one. */
static void
tell(const struct h2_link *link, struct h2_call *call, bool orderly)
{
    if (link->broken)
        h2_call_blame(call);
    call->refused = !nghttp2_session_find_stream(link->session, call->id) ||
                    (orderly && server_conn_unseen(link->conn, call->sent_before));
    h2_call_close(call);
}

/* Everybody on it hears that it is gone.  Orderly: what the server's kernel has acknowledged is all
 * that it has seen. */
static void
lose(struct h2_link *link, bool orderly)
{
    struct list *at;

    if (link->over)
        return;
    if (link->streams == 0 && !link->leaving)
        server_learn_idle(link->conn->server, loop_now_us() - link->conn->idle_since_us);
    h2_link_leave(link);
    link->over = true;
    io_cancel(&link->readable);
    while ((at = list_pop(&link->calls)))
        tell(link, list_entry(at, struct h2_call, in_link), orderly);
    /* Last, because the writer may run at once, and end it. */
    if (!link->writer)
        h2_link_wake(link);
    else if (link->writer != fiber_self())
        fiber_cancel(link->writer, ERR_CANCELLED);
}

void
h2_link_lose(struct h2_link *link)
{
    list_each (at, &link->calls) {
        struct h2_call *call = list_entry(at, struct h2_call, in_link);

        if (!call->why)
            call->why = "no answer to a PING";
    }
    lose(link, true);
}

static void
end(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    io_cancel(&link->readable);
    h2_pulse_end(link);
    nghttp2_session_del(link->session);
    free(link);
    c->h2 = NULL;
    server_conn_close(c);
}

/* On the writer's fiber, which has nothing to send. */
static void
settle(struct h2_link *link)
{
    if (!link->over && link->leaving && link->streams == 0 && !link->goodbye) {
        link->goodbye = true;
        (void) nghttp2_session_terminate_session(link->session, NGHTTP2_NO_ERROR);
        h2_link_wake(link);
    } else if (!link->over && !nghttp2_session_want_read(link->session) &&
               !nghttp2_session_want_write(link->session)) {
        lose(link, false); /* our goodbye has left; streams that a broken connection still has
                            * would wait for ever */
    }
    if (link->over && !link->reading && !link->writer && !link->promised)
        end(link);
}

void
h2_link_promise(struct h2_link *link)
{
    link->promised++;
}

bool
h2_link_redeem(struct h2_link *link)
{
    bool good = !link->over && !link->leaving;

    link->promised--;
    if (link->over)
        h2_link_wake(link);
    return good;
}

static void
on_idle_timeout(struct timer *t)
{
    h2_link_leave(container_of(t, struct server_conn, idle)->h2);
}

static void
rest(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    c->idle_since_us = loop_now_us();
    c->idle.fire = on_idle_timeout;
    timer_set(&loop_self()->timers, &c->idle, c->idle_since_us + link->idle_us);
}

static bool
had_turn(const struct h2_link *link)
{
    return link->streams == 0 || loop_now_us() >= link->conn->made_us + TURN_US;
}

void
h2_link_freed(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    link->streams--;
    if (link->leaving) {
        h2_link_wake(link);
    } else if (had_turn(link) && line_is_led_elsewhere(c->server)) {
        /* Its streams are of no use there, its place is. */
        h2_link_leave(link);
    } else {
        if (link->streams == 0)
            rest(link);
        conn_share(c, 1);
    }
}

void
h2_link_settings(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    pool_of(c->server)->streams = nghttp2_session_get_remote_settings(
        link->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    conn_share(c, link->most);
}

/* ------------------------------------------------------------------ sending */

/* Frames into the buffer; one that does not fit is sent from where nghttp2 has it. */
static int
fill(struct h2_link *link, char *buffer, struct iovec iov[2])
{
    size_t used = 0;
    const uint8_t *at;
    ssize_t n;

    iov[1].iov_len = 0;
    while ((n = nghttp2_session_mem_send(link->session, &at)) > 0) {
        if ((size_t) n > BUFFER_SMALL_BYTES - used) {
            iov[1] = (struct iovec){(void *) at, (size_t) n};
            break;
        }
        memcpy(buffer + used, at, (size_t) n);
        used += (size_t) n;
    }
    iov[0] = (struct iovec){buffer, used};
    return n < 0 ? -1 : (int) (used + iov[1].iov_len > 0);
}

static void
write_all(struct h2_link *link, char *buffer)
{
    while (!link->over) {
        struct iovec iov[2];
        int more = fill(link, buffer, iov);

        if (more == 0)
            return;
        if (more < 0 ||
            sock_send(&link->conn->sock, iov, iov[1].iov_len ? 2 : 1, SEND_US) != OK)
            lose(link, false);
    }
}

static void
run(void *arg)
{
    struct h2_link *link = arg;
    char *buffer = buffer_take(BUFFER_SMALL);

    if (buffer) {
        write_all(link, buffer);
        buffer_give(BUFFER_SMALL, buffer);
    } else {
        lose(link, false);
    }
    link->writer = NULL;
    settle(link);
}

static void
on_try_again(struct timer *t)
{
    h2_link_wake(container_of(t, struct server_conn, idle)->h2);
}

void
h2_link_wake(struct h2_link *link)
{
    struct server_conn *c = link->conn;

    if (link->writer)
        return;
    link->writer = fiber_start("h2 to server", run, link);
    if (link->writer)
        return;
    /* Out of memory. */
    link->leaving = true;
    list_remove(&c->link);
    c->idle.fire = on_try_again;
    timer_set(&loop_self()->timers, &c->idle, loop_now_us() + NO_FIBER_US);
}

/* ------------------------------------------------------------------ receiving */

static void
feed(struct h2_link *link, const char *at, size_t n)
{
    ssize_t taken;

    h2_pulse_heard(link);
    taken = nghttp2_session_mem_recv(link->session, (const uint8_t *) at, n);
    if (taken < 0) {
        link->broken = taken != NGHTTP2_ERR_NOMEM;
        lose(link, false);
        return;
    }
    /* Not told to go, but done for: nghttp2 is about to say so (GOAWAY), then settle() ends it. */
    if (!link->leaving && !nghttp2_session_check_request_allowed(link->session)) {
        link->broken = true;
        h2_link_leave(link);
    }
    if (nghttp2_session_want_write(link->session))
        h2_link_wake(link);
}

static void
on_readable(struct io *io)
{
    struct h2_link *link = container_of(io, struct h2_link, readable);

    if (io->result == -ECANCELED)
        return;
    if (io->result < 0)
        lose(link, false);
    else
        receive(link);
}

/* True: there may be more at once. */
static bool
receive_some(struct h2_link *link)
{
    struct sock *sock = &link->conn->sock;
    char *buffer = buffer_take(BUFFER_MEDIUM);
    ssize_t n = buffer ? sock_recv_now(sock, buffer, BUFFER_MEDIUM_BYTES) : 0;

    if (n > 0)
        feed(link, buffer, (size_t) n);
    if (buffer)
        buffer_give(BUFFER_MEDIUM, buffer);
    if (n == IO_PENDING)
        return io_ready(sock, &link->readable, IO_READABLE, on_readable) >= 0;
    if (n <= 0)
        lose(link, buffer && n == 0);
    return n > 0;
}

static void
read_on(void *arg)
{
    receive(arg);
}

/* While `reading` is set it stays, though it may be over. */
static void
receive(struct h2_link *link)
{
    unsigned n = 0;

    link->reading = true;
    while (n < READS_MAX && !link->over && receive_some(link))
        n++;
    if (n == READS_MAX && !link->over && fiber_start("h2 from server", read_on, link))
        return; /* others first */
    link->reading = false;
    if (link->over)
        h2_link_wake(link);
    else if (n == READS_MAX)
        lose(link, false);
}

/* ------------------------------------------------------------------ beginning */

bool
h2_link_start(struct server_conn *c, const struct connections_config *config)
{
    struct h2_link *link = calloc(1, sizeof(*link));

    if (!link)
        return false;
    link->conn = c;
    link->idle_us = config->idle_timeout_us;
    link->most = (uint32_t) config->streams;
    link->max_requests = (uint64_t) config->max_requests;
    link->heard_us = loop_now_us();
    list_init(&link->calls);
    link->session = h2_frames_session(link, WINDOW_BYTES);
    if (!link->session) {
        free(link);
        return false;
    }
    c->h2 = link;
    list_append(&pool_of(c->server)->shared, &c->link);
    rest(link);
    /* Who made it goes first. */
    link->promised = 1;
    conn_share(c, link->most);
    link->promised--;
    h2_link_wake(link);
    receive(link);
    return true;
}
