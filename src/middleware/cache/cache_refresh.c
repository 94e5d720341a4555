/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_refresh.c - a stale one is served, and a new one fetched behind it (RFC
 * 5861 3).
 *
 * The fetch is a child of the exchange that found it stale, runs through the rest of its chain, and
 * ends by itself.
 */
#include "exchange/child.h"
#include "middleware/cache/caching.h"
#include "runtime/loop.h"

#include <stdlib.h>

/* On one worker.  No limit of a client's counts those: he has his answer long since. */
enum { REFRESHES_MAX = 128 };

static _Thread_local unsigned refreshes;

static void
run_behind(struct visit *v)
{
    exchange_child_run_behind(v->x, v->self);
}

static void
leave(struct store_object **o)
{
    if (*o)
        store_leave(take(o));
}

static void
refresh(void *arg)
{
    struct visit *v = arg;

    if (cache_fetch(v, run_behind) == CACHE_FETCHED_NEW)
        cache_fill_here(take(&v->x->response.body), v->fresh);
    leave(&v->fresh);
    leave(&v->found);
    caching_counts(v->c)->refreshed++;
    exchange_child_end(v->x);
    free(v);
    refreshes--;
}

void
cache_refresh(struct visit *from)
{
    struct store_object *fresh = take(&from->fresh);
    struct visit *v = refreshes < REFRESHES_MAX ? malloc(sizeof(*v)) : NULL;

    if (v) {
        *v = *from;
        v->told = (struct cache_status){0};
        v->asked = (struct cache_control){0};
        v->fresh = fresh;
        v->x = exchange_child(from->x, &from->c->keeper);
        if (v->x) {
            /* What this client alone wants does not count. */
            cache_control_of_request(&(struct fields){0}, &v->asked);
            if (slice_is_present(v->names))
                v->names = arena_copy(&v->x->arena, v->names);
            v->x->request.method = METHOD_GET;
            v->x->request.method_token = SLICE("GET");
            store_hold(v->found);
            refreshes++;
            if (cache_behind("cache refresh", refresh, v))
                return;
            refreshes--;
            store_leave(v->found);
            exchange_child_end(v->x);
        }
        free(v);
    }
    store_decline(fresh);
    store_leave(fresh);
}
