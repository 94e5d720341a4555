/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_body.c - the request's body as a source that is pulled.
 *
 * DATA comes when the client sends it, so it is copied into lent buffers until somebody pulls; the
 * client's window opens again only for what was pulled, so that never more than the option `window`
 * lies here.
 */
#include "edge/h2.h"

enum {
    TUNNEL_US = 60000000,
    FIELD_BYTES = 32, /* that a field counts beside its text (RFC 9113 6.5.2) */
};

static void
free_first(struct h2_body *b)
{
    struct h2_block *block = b->first;

    b->first = block->next;
    if (!b->first)
        b->last = NULL;
    buffer_give(block->size, block);
}

/* Whoever had the chunk is done with it: the client may send as much again. */
static void
consume_lent(struct h2_stream *s)
{
    struct h2_body *b = &s->body;
    size_t n = b->lent;

    if (n == 0)
        return;
    b->lent = 0;
    if (b->first->start == b->first->end)
        free_first(b);
    (void) nghttp2_session_consume(s->conn->session, s->id, n);
    if (nghttp2_session_want_write(s->conn->session))
        h2_wake_writer(s->conn);
}

/* ------------------------------------------------------------------ as frames come */

static struct h2_block *
add_block(struct h2_body *b)
{
    unsigned size = b->last ? BUFFER_MEDIUM : BUFFER_SMALL;
    struct h2_block *block = buffer_take(size);

    if (!block)
        return NULL;
    *block = (struct h2_block){.size = size};
    if (b->last)
        b->last->next = block;
    else
        b->first = block;
    b->last = block;
    return block;
}

static size_t
room_of(const struct h2_block *block)
{
    return block ? buffer_bytes(block->size) - sizeof(*block) - block->end : 0;
}

bool
h2_body_add(struct h2_stream *s, struct slice bytes)
{
    struct h2_body *b = &s->body;

    b->received += bytes.n;
    if (s->head.has_length && b->received > s->head.length)
        h2_body_refuse(s);
    if (b->closed || b->broken != OK) {
        (void) nghttp2_session_consume_connection(s->conn->session, bytes.n);
        return true;
    }
    while (bytes.n) {
        struct h2_block *block = room_of(b->last) ? b->last : add_block(b);
        size_t n = room_of(block);

        if (!block)
            return false;
        if (n > bytes.n)
            n = bytes.n;
        memcpy(block->bytes + block->end, bytes.at, n);
        block->end += n;
        bytes = slice_from(bytes, n);
    }
    h2_wake(&b->reader);
    return true;
}

void
h2_body_end(struct h2_stream *s)
{
    if (s->head.has_length && s->body.received != s->head.length) {
        h2_body_refuse(s);
        return;
    }
    s->body.complete = true;
    h2_wake(&s->body.reader);
}

void
h2_body_break(struct h2_stream *s, enum err why)
{
    if (s->body.complete || s->body.broken != OK)
        return;
    s->body.broken = why;
    h2_wake(&s->body.reader);
}

void
h2_body_refuse(struct h2_stream *s)
{
    h2_body_break(s, ERR_MALFORMED);
    h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

void
h2_body_trailer(struct h2_stream *s, struct slice name, struct slice value)
{
    struct h2_body *b = &s->body;

    s->head.list_bytes += name.n + value.n + FIELD_BYTES;
    if (b->closed || b->broken != OK)
        return;
    if (!b->trailers.arena)
        fields_init(&b->trailers, &s->serving.x.arena, 0, s->head.limits.fields);
    if (s->head.list_bytes > 2 * s->head.limits.list_bytes ||
        h2_trailer_add(&b->trailers, name, value) != H2_OK)
        h2_body_refuse(s);
}

/* ------------------------------------------------------------------ as it is pulled */

static struct slice
unread(const struct h2_body *b)
{
    return b->first ? slice_of(b->first->bytes + b->first->start, b->first->end - b->first->start)
                    : (struct slice){NULL, 0};
}

static enum err
wait_for_more(struct h2_stream *s)
{
    const struct exchange *x = &s->serving.x;

    if (x->request.expect_continue && !s->continued) {
        enum err e = h2_inform(&s->serving.x, 100, NULL);

        if (e != OK)
            return e;
    }
    if (slice_is_present(s->head.protocol)) {
        /* A tunnel looks after its silence by itself. */
        enum err e = h2_wait(&s->body.reader, loop_now_us() + TUNNEL_US);

        return e == ERR_TIMEOUT ? OK : e;
    }
    return h2_wait(&s->body.reader, loop_now_us() + x->timeouts->body_us);
}

static void
note_end(struct h2_body *b)
{
    if (b->trailers.n)
        b->base.trailers = &b->trailers;
}

static enum err
next(struct body *body, struct slice *chunk)
{
    struct h2_stream *s = container_of(body, struct h2_stream, body.base);
    struct h2_body *b = &s->body;
    enum err e = OK;

    consume_lent(s);
    while (e == OK && b->broken == OK && !b->complete && unread(b).n == 0)
        e = h2_stream_is_lost(s) ? ERR_RESET : wait_for_more(s);
    if (e != OK)
        b->broken = e;
    if (b->broken != OK)
        return b->broken;
    *chunk = unread(b);
    if (chunk->n == 0) {
        note_end(b);
        return ERR_END;
    }
    b->first->start = b->first->end;
    b->lent = chunk->n;
    body->ready = b->complete || b->first->next;
    if (b->complete && !b->first->next) {
        note_end(b);
        body->ended = true;
    }
    return OK;
}

static void
close_body(struct body *body)
{
    h2_body_close(container_of(body, struct h2_stream, body.base));
}

void
h2_body_close(struct h2_stream *s)
{
    struct h2_body *b = &s->body;
    size_t unread_bytes = b->lent;

    b->closed = true;
    b->lent = 0;
    for (; b->first; free_first(b))
        unread_bytes += b->first->end - b->first->start;
    if (unread_bytes == 0)
        return;
    (void) nghttp2_session_consume_connection(s->conn->session, unread_bytes);
    if (!s->conn->over && nghttp2_session_want_write(s->conn->session))
        h2_wake_writer(s->conn);
}

static const struct body_ops body_ops = {.next = next, .close = close_body};

/* All that has come already: then its length is known. */
static int64_t
length_of(const struct h2_stream *s)
{
    const struct h2_body *b = &s->body;
    int64_t n = 0;

    if (s->head.has_length)
        return (int64_t) s->head.length;
    if (!b->complete || b->trailers.n)
        return BODY_LENGTH_UNKNOWN;
    for (const struct h2_block *block = b->first; block; block = block->next)
        n += (int64_t) (block->end - block->start);
    return n;
}

void
h2_body_open(struct h2_stream *s)
{
    s->body.base = (struct body){.ops = &body_ops, .length = length_of(s)};
    s->body.base.ready = s->body.first || s->body.complete;
}

bool
h2_body_take(struct serving *serving)
{
    struct h2_stream *s = h2_stream_of(serving);

    if (s->whole || slice_is_present(s->head.protocol))
        return true;
    h2_body_open(s);
    serving->x.request.body = serving->client_body = &s->body.base;
    return true;
}
