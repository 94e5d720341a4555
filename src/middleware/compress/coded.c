/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/coded.c - see coded.h. */
#include "middleware/compress/coded.h"

#include "base/check.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum {
    STEP_BYTES = 32 * 1024,  /* a coder takes so much at a time, */
    YIELD_BYTES = 64 * 1024, /* and after so much other fibers have their turn */
    CHUNK_MIN = 16 * 1024,   /* worth sending while more is to come */
    RATIO_FROM = 1 << 20,    /* below so many bytes nobody minds their ratio */
};

struct coded {
    struct body        body;
    struct body       *inner;
    struct coder      *coder;
    struct coded_setup setup;
    struct slice       in;        /* of the inner body's chunk, not taken yet */
    struct coder_room  out;       /* a lent buffer, when `at` is not NULL */
    bool               given;     /* the reader has what is in it */
    bool               last;      /* the inner body has ended */
    bool               unflushed; /* the coder may hold something back */
    bool               done;
    enum err           broken;
    uint64_t           bytes_in, bytes_out;
    size_t             unyielded;
};

static struct coded *
coded_of(struct body *b)
{
    return container_of(b, struct coded, body);
}

/* ------------------------------------------------------------------ steps */

struct one_step {
    struct coded  *c;
    struct slice  *in;
    enum coder_how how;
    enum err       e;
};

static void
run_step(void *arg)
{
    struct one_step *s = arg;
    struct coded *c = s->c;

    s->e = c->setup.ops->step(c->coder->state, s->in, &c->out, s->how);
}

/* Bodies are also pulled where there is no fiber: in tests. */
static void
give_others_a_turn(struct coded *c, size_t n)
{
    c->unyielded += n;
    if (c->unyielded < YIELD_BYTES || !fiber_self())
        return;
    c->unyielded = 0;
    fiber_resume(fiber_self());
    fiber_suspend();
}

static void
fail(struct coded *c, enum err e)
{
    c->broken = e;
    c->out.n = 0; /* the reader may throw away the rest as well */
    if (c->setup.failed)
        c->setup.failed(c->setup.arg, e);
}

static bool
is_over_limit(const struct coded *c)
{
    const struct coded_setup *s = &c->setup;

    return (s->max_bytes && c->bytes_out > s->max_bytes) ||
           (s->max_ratio && c->bytes_out > RATIO_FROM && c->bytes_out / s->max_ratio > c->bytes_in);
}

static void
step(struct coded *c, enum coder_how how)
{
    struct slice piece = slice_first(c->in, STEP_BYTES);
    size_t n = piece.n, before = c->out.n;
    struct one_step s = {c, &piece, how == CODER_FINISH && n < c->in.n ? CODER_GO_ON : how, OK};

    if (c->setup.heavy && fiber_self())
        offload(run_step, &s);
    else
        run_step(&s);
    n -= piece.n;
    c->in = slice_from(c->in, n);
    c->bytes_in += n;
    c->bytes_out += c->out.n - before;
    c->unflushed = how == CODER_GO_ON || c->out.n == c->out.room;
    c->done = s.e == ERR_END;
    if (s.e != OK && s.e != ERR_END)
        fail(c, s.e);
    else if (is_over_limit(c))
        fail(c, ERR_LIMIT);
    else if (!c->done)
        give_others_a_turn(c, n);
}

/* ------------------------------------------------------------------ filling a buffer */

static void
give_buffer(struct coded *c)
{
    if (c->out.at)
        buffer_give(BUFFER_MEDIUM, take(&c->out.at));
    c->out = (struct coder_room){NULL, 0, 0};
}

static bool
take_buffer(struct coded *c)
{
    if (c->out.at)
        return true;
    c->out.at = buffer_take(BUFFER_MEDIUM);
    c->out.room = c->out.at ? buffer_bytes(BUFFER_MEDIUM) : 0;
    if (!c->out.at)
        fail(c, ERR_NO_MEMORY);
    return c->out.at != NULL;
}

static void
pull(struct coded *c)
{
    enum err e;

    if (!c->inner->ready) {
        c->unyielded = 0; /* others have their turn now */
        if (c->out.n == 0)
            give_buffer(c);
    }
    e = body_next(c->inner, &c->in);
    if (e == ERR_END) {
        c->last = true;
    } else if (e != OK) {
        c->in.n = 0;
        c->broken = e;
    } else {
        c->last = c->inner->ended;
    }
}

/* True when the reader should have what there is before the inner body is waited for. */
static bool
is_worth_sending(struct coded *c)
{
    if (c->inner->ready)
        return false;
    if (!c->setup.eager)
        return c->out.n >= CHUNK_MIN;
    if (c->unflushed && take_buffer(c))
        step(c, CODER_FLUSH);
    return c->out.n > 0;
}

/* Until it is full, or has what the reader should not wait for. */
static void
fill(struct coded *c, bool whole)
{
    while (!c->done && c->broken == OK) {
        if (c->out.at && c->out.room - c->out.n < CODER_ROOM_MIN)
            return;
        if (c->in.n == 0 && !c->last) {
            if (!whole && is_worth_sending(c))
                return;
            if (c->broken == OK)
                pull(c);
        } else if (take_buffer(c)) {
            step(c, c->last ? CODER_FINISH : CODER_GO_ON);
        }
    }
}

/* Only one that is eager gives something for whatever comes in. */
static bool
is_ready(const struct coded *c)
{
    return c->done || c->broken != OK || c->last ||
           (c->setup.eager && (c->in.n || c->unflushed || c->inner->ready));
}

static void
give_coder(struct coded *c)
{
    struct coding_counts *counts = c->setup.counts;

    if (!c->coder)
        return;
    coder_give(take(&c->coder));
    if (!counts)
        return;
    counts->messages++;
    counts->bytes_in += c->bytes_in;
    counts->bytes_out += c->bytes_out;
}

/* ------------------------------------------------------------------ the body */

static enum err
coded_next(struct body *b, struct slice *chunk)
{
    struct coded *c = coded_of(b);

    if (c->given)
        c->out.n = 0;
    c->given = false;
    if (c->out.n == 0)
        fill(c, false);
    if (c->done) {
        b->trailers = c->inner->trailers;
        give_coder(c);
    }
    if (c->out.n == 0) {
        give_buffer(c);
        return c->done ? ERR_END : c->broken;
    }
    *chunk = slice_of(c->out.at, c->out.n);
    c->given = true;
    b->ended = c->done;
    b->ready = is_ready(c);
    return OK;
}

static void
coded_close(struct body *b)
{
    struct coded *c = coded_of(b);

    give_coder(c);
    give_buffer(c);
    body_close(take(&c->inner));
    if (c->setup.release)
        c->setup.release(c->setup.arg);
}

static const struct body_ops coded_ops = {.next = coded_next, .close = coded_close};

struct body *
coded_body(struct arena *arena, struct body *inner, const struct coded_setup *setup)
{
    struct coded *c = arena_new(arena, struct coded);

    if (!c)
        return NULL;
    c->coder = coder_take(setup->ops, &setup->coder);
    if (!c->coder)
        return NULL;
    c->body.ops = &coded_ops;
    c->body.length = BODY_LENGTH_UNKNOWN;
    c->inner = inner;
    c->setup = *setup;
    c->body.ready = is_ready(c);
    return &c->body;
}

void
coded_complete(struct body *b)
{
    struct coded *c = coded_of(b);

    fill(c, true);
    if (c->out.n == 0)
        return;
    b->ready = true;
    if (!c->done)
        return;
    b->length = (int64_t) c->out.n;
    give_coder(c);
}
