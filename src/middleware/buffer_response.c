/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer_response.c - a response that is read ahead of its client.
 *
 * The first chunk is always pulled by the exchange's own fiber: it has nothing to send before that,
 * so nothing could be gained by reading ahead, and a response that is complete with it costs
 * neither a fiber nor a copy.  If more is to come, a fiber of its own, the pump, pulls as fast as
 * the inner body gives and puts into the spool, while the exchange's takes from there at the
 * client's pace.  With the last byte the inner body is closed, which sets its server free.
 *
 * Nothing is ever held back: what has arrived can be taken at once.  Without room the chunk at
 * hand is lent on to the client as it is, and the server waits for it as it would without us.
 */
#include "base/check.h"
#include "exchange/grpc.h"
#include "middleware/buffer.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum {
    /* A client that takes what is in memory within so long is not slow: no file for it. */
    PATIENCE_US = 2000,
    /* Others' bodies give back what they had without telling: look again after so long. */
    AGAIN_US = 250000,
};

struct ahead {
    struct body     body;
    struct body    *inner;   /* NULL: pulled to its end and closed */
    struct exchange *x;
    uint64_t        pulled;  /* bytes, while it passes through */
    bool            spooling; /* there is, or was, a pump */
    struct spool    spool;
    struct slice    at_hand; /* what the pump has pulled and not put yet */
    bool            stuck;   /* ... there is no room for it: it may be lent on as it is */
    bool            lent_on; /* ... the client's fiber has it */
    struct fields   trailers;
    enum err        end;     /* how the inner body ended; OK: it has not */
    struct fiber   *pump;    /* NULL: not running */
    struct fiber   *taker, *putter, *closer; /* who waits */
};

/* ------------------------------------------------------------------ waiting for each other */

static void
wake(struct fiber **place)
{
    struct fiber *f = take(place);

    if (f)
        fiber_resume(f);
}

/* OK: woken, or the time has come. */
static enum err
wait_at(struct fiber **place, uint64_t at_us)
{
    enum err e;

    *place = fiber_self();
    e = fiber_sleep_until(at_us);
    *place = NULL;
    return e;
}

/* ------------------------------------------------------------------ the pump */

/* Something that waits in memory may be taken soon; nothing is in the file. */
static bool
may_hope(const struct ahead *a)
{
    return spool_is_in_memory(&a->spool) && spool_is_out_of_file(&a->spool);
}

/* There was no room: until there may be, or the chunk was lent on and is given back. */
static enum err
wait_for_room(struct ahead *a, bool patient)
{
    uint64_t for_us = patient ? PATIENCE_US : AGAIN_US;
    enum err e;

    if (!patient && !a->stuck)
        counter_add(&spool_counts()->passed, 1);
    a->stuck = !patient;
    e = wait_at(&a->putter, a->lent_on ? TIMER_NEVER : loop_now_us() + for_us);
    a->stuck = a->lent_on;
    return e;
}

/* Until all of the chunk at hand is in the spool, or the client's fiber is done with it. */
static enum err
store(struct ahead *a)
{
    bool patient = may_hope(a);
    enum err e = OK;

    while (a->at_hand.n && e == OK) {
        size_t n = 0;

        if (!a->lent_on)
            n = patient ? spool_put_in_memory(&a->spool, a->at_hand)
                        : spool_put(&a->spool, a->at_hand);
        a->at_hand = slice_from(a->at_hand, n);
        a->body.ready = a->body.ready || spool_is_in_memory(&a->spool);
        wake(&a->taker);
        if (n == 0)
            e = wait_for_room(a, patient);
        patient = n && may_hope(a);
    }
    a->stuck = false;
    return e;
}

static enum err
pull_all(struct ahead *a)
{
    for (;;) {
        bool last = a->inner->ended;
        enum err e = store(a);

        if (e != OK)
            return e;
        if (last)
            return ERR_END;
        e = body_next(a->inner, &a->at_hand);
        if (e != OK) {
            a->at_hand = (struct slice){NULL, 0};
            return e;
        }
    }
}

static void
run_pump(void *arg)
{
    struct ahead *a = arg;
    enum err e = pull_all(a);
    const struct fields *trailers = a->inner->trailers;

    if (e == ERR_END && trailers && trailers->n) {
        a->body.trailers = &a->trailers;
        if (!spool_copy_trailers(&a->x->arena, &a->trailers, trailers))
            e = ERR_NO_MEMORY;
    }
    /* The server is free, and the memory that its connection used. */
    body_close(take(&a->inner));
    a->end = e;
    a->pump = NULL;
    wake(&a->taker);
    wake(&a->closer);
}

/* ------------------------------------------------------------------ the client's side */

/* What the client's fiber learns of with each chunk. */
static void
note_state(struct ahead *a)
{
    bool all = a->end != OK && spool_is_empty(&a->spool);

    a->body.ready = all || spool_is_in_memory(&a->spool);
    a->body.ended = all && a->end == ERR_END;
}

static enum err
take_chunk(struct ahead *a, struct slice *chunk)
{
    enum err e;

    if (a->lent_on) {
        a->lent_on = false;
        a->at_hand = (struct slice){NULL, 0};
    }
    e = spool_take(&a->spool, chunk);
    if (e == ERR_END && a->at_hand.n && a->stuck) {
        a->lent_on = true;
        *chunk = a->at_hand;
        e = OK;
    } else {
        wake(&a->putter);
    }
    if (e == ERR_IO)
        exchange_fault(a->x, REASON_INTERNAL, e, "buffer: its temporary file cannot be read");
    else if (e == ERR_NO_MEMORY)
        exchange_fault(a->x, REASON_OUT_OF_MEMORY, e, "buffer");
    note_state(a);
    return e;
}

static enum err
spooled_next(struct ahead *a, struct slice *chunk)
{
    for (;;) {
        bool over = a->end != OK;
        enum err e = take_chunk(a, chunk);

        if (e != ERR_END)
            return e;
        if (over)
            return a->end;
        if (a->end != OK)
            continue; /* it has ended meanwhile: look once more */
        e = wait_at(&a->taker, TIMER_NEVER);
        if (e != OK)
            return e;
    }
}

/* False, and the chunk may pass as it is: there is no memory for a fiber. */
static bool
start_pump(struct ahead *a, struct slice chunk)
{
    a->pump = fiber_start("buffer", run_pump, a);
    if (!a->pump)
        return false;
    a->spooling = true;
    a->at_hand = chunk;
    a->body.ready = false;
    counter_add(&spool_counts()->responses, 1);
    return true;
}

static bool
is_all(const struct ahead *a)
{
    return a->inner->ended || a->pulled == (uint64_t) a->body.length;
}

static enum err
next(struct body *b, struct slice *chunk)
{
    struct ahead *a = container_of(b, struct ahead, body);
    enum err e;

    if (a->spooling)
        return spooled_next(a, chunk);
    e = body_next(a->inner, chunk);
    if (e == OK) {
        a->pulled += chunk->n;
        if (!is_all(a) && start_pump(a, *chunk))
            return spooled_next(a, chunk);
    }
    b->ready = a->inner->ready;
    b->ended = a->inner->ended;
    b->trailers = a->inner->trailers;
    return e;
}

/* The client is gone or has it all: what the server still sends is for nobody. */
static void
close_body(struct body *b)
{
    struct ahead *a = container_of(b, struct ahead, body);

    if (a->pump) {
        fiber_cancel(a->pump, ERR_CANCELLED);
        while (a->pump) {
            a->closer = fiber_self();
            fiber_suspend();
        }
    }
    body_close(take(&a->inner));
    if (a->spooling)
        spool_free(&a->spool);
}

static const struct body_ops ahead_ops = {.next = next, .close = close_body};

/* ------------------------------------------------------------------ which responses */

/* To have been read is the server's measure of how far its client is: events that nobody has read
 * are worth less than fresh ones, and a call of gRPC has a flow control that it relies on. */
static bool
is_stream(const struct exchange *x)
{
    struct slice type = fields_value(&x->response.fields, FIELD_CONTENT_TYPE);

    return slice_starts_nocase(type, SLICE("text/event-stream")) ||
           grpc_kind(type, NULL) != GRPC_NONE;
}

/* Applications that know of buffering proxies say so, since nginx has this field. */
static bool
is_refused(const struct exchange *x)
{
    const struct field *f = fields_find(&x->response.fields, SLICE("X-Accel-Buffering"));

    return f && slice_eq_nocase(f->value, SLICE("no"));
}

/* What no server has made, files and what was cached, holds nobody up: it is where it can wait. */
static bool
is_from_server(const struct exchange *x)
{
    return slice_is_present(x->relay.upstream);
}

static bool
is_for(const struct exchange *x)
{
    const struct response *r = &x->response;

    return r->body && is_from_server(x) && !r->tunnel && r->status != 101 && r->body->length != 0 &&
           x->request.method != METHOD_HEAD && x->request.method != METHOD_CONNECT &&
           !is_stream(x) && !is_refused(x);
}

void
spool_response(const struct buffer *o, struct exchange *x)
{
    struct ahead *a = is_for(x) ? arena_new(&x->arena, struct ahead) : NULL;
    struct body *inner = x->response.body;

    if (!a)
        return; /* it passes as it is */
    a->body = (struct body){.ops = &ahead_ops, .length = inner->length, .ready = inner->ready};
    a->inner = inner;
    a->x = x;
    spool_init(&a->spool, o, o->each.memory);
    x->response.body = &a->body;
}
