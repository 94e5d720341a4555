/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_fill.c - a body on its way into the store.
 *
 * It is taken as fast as it comes, so that neither the server nor those who share it wait for the
 * one client that was first; that client reads from the store like all others.  What is there at
 * once is stored at once; for the rest there is a fiber, the filler, which outlives the client:
 * the exchange stays until the filler has finished.
 *
 * What the store does not take (too large, no memory) goes to the first client only: the filler
 * stops, and the client pulls the rest itself.
 */
#include "base/check.h"
#include "middleware/cache/caching.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

struct cache_filling {
    struct body         *inner;
    struct store_object *object;  /* a reference */
    struct slice         left;    /* that the store did not take, lent by inner */
    uint64_t             at;      /* where that begins */
    enum err             err;     /* how it ended; OK: it has not */
    bool                 direct;  /* the client pulls the rest */
    bool                 filling; /* on a fiber of its own */
    struct fiber        *waiter;
};

/* ------------------------------------------------------------------ filling */

/* One chunk.  OK: there is more. */
static enum err
step(struct cache_filling *f)
{
    struct slice chunk;
    enum err e = body_next(f->inner, &chunk);

    if (e == OK && store_append(f->object, chunk) != OK) {
        f->left = chunk;
        f->direct = true;
        return ERR_LIMIT;
    }
    if (e == OK)
        f->at += chunk.n;
    return e == OK && f->inner->ended ? ERR_END : e;
}

/* Nobody has to wait for the server to say that it is done. */
static void
settle(struct cache_filling *f, enum err e)
{
    f->err = e;
    if (e == ERR_END)
        store_finish(f->object);
    else
        store_break(f->object);
    if (!f->direct)
        body_close(take(&f->inner));
}

static void
fill(void *arg)
{
    struct cache_filling *f = arg;
    enum err e;

    do
        e = step(f);
    while (e == OK && !loop_self()->stopping);
    settle(f, e == OK ? ERR_CANCELLED : e);
    f->filling = false;
    if (f->waiter)
        fiber_resume(f->waiter);
}

/* True: all of it, or as much as there will ever be. */
static bool
fill_what_is_there(struct cache_filling *f)
{
    enum err e = OK;

    while (e == OK && f->inner->ready)
        e = step(f);
    if (e != OK)
        settle(f, e);
    return e != OK;
}

bool
cache_fill(struct exchange *x, struct store_object *o, struct cache_filling **filling)
{
    struct body *inner = take(&x->response.body);
    struct cache_filling *f;

    *filling = NULL;
    if (!inner) {
        store_finish(o);
        return true;
    }
    f = arena_new(&x->arena, struct cache_filling);
    if (f) {
        f->inner = inner;
        f->object = o;
        if (fill_what_is_there(f)) {
            *filling = f->direct ? f : NULL;
            return true;
        }
        *filling = f;
        f->filling = cache_behind("cache fill", fill, f);
        if (f->filling)
            return true;
    }
    body_close(inner);
    store_break(o);
    return false;
}

bool
cache_fill_some(struct body **b, struct store_object *o, size_t bytes)
{
    struct cache_filling f = {.inner = take(b), .object = o};
    enum err e = OK;

    while (e == OK && f.inner && f.inner->ready && f.at < bytes)
        e = step(&f);
    if (e == OK && f.inner) {
        *b = f.inner;
        return false;
    }
    settle(&f, f.inner ? e : ERR_END);
    body_close(f.inner);
    return true;
}

void
cache_fill_here(struct body *b, struct store_object *o)
{
    struct cache_filling f = {.inner = b, .object = o};

    if (b)
        fill(&f);
    else
        store_finish(o);
    body_close(f.inner);
}

/* ------------------------------------------------------------------ for the first client */

/* More of what the store did not take. */
static enum err
pull(struct cache_filling *f)
{
    if (f->left.n)
        return OK;
    return f->inner->ended ? ERR_END : body_next(f->inner, &f->left);
}

enum err
cache_filling_next(struct cache_filling *f, uint64_t offset, struct slice *chunk)
{
    enum err e;

    if (!f->direct)
        return f->err == OK ? ERR_RESET : f->err;
    /* The client may want a range that begins further on. */
    while ((e = pull(f)) == OK && f->at + f->left.n <= offset) {
        f->at += f->left.n;
        f->left.n = 0;
    }
    if (e != OK)
        return e;
    *chunk = slice_from(f->left, (size_t) (offset - f->at));
    f->at += f->left.n;
    f->left.n = 0;
    return OK;
}

bool
cache_fill_is_far(struct store_object *o, uint64_t offset, uint64_t far)
{
    struct slice chunk;

    return offset > far && !store_is_from_disk(o) &&
           store_read(o, offset - far, loop_now_us(), &chunk) == ERR_TIMEOUT;
}

/* The client may have left, or leave now: others, and those to come, still want it.  Only the end
 * of the process stops the filler. */
void
cache_filling_end(struct cache_filling *f)
{
    struct fiber *self = fiber_self();
    enum err cancelled = self->cancelled;

    f->waiter = self;
    while (f->filling)
        fiber_suspend();
    if (self->cancelled != OK)
        cancelled = self->cancelled;
    fiber_uncancel(self);
    body_close(take(&f->inner));
    if (cancelled != OK)
        fiber_cancel(self, cancelled);
}
