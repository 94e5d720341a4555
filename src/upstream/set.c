/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/set.c - immutable sets of servers: what a policy chooses from.
 */
#include "upstream/server.h"

#include <stdlib.h>

void
server_set_free(void *what)
{
    struct server_set *set = what;

    if (!set)
        return;
    if (set->policy)
        lb_policy_free(set->policy);
    for (size_t i = 0; i < set->lb.n; i++)
        server_release(set->entries[i].server);
    free(set->entries);
    map_free(&set->by_text);
    free((void *) set->lb.targets);
    free((void *) set->lb.weights);
    free((void *) set->lb.keys);
    free((void *) set->lb.places);
    free((void *) set->lb.near);
    free(set);
}

/* The columns that policies read. */
struct columns {
    struct lb_target **targets;
    uint32_t          *weights;
    uint64_t          *keys;
    struct lb_place   *places;
    uint16_t          *near;
};

static bool
make_columns(struct columns *c, size_t n, size_t regions)
{
    size_t room = n ? n : 1;

    *c = (struct columns){
        .targets = calloc(room, sizeof(*c->targets)),
        .weights = calloc(room, sizeof(*c->weights)),
        .keys = calloc(room, sizeof(*c->keys)),
        .places = calloc(room, sizeof(*c->places)),
        .near = calloc(regions * regions + 1, sizeof(*c->near)),
    };
    return c->targets && c->weights && c->keys && c->places && c->near;
}

static void
fill(struct server_set *set, struct columns *c, const struct set_options *o)
{
    bool placed = false;

    for (size_t i = 0; i < set->lb.n; i++) {
        const struct server_entry *e = &set->entries[i];

        server_hold(e->server);
        c->targets[i] = e->server->target;
        c->weights[i] = e->weight;
        c->keys[i] = e->server->key;
        c->places[i] = e->place;
        placed = placed || e->place.tier || e->place.region != LB_NO_REGION;
    }
    set->lb.targets = c->targets;
    set->lb.weights = c->weights;
    set->lb.keys = c->keys;
    set->lb.regions = o->regions;
    if (o->regions)
        memcpy(c->near, o->near, o->regions * o->regions * sizeof(*c->near));
    set->lb.near = c->near;
    set->lb.places = c->places;
    if (!placed) {
        free(c->places);
        set->lb.places = NULL;
    }
}

static bool
index_servers(struct server_set *set)
{
    for (size_t i = 0; i < set->lb.n; i++)
        if (!map_put(&set->by_text, set->entries[i].server->text, set->entries[i].server))
            return false;
    return true;
}

bool
server_set_has(const struct server_set *set, const struct server *s)
{
    return map_get(&set->by_text, s->text) == s;
}

struct server_set *
server_set_new(const struct server_entry *entries, size_t n, const struct set_options *o,
               bool unresolved)
{
    struct server_set *set = calloc(1, sizeof(*set));
    struct server_entry *own = calloc(n ? n : 1, sizeof(*own));
    struct columns c;

    if (!make_columns(&c, n, o->regions) || !set || !own) {
        free(c.targets);
        free(c.weights);
        free(c.keys);
        free(c.places);
        free(c.near);
        free(own);
        free(set);
        return NULL;
    }
    if (n)
        memcpy(own, entries, n * sizeof(*own));
    set->lb.n = n;
    set->entries = own;
    set->unresolved = unresolved;
    set->counted_at = UINT64_MAX;
    fill(set, &c, o);
    if (index_servers(set))
        set->policy = lb_policy_new(&set->lb, o->policy, &o->lb);
    if (!set->policy) {
        server_set_free(set);
        return NULL;
    }
    return set;
}

uint64_t
server_set_health(struct server_set *set)
{
    uint64_t standings = atomic_load(&server_standings);
    uint32_t usable = 0, wanted = 0;

    if (atomic_load_explicit(&set->counted_at, memory_order_acquire) == standings)
        return atomic_load_explicit(&set->usable, memory_order_relaxed);
    for (size_t i = 0; i < set->lb.n; i++) {
        uint8_t standing = atomic_load_explicit(&set->lb.targets[i]->standing,
                                                memory_order_relaxed);

        usable += standing == LB_USABLE;
        wanted += standing != LB_OUT;
    }
    usable = wanted ? (uint32_t) ((uint64_t) usable * 1000000 / wanted) : 0;
    atomic_store_explicit(&set->usable, usable, memory_order_relaxed);
    atomic_store_explicit(&set->counted_at, standings, memory_order_release);
    return usable;
}
