/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_aside.c - a fetch that outlasts what its client is answered.
 *
 * Who asks under conditions, or for a part, has his answer long before the whole has arrived, and
 * goes on to his next request.  So a child of his exchange fetches: on the client's fiber until
 * there is a head, on one of its own while the body goes to the store.  What is not for the store,
 * or has to be sent whole, the client takes over from the child.
 */
#include "exchange/answer.h"
#include "exchange/child.h"
#include "middleware/cache/caching.h"

#include <stdlib.h>

enum { FIELDS_MAX = 256, AT_ONCE_BYTES = 64 * 1024 };

static void
run_behind(struct visit *v)
{
    exchange_child_run_behind(v->x, v->self);
}

/* ------------------------------------------------------------------ taking over */

/* The body of a child, which ends with it. */
struct adopted {
    struct body      body;
    struct body     *inner;
    struct exchange *child;
};

static void
look_like(struct body *b, const struct body *inner)
{
    b->trailers = inner->trailers;
    b->ready = inner->ready;
    b->ended = inner->ended;
    b->lasting = inner->lasting;
    b->given = inner->given;
}

static enum err
adopted_next(struct body *b, struct slice *chunk)
{
    struct adopted *a = container_of(b, struct adopted, body);
    enum err e = body_next(a->inner, chunk);

    look_like(b, a->inner);
    return e;
}

static void
adopted_close(struct body *b)
{
    exchange_child_end(container_of(b, struct adopted, body)->child);
}

/* The child ends with the body, if there is one, else here. */
static bool
adopt_body(struct exchange *x, struct exchange *child)
{
    static const struct body_ops ops = {.next = adopted_next, .close = adopted_close};
    struct body *inner = child->response.body;
    struct adopted *a;

    if (!inner) {
        x->response.variants = NULL;
        exchange_child_end(child);
        return true;
    }
    a = arena_new(&x->arena, struct adopted);
    if (!a) {
        exchange_child_end(child);
        return false;
    }
    *a = (struct adopted){
        .body = {.ops = &ops, .length = inner->length}, .inner = inner, .child = child};
    look_like(&a->body, inner);
    x->response.body = &a->body;
    return true;
}

static bool
copy_fields(struct arena *arena, const struct fields *from, struct fields *to)
{
    fields_init(to, arena, from->n, FIELDS_MAX);
    for (uint32_t i = 0; i < from->n; i++) {
        const struct field *f = &from->at[i];
        struct slice name = arena_copy(arena, f->name), value = arena_copy(arena, f->value);

        if (!slice_is_present(name) || !slice_is_present(value) ||
            !fields_append(to, name, value, f->id))
            return false;
    }
    return true;
}

static struct slice
copy(struct arena *arena, struct slice s)
{
    return slice_is_present(s) ? arena_copy(arena, s) : s;
}

/* All of the response but its body, and what the log says of where it came from. */
static bool
adopt_head(struct exchange *x, const struct exchange *child)
{
    struct response *r = &x->response;
    uint64_t received_us = x->times.received_us, started_us = x->times.started_us;

    r->status = child->response.status;
    r->version = child->response.version;
    r->reason = copy(&x->arena, child->response.reason);
    r->variants = child->response.variants;
    x->fault = child->fault;
    x->fault.detail = copy(&x->arena, child->fault.detail);
    x->relay = child->relay;
    x->relay.upstream = copy(&x->arena, child->relay.upstream);
    x->relay.server = copy(&x->arena, child->relay.server);
    x->times = child->times;
    x->times.received_us = received_us;
    x->times.started_us = started_us;
    if (child->cached != CACHED_NOT)
        x->cached = child->cached;
    return copy_fields(&x->arena, &child->response.fields, &r->fields);
}

/* ------------------------------------------------------------------ a body without a client */

struct filling_aside {
    struct exchange     *child;
    struct store_object *object; /* held */
};

static void
fill(void *arg)
{
    struct filling_aside *f = arg;

    cache_fill_here(take(&f->child->response.body), f->object);
    store_leave(f->object);
    exchange_child_end(f->child);
    free(f);
}

/* False: no memory; the child is still the caller's. */
static bool
start_filling(struct exchange *child, struct store_object *o)
{
    struct filling_aside *f;

    if (cache_fill_some(&child->response.body, o, AT_ONCE_BYTES)) {
        exchange_child_end(child);
        return true;
    }
    f = malloc(sizeof(*f));
    if (!f)
        return false;
    *f = (struct filling_aside){child, o};
    store_hold(o);
    if (cache_behind("cache fill aside", fill, f))
        return true;
    store_leave(o);
    free(f);
    return false;
}

/* ------------------------------------------------------------------ fetching */

bool
cache_aside_wanted(const struct visit *v)
{
    return v->fresh && v->x->request.method == METHOD_GET && exchange_answer_compares(v->x);
}

/* What is known of it afterwards, but for the exchange. */
static bool
take_visit(struct visit *v, const struct visit *from)
{
    struct exchange *x = v->x;

    *v = *from;
    v->x = x;
    v->names = copy(&x->arena, from->names);
    return copy_fields(&x->arena, &from->cookies, &v->cookies);
}

static void
refuse(struct visit *v, enum cache_fetched *fetched)
{
    if (*fetched == CACHE_FETCHED_NEW) {
        store_break(v->fresh);
        store_leave(take(&v->fresh));
    }
    exchange_refuse(v->x, 503, REASON_OUT_OF_MEMORY, "a fetch for the cache");
    *fetched = CACHE_FETCHED_PASS;
}

bool
cache_fetch_aside(struct visit *v, enum cache_fetched *fetched)
{
    struct exchange *child = exchange_child(v->x, &v->c->keeper);
    struct visit aside = *v;
    bool good;

    if (!child)
        return false;
    aside.x = child;
    *fetched = cache_fetch(&aside, run_behind);
    good = take_visit(v, &aside) && adopt_head(v->x, child);
    if (good && *fetched == CACHE_FETCHED_NEW && store_length(v->fresh) >= 0 &&
        start_filling(child, v->fresh)) {
        *fetched = CACHE_FETCHED_ASIDE;
        return true;
    }
    if (!good)
        exchange_child_end(child);
    if (!good || !adopt_body(v->x, child))
        refuse(v, fetched);
    return true;
}
