/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/client_body.c - the request's body as a source that is pulled.
 *
 * What came with the head is in the connection's buffer; the rest is received into a buffer that is
 * lent when it is needed, because slices of the head point into the connection's.  A client that
 * waits for 100 (Continue) gets it when the first chunk is asked for.
 */
#include "edge/client.h"

enum { DROP_BYTES = 64 * 1024, DROP_US = 500000 };

struct client_body {
    struct body       body;
    struct serving   *serving;
    enum h1_framing   framing;
    uint64_t          left;
    struct h1_chunked chunked;
    struct fields     trailers;
    char             *buffer; /* lent; NULL while the connection's serves */
    unsigned          size;
    size_t            start, end;
    bool              complete, closed;
    enum err          broken;
};

static struct slice
unread(const struct client_body *b)
{
    const struct client_conn *c = b->serving->conn;

    return b->buffer ? slice_of(b->buffer + b->start, b->end - b->start)
                     : slice_of(c->buffer + c->start, c->end - c->start);
}

static void
consume(struct client_body *b, size_t n)
{
    if (b->buffer)
        b->start += n;
    else
        b->serving->conn->start += (uint32_t) n;
}

static enum err
ask_for_it(struct serving *s)
{
    return send_informational(&s->x, 100, NULL);
}

/* At least one more byte; what was unread stays in front of it. */
static enum err
receive(struct client_body *b)
{
    struct serving *s = b->serving;
    struct slice rest = unread(b);
    size_t room, got = 0;
    enum err e;

    if (s->x.request.expect_continue && !serving_h1(s)->continued && (e = ask_for_it(s)) != OK)
        return e;
    if (!b->buffer) {
        /* A large body is read in large strides; a chunked one in small, since what follows its end
         * must fit into the connection's buffer. */
        b->size = b->framing == H1_LENGTH && b->left > BUFFER_SMALL_BYTES ? BUFFER_LARGE
                                                                          : BUFFER_SMALL;
        b->buffer = buffer_take(b->size);
        if (!b->buffer)
            return ERR_NO_MEMORY;
        memcpy(b->buffer, rest.at, rest.n);
        s->conn->start = s->conn->end;
    } else if (b->start > 0) {
        memmove(b->buffer, rest.at, rest.n);
    }
    b->start = 0;
    b->end = rest.n;
    room = buffer_bytes(b->size) - b->end;
    /* Not a byte of the next request. */
    if (b->framing == H1_LENGTH && room > b->left)
        room = b->left;
    if (room == 0)
        return ERR_LIMIT;
    e = sock_recv(&s->conn->sock, b->buffer + b->end, room, loop_now_us() + s->x.timeouts->body_us,
                  &got);
    b->end += got;
    return e == ERR_END ? ERR_RESET : e;
}

static enum err
broke_off(struct client_body *b, enum err e)
{
    b->broken = e;
    b->serving->x.close_client = true;
    return e;
}

static enum err
next_of_length(struct client_body *b, struct slice *chunk)
{
    struct slice have = unread(b);

    if (b->left == 0) {
        b->complete = true;
        return ERR_END;
    }
    if (have.n == 0) {
        enum err e = receive(b);

        if (e != OK)
            return broke_off(b, e);
        have = unread(b);
    }
    *chunk = slice_first(have, b->left);
    consume(b, chunk->n);
    b->left -= chunk->n;
    b->complete = b->left == 0;
    return OK;
}

static enum err
read_trailers(struct client_body *b)
{
    static const struct h1_limits limits = {8192, 0, 64};
    size_t scanned = 0, used;
    enum h1_fault fault;

    for (;;) {
        enum h1_result result = h1_parse_trailers(
            unread(b), &scanned, &limits, &b->serving->x.arena, &b->trailers, &used, &fault);
        enum err e;

        if (result == H1_BAD)
            return broke_off(b, ERR_MALFORMED);
        if (result == H1_DONE) {
            consume(b, used);
            b->complete = true;
            if (b->trailers.n)
                b->body.trailers = &b->trailers;
            return ERR_END;
        }
        e = receive(b);
        if (e != OK)
            return broke_off(b, e);
    }
}

static enum err
next_chunked(struct client_body *b, struct slice *chunk)
{
    if (b->complete)
        return ERR_END;
    for (;;) {
        enum h1_fault fault;
        enum h1_result result = H1_MORE;
        size_t used = 0;

        *chunk = (struct slice){NULL, 0};
        if (unread(b).n)
            result = h1_chunked_next(&b->chunked, unread(b), chunk, &used, &fault);
        if (result == H1_BAD)
            return broke_off(b, ERR_MALFORMED);
        consume(b, used);
        if (result == H1_DONE)
            return read_trailers(b);
        if (chunk->n)
            return OK;
        if (unread(b).n == 0) {
            enum err e = receive(b);

            if (e != OK)
                return broke_off(b, e);
        }
    }
}

static enum err
next(struct body *body, struct slice *chunk)
{
    struct client_body *b = container_of(body, struct client_body, body);
    enum err e;

    if (b->broken != OK)
        return b->broken;
    e = b->framing == H1_LENGTH ? next_of_length(b, chunk) : next_chunked(b, chunk);
    body->ready = b->complete || (b->framing == H1_LENGTH && unread(b).n > 0);
    return e;
}

/* The buffer goes; bytes behind the body's end move to the connection's. */
static void
close_body(struct body *body)
{
    struct client_body *b = container_of(body, struct client_body, body);
    struct client_conn *c = b->serving->conn;

    if (b->closed)
        return;
    b->closed = true;
    if (!b->buffer)
        return;
    if (b->complete && b->start < b->end) {
        memcpy(c->buffer, b->buffer + b->start, b->end - b->start);
        c->start = 0;
        c->end = (uint32_t) (b->end - b->start);
    }
    buffer_give(b->size, take(&b->buffer));
}

static const struct body_ops client_body_ops = {.next = next, .close = close_body};

bool
client_body_new(struct serving *s)
{
    const struct h1_head *head = &serving_h1(s)->head;
    const struct client_conn *c = s->conn;
    struct client_body *b;

    if (head->framing == H1_NO_BODY)
        return true;
    b = arena_new(&s->x.arena, struct client_body);
    if (!b)
        return false;
    b->serving = s;
    b->framing = head->framing;
    b->left = head->framing == H1_LENGTH ? head->length : 0;
    b->body = (struct body){
        .ops = &client_body_ops,
        .length = b->framing == H1_LENGTH ? (int64_t) b->left : BODY_LENGTH_UNKNOWN,
        .ready = b->framing == H1_LENGTH && (c->start < c->end || b->left == 0),
    };
    s->x.request.body = s->client_body = &b->body;
    return true;
}

bool
client_body_finish(struct serving *s)
{
    struct client_body *b;
    uint64_t dropped = 0;

    if (!s->client_body)
        return true;
    b = container_of(s->client_body, struct client_body, body);
    if (b->closed)
        return b->complete;
    if (b->framing == H1_LENGTH && b->left == 0)
        b->complete = true;
    if (s->x.request.expect_continue && !serving_h1(s)->continued)
        return false;
    while (!b->complete && b->broken == OK && dropped < DROP_BYTES) {
        struct slice chunk;

        if (b->framing == H1_LENGTH && b->left > DROP_BYTES)
            return false;
        if (next(s->client_body, &chunk) != OK)
            break;
        dropped += chunk.n;
    }
    return b->complete;
}
