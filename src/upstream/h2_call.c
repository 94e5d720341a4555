/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_call.c - one exchange on a connection that many share: a stream of HTTP/2.
 *
 * What the server sends of a body is copied into lent buffers until somebody pulls; its window
 * opens again only for what was pulled, so that a slow client holds back its own stream and no
 * other.
 */
#include "upstream/conn.h"
#include "upstream/h2_link.h"

#include "runtime/fiber.h"

/* ------------------------------------------------------------------ waiting */

void
h2_call_wake(struct h2_call *call)
{
    struct fiber *reader = take(&call->reader), *sender = take(&call->sender);

    if (reader)
        fiber_resume(reader);
    if (sender)
        fiber_resume(sender);
}

static enum err
wait_at(struct fiber **place, uint64_t deadline_us)
{
    enum err e;

    *place = fiber_self();
    e = fiber_sleep_until(deadline_us);
    if (e == OK && *place && loop_now_us() >= deadline_us)
        e = ERR_TIMEOUT;
    *place = NULL;
    return e;
}

enum err
h2_call_wait(struct h2_call *call, uint64_t deadline_us)
{
    return wait_at(&call->reader, deadline_us);
}

/* Bytes that came and were not given back; those that are lent too. */
static size_t
unread(const struct h2_call *call)
{
    size_t n = call->lent;

    for (const struct h2_piece *p = call->first; p; p = p->next)
        n += p->end - p->start;
    return n;
}

/* Nobody can tell nghttp2 of what is pulled later, so all of it is room for others from now on. */
void
h2_call_close(struct h2_call *call)
{
    struct h2_link *link = take(&call->link);
    size_t n = unread(call);

    call->closed = true;
    list_remove(&call->in_link);
    if (link && n)
        (void) nghttp2_session_consume_connection(link->session, n);
    h2_call_wake(call);
}

void
h2_call_blame(struct h2_call *call)
{
    if (call->why)
        return;
    call->malformed = true;
    call->why = "against the rules of HTTP/2";
}

/* ------------------------------------------------------------------ the request */

/* To be sent behind the last DATA; nghttp2 copies names and values. */
static int
submit_trailers(nghttp2_session *session, struct h2_call *call)
{
    const struct fields *f = call->out_trailers;
    nghttp2_nv *nv = arena_calloc(call->arena, f->n, sizeof(*nv));

    if (!nv)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    for (uint32_t i = 0; i < f->n; i++)
        nv[i] = (nghttp2_nv){(uint8_t *) f->at[i].name.at, (uint8_t *) f->at[i].value.at,
                             f->at[i].name.n, f->at[i].value.n, NGHTTP2_NV_FLAG_NONE};
    return nghttp2_submit_trailer(session, call->id, nv, f->n);
}

static ssize_t
read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
         nghttp2_data_source *source, void *link)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(session, id);
    struct slice bytes;

    (void) source, (void) link;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* given up */
    if (call->out.n == 0 && !call->out_last) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    bytes = slice_first(call->out, room);
    if (bytes.n)
        memcpy(to, bytes.at, bytes.n);
    call->out = slice_from(call->out, bytes.n);
    call->moved_us = loop_now_us();
    if (call->out.n == 0 && call->out_last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        call->out_ended = true;
        if (call->out_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(session, call) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    if (call->out.n == 0 && call->sender)
        fiber_resume(take(&call->sender));
    return (ssize_t) bytes.n;
}

enum err
h2_call_begin(struct h2_call *call, struct server_conn *c, struct arena *arena,
              const struct h2_request *request)
{
    nghttp2_data_provider source = {.read_callback = read_out};
    struct h2_link *link = c->h2;

    *call = (struct h2_call){
        .arena = arena,
        .moved_us = loop_now_us(),
        .out_ended = !request->has_body,
        .sent_before = c->sock.sent,
        .refused = true, /* until it is begun */
    };
    list_init(&call->in_link);
    if (link->broken)
        h2_call_blame(call);
    if (link->over || link->leaving)
        return ERR_RESET;
    if (request->has_body && request->whole) {
        call->out = request->body;
        call->out_last = true;
    }
    h2_pulse_begin(link);
    call->id = nghttp2_submit_request(link->session, NULL, request->fields, request->n,
                                      request->has_body ? &source : NULL, call);
    if (call->id < 0)
        return ERR_NO_MEMORY;
    call->refused = false;
    call->link = link;
    list_append(&link->calls, &call->in_link);
    link->streams++;
    timer_clear(&loop_self()->timers, &c->idle);
    h2_link_wake(link);
    return OK;
}

static void
go_on(struct h2_call *call)
{
    if (!call->deferred || !call->link)
        return;
    call->deferred = false;
    (void) nghttp2_session_resume_data(call->link->session, call->id);
    h2_link_wake(call->link);
}

enum err
h2_call_send(struct h2_call *call, struct slice chunk, uint64_t progress_us)
{
    call->out = chunk;
    call->moved_us = loop_now_us();
    go_on(call);
    while (call->out.n && !call->closed) {
        enum err e = wait_at(&call->sender, call->moved_us + progress_us);

        if (e == ERR_TIMEOUT && loop_now_us() < call->moved_us + progress_us)
            continue;
        if (e != OK) {
            call->out.n = 0;
            return e;
        }
    }
    call->out.n = 0;
    return call->closed && !call->ended ? ERR_RESET : OK;
}

enum err
h2_call_send_end(struct h2_call *call, const struct fields *trailers)
{
    if (!call->link)
        return call->ended ? OK : ERR_RESET;
    call->out_trailers = trailers && trailers->n ? trailers : NULL;
    call->out_last = true;
    go_on(call);
    return OK;
}

/* ------------------------------------------------------------------ the answer */

static size_t
room_of(const struct h2_piece *piece)
{
    return piece ? BUFFER_SMALL_BYTES - sizeof(*piece) - piece->end : 0;
}

static struct h2_piece *
add_piece(struct h2_call *call)
{
    struct h2_piece *piece = buffer_take(BUFFER_SMALL);

    if (!piece)
        return NULL;
    *piece = (struct h2_piece){0};
    if (call->last)
        call->last->next = piece;
    else
        call->first = piece;
    call->last = piece;
    return piece;
}

static void
free_first(struct h2_call *call)
{
    struct h2_piece *piece = call->first;

    call->first = piece->next;
    if (!call->first)
        call->last = NULL;
    buffer_give(BUFFER_SMALL, piece);
}

bool
h2_call_add(struct h2_call *call, struct slice bytes)
{
    while (bytes.n) {
        struct h2_piece *piece = room_of(call->last) ? call->last : add_piece(call);
        size_t n = room_of(piece);

        if (!piece)
            return false;
        n = n < bytes.n ? n : bytes.n;
        memcpy(piece->bytes + piece->end, bytes.at, n);
        piece->end += n;
        bytes = slice_from(bytes, n);
    }
    return true;
}

/* The server may send as much again. */
static void
consume(struct h2_call *call, size_t n)
{
    struct h2_link *link = call->link;

    if (!link || n == 0)
        return;
    (void) nghttp2_session_consume(link->session, call->id, n);
    if (nghttp2_session_want_write(link->session))
        h2_link_wake(link);
}

static void
give_back_lent(struct h2_call *call)
{
    size_t n = call->lent;

    if (n == 0)
        return;
    call->lent = 0;
    if (call->first->start == call->first->end)
        free_first(call);
    consume(call, n);
}

struct slice
h2_call_take(struct h2_call *call)
{
    struct h2_piece *piece;
    struct slice chunk;

    give_back_lent(call);
    piece = call->first;
    if (!piece)
        return (struct slice){NULL, 0};
    chunk = slice_of(piece->bytes + piece->start, piece->end - piece->start);
    piece->start = piece->end;
    call->lent = chunk.n;
    return chunk;
}

bool
h2_call_has_more(const struct h2_call *call)
{
    return call->first && (call->first->start < call->first->end || call->first->next);
}

/* ------------------------------------------------------------------ the end */

void
h2_call_suspect(struct h2_call *call, uint64_t since_us)
{
    if (call->link && call->link->heard_us < since_us)
        h2_link_leave(call->link);
}

void
h2_call_leave(struct h2_call *call)
{
    struct h2_link *link = take(&call->link);
    size_t n = unread(call);
    bool unsent;

    if (!link)
        return;
    list_remove(&call->in_link);
    unsent = !nghttp2_session_find_stream(link->session, call->id);
    (void) nghttp2_session_set_stream_user_data(link->session, call->id, NULL);
    if (n)
        (void) nghttp2_session_consume_connection(link->session, n);
    if (!call->ended || !call->out_ended)
        (void) nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, call->id,
                                         call->ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    /* Held back by nghttp2 for want of streams, maybe for ever: it never began. */
    if (unsent)
        h2_link_freed(link);
    if (nghttp2_session_want_write(link->session))
        h2_link_wake(link);
}

void
h2_call_end(struct h2_call *call)
{
    h2_call_leave(call);
    call->lent = 0;
    while (call->first)
        free_first(call);
}
