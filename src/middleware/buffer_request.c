/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer_request.c - a request's body is taken in full before a server hears of it.
 *
 * What fits into the memory of one body lies there in one piece: it then travels with the head of
 * the request, and can be sent again to another server (upstream/relay.c: take_first).  The rest
 * goes to the temporary file.  When that has no room either, the request goes on with what there
 * is, and what follows is pulled as the server takes it.
 */
#include "base/check.h"
#include "exchange/grpc.h"
#include "middleware/buffer.h"
#include "runtime/loop.h"

enum { STEP_BYTES = 16 * 1024 }; /* memory is counted in so many */

struct kept {
    struct body      body;
    struct body     *inner;
    struct exchange *x;
    struct text      front; /* the start of it, in one piece */
    struct slice     whole; /* ... or the inner body's only chunk, where it is */
    uint64_t         charged;
    bool             given; /* the front was */
    struct spool     spool; /* what follows; in a file only */
    struct slice     rest;  /* that there was no room for: still the inner body's */
    uint64_t         bytes; /* all that was kept */
    enum err         end;   /* of the inner body; OK: it has not ended */
};

/* ------------------------------------------------------------------ as a source */

static struct slice
front_of(const struct kept *k)
{
    return slice_is_present(k->whole) ? k->whole : text_slice(&k->front);
}

/* Behind the front: the file, the rest, what was not pulled yet. */
static enum err
next_behind(struct kept *k, struct slice *chunk)
{
    enum err e = spool_take(&k->spool, chunk);

    if (e != ERR_END)
        return e;
    if (k->rest.n) {
        *chunk = k->rest;
        k->rest.n = 0;
        return OK;
    }
    if (k->end != OK)
        return k->end;
    e = body_next(k->inner, chunk);
    if (e == ERR_END)
        k->body.trailers = k->inner->trailers;
    return e;
}

static enum err
next(struct body *b, struct slice *chunk)
{
    struct kept *k = container_of(b, struct kept, body);
    bool first = !k->given && front_of(k).n;
    enum err e = OK;

    k->given = true;
    if (first)
        *chunk = front_of(k);
    else
        e = next_behind(k, chunk);
    b->ready = k->rest.n || (k->end != OK && spool_is_empty(&k->spool));
    b->ended = e == OK && k->end == ERR_END && k->rest.n == 0 && spool_is_empty(&k->spool);
    return e;
}

static void
close_body(struct body *b)
{
    struct kept *k = container_of(b, struct kept, body);

    spool_free(&k->spool);
    spool_give_memory(k->spool.options, k->charged);
    k->charged = 0;
    text_free(&k->front);
    body_close(take(&k->inner));
}

static const struct body_ops kept_ops = {.next = next, .close = close_body};

/* ------------------------------------------------------------------ keeping */

/* How many bytes may go behind the front. */
static size_t
room_in_front(struct kept *k, size_t n)
{
    const struct buffer *o = k->spool.options;
    uint64_t most = o->each.memory, want;

    if (k->bytes != k->front.n || k->front.n >= most)
        return 0; /* what follows is in the file already */
    if (n > most - k->front.n)
        n = (size_t) (most - k->front.n);
    want = (k->front.n + n + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    if (want > k->charged) {
        if (!spool_take_memory(o, want - k->charged, 0, UINT64_MAX))
            return 0;
        k->charged = want;
    }
    return text_reserve(&k->front, n) ? n : 0;
}

/* How many of the bytes were kept. */
static size_t
keep_some(struct kept *k, struct slice bytes)
{
    size_t n = room_in_front(k, bytes.n);

    if (n == 0)
        return spool_put(&k->spool, bytes);
    text_put(&k->front, slice_first(bytes, n));
    counter_add(&spool_counts()->memory_bytes, n);
    return n;
}

static bool
is_late(const struct exchange *x)
{
    return x->timeouts->total_us && loop_now_us() >= x->times.started_us + x->timeouts->total_us;
}

/* OK: all there is room for was kept, and maybe all there is. */
static enum err
keep_all(struct kept *k, struct slice chunk)
{
    enum err e = OK;

    while (e == OK) {
        while (chunk.n) {
            size_t n = keep_some(k, chunk);

            if (n == 0) {
                k->rest = chunk;
                counter_add(&spool_counts()->passed, 1);
                return OK;
            }
            k->bytes += n;
            chunk = slice_from(chunk, n);
        }
        e = k->inner->ended ? ERR_END : body_next(k->inner, &chunk);
        if (e == OK && is_late(k->x))
            e = ERR_TIMEOUT;
    }
    k->end = e;
    return e == ERR_END ? OK : e;
}

/* A body with trailers keeps its unknown length, for behind a known one there are none in
 * HTTP/1.1. */
static void
complete(struct kept *k)
{
    struct fields *trailers = k->inner->trailers;

    /* Nothing is held back any more. */
    k->x->request.expect_continue = false;
    fields_remove(&k->x->request.fields, FIELD_EXPECT);
    k->body.trailers = trailers;
    if (k->body.length == BODY_LENGTH_UNKNOWN && !(trailers && trailers->n))
        k->body.length = (int64_t) k->bytes;
}

/* ------------------------------------------------------------------ when it breaks off */

/* For the client the same as without us (upstream/relay.c). */
static void
refuse(struct exchange *x, enum err e)
{
    const struct exchange_timeouts *t = x->timeouts;

    x->close_client = true;
    if (x->fault.reason == REASON_BODY_TOO_LARGE)
        exchange_refuse_limit(x, 413, REASON_BODY_TOO_LARGE, x->fault.limit, x->fault.limit_name);
    else if (e == ERR_CANCELLED)
        exchange_fault(x, REASON_CLIENT_GONE, e, "while its request was buffered");
    else if (e == ERR_TIMEOUT && is_late(x))
        exchange_refuse_limit(x, 408, REASON_TOTAL_TIMEOUT, &t->total_us, "timeouts.total");
    else if (e == ERR_TIMEOUT)
        exchange_refuse_limit(x, 408, REASON_BODY_TIMEOUT, &t->body_us, "timeouts.body");
    else if (e == ERR_MALFORMED)
        exchange_refuse(x, 400, REASON_BAD_REQUEST, "malformed body");
    else
        exchange_refuse(x, 400, REASON_CLIENT_GONE, "the body broke off: %s", err_sentence(e));
}

/* ------------------------------------------------------------------ which requests */

/* A call of gRPC is a conversation, and so is what becomes a tunnel. */
static bool
is_for(const struct exchange *x)
{
    const struct request *q = &x->request;

    return q->body && q->body->length != 0 && !slice_is_present(q->upgrade) &&
           q->method != METHOD_CONNECT && grpc_asked(x) == GRPC_NONE;
}

static struct kept *
make(const struct buffer *o, struct exchange *x)
{
    struct kept *k = arena_new(&x->arena, struct kept);

    if (!k)
        return NULL;
    k->inner = x->request.body;
    k->x = x;
    k->body = (struct body){.ops = &kept_ops, .length = k->inner->length};
    text_init(&k->front, o->each.memory);
    spool_init(&k->spool, o, 0);
    return k;
}

/* One chunk is all: it stays where it is, and can be given from there. */
static bool
is_whole(const struct kept *k, struct slice chunk)
{
    return k->inner->ended || (int64_t) chunk.n == k->inner->length;
}

static enum err
keep(struct kept *k)
{
    struct slice chunk = {NULL, 0};
    enum err e = body_next(k->inner, &chunk);

    if (e == OK && is_whole(k, chunk)) {
        k->whole = chunk;
        k->bytes = chunk.n;
        k->end = ERR_END;
        return OK;
    }
    if (e == OK) {
        counter_add(&spool_counts()->requests, 1);
        return keep_all(k, chunk);
    }
    k->end = e;
    return e == ERR_END ? OK : e;
}

bool
spool_request(const struct buffer *o, struct exchange *x)
{
    struct kept *k = is_for(x) ? make(o, x) : NULL;
    enum err e;

    if (!k)
        return true; /* it passes as it is */
    x->request.body = &k->body;
    e = keep(k);
    if (e != OK) {
        refuse(x, e);
        return false;
    }
    if (k->end == ERR_END)
        complete(k);
    k->body.ready = true;
    return true;
}
