/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/registry.c - upstreams by name, what is in force for each, and the publishing of sets.
 *
 * Everything here runs on the control thread.  Workers see only upstream.set, which is replaced as
 * a whole and retired when every worker has been through its loop.
 */
#include "upstream/discovery.h"
#include "upstream/guard.h"
#include "upstream/health.h"
#include "upstream/judge.h"
#include "upstream/status.h"

#include <stdlib.h>

static struct map by_name;
static struct loop *control;

void
upstreams_init(unsigned workers)
{
    upstream_workers = workers;
    control = loop_self();
}

/* ------------------------------------------------------------------ messages home */

struct errand {
    struct message message;
    void         (*run)(void *arg);
    void          *arg;
};

static void
run_errand(struct message *m)
{
    struct errand *e = container_of(m, struct errand, message);

    e->run(e->arg);
    free(e);
}

bool
upstream_tell(void (*run)(void *arg), void *arg)
{
    struct errand *e = calloc(1, sizeof(*e));

    if (!e)
        return false;
    *e = (struct errand){.message.run = run_errand, .run = run, .arg = arg};
    loop_post(control, &e->message);
    return true;
}

/* ------------------------------------------------------------------ by name */

void
upstream_keep(struct upstream *u)
{
    atomic_fetch_add_explicit(&u->keeps, 1, memory_order_relaxed);
}

void
upstream_drop(struct upstream *u)
{
    if (atomic_fetch_sub_explicit(&u->keeps, 1, memory_order_acq_rel) != 1)
        return;
    if (u->guard)
        guard_free(u->guard);
    free(u->counters);
    free(u);
}

static struct upstream *
upstream_new(struct slice name)
{
    struct upstream *u = calloc(1, sizeof(*u) + name.n);

    if (!u)
        return NULL;
    memcpy((char *) (u + 1), name.at, name.n);
    u->name = slice_of((char *) (u + 1), name.n);
    u->refs = u->keeps = 1;
    list_init(&u->overrides);
    if (map_put(&by_name, u->name, u))
        return u;
    upstream_drop(u);
    return NULL;
}

struct upstream *
upstream_find(struct slice name)
{
    return map_get(&by_name, name);
}

struct upstream *
upstream_get(struct slice name)
{
    struct upstream *u = upstream_find(name);

    if (!u)
        return upstream_new(name);
    atomic_fetch_add(&u->refs, 1);
    return u;
}

/* ------------------------------------------------------------------ sets */

static void
close_idle(void *arg)
{
    struct server_set *set = arg;

    for (size_t i = 0; i < set->lb.n; i++)
        server_pool_close(set->entries[i].server);
}

/* From one set to the next. */
struct change {
    struct upstream   *upstream; /* kept */
    struct server_set *old, *now; /* old may be NULL */
    struct config     *owner;    /* a reference */
    const struct upstream_config *config;
};

/* In the context of each worker: idle connections of servers that have left are of no use; others
 * want some open beforehand. */
static void
on_change(void *arg)
{
    struct change *c = arg;

    for (size_t i = 0; c->old && i < c->old->lb.n; i++)
        if (!server_set_has(c->now, c->old->entries[i].server))
            server_pool_close(c->old->entries[i].server);
    for (size_t i = 0; i < c->now->lb.n; i++)
        server_pool_warm(c->now->entries[i].server, c->config, c->owner);
}

static void
changed(void *arg)
{
    struct change *c = arg;

    server_set_free(c->old);
    config_free(c->owner);
    upstream_drop(c->upstream);
    free(c);
}

/* old may be NULL; out of memory it is leaked rather than used after it is freed. */
static void
tell_workers(struct upstream *u, struct server_set *old, struct server_set *set)
{
    struct change *c = calloc(1, sizeof(*c));

    if (!c)
        return;
    *c = (struct change){u, old, set, config_hold(u->owner), u->config};
    upstream_keep(u);
    if (!workers_each(on_change, changed, c)) {
        c->old = NULL;
        changed(c);
    }
}

/* Publishes a set; the old one goes when every worker has let go of it. */
void
upstream_publish(struct upstream *u, struct server_set *set)
{
    struct server_set *old = atomic_exchange(&u->set, set);

    atomic_fetch_add(&server_standings, 1);
    for (size_t i = 0; old && i < old->lb.n; i++)
        if (!server_set_has(set, old->entries[i].server))
            server_set_fault(old->entries[i].server, SERVER_IS_LEAVING, true);
    tell_workers(u, old, set);
}

void
upstreams_served(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&by_name, &i));) {
        struct upstream *u = slot->value;
        struct server_set *set = atomic_load(&u->set);

        if (u->config && set && u->config->connections.warm)
            tell_workers(u, NULL, set);
    }
}

/* ------------------------------------------------------------------ what is in force */

void
upstream_stop(struct upstream *u)
{
    discovery_stop(u);
    health_stop(u);
    judge_stop(u);
    u->config = NULL;
    config_free(take(&u->owner));
}

/* What workers count: once it is known how many there are, which the configuration says. */
static bool
equip(struct upstream *u)
{
    if (u->guard)
        return true;
    u->counters = aligned_alloc(64, upstream_workers * sizeof(*u->counters));
    if (!u->counters)
        return false;
    memset(u->counters, 0, upstream_workers * sizeof(*u->counters));
    u->guard = guard_new(upstream_workers);
    if (!u->guard)
        free(take(&u->counters));
    return u->guard != NULL;
}

enum err
upstream_apply(struct upstream *u, const struct upstream_config *config, struct config *owner)
{
    struct config *old = u->owner;
    enum err e;

    if (!equip(u))
        return ERR_NO_MEMORY;
    discovery_stop(u);
    u->config = config;
    u->owner = config_hold(owner);
    e = discovery_start(u);
    config_free(old);
    return e;
}

void
upstreams_applied(void)
{
    status_publish(&by_name);
}

void
upstream_release(struct upstream *u)
{
    struct server_set *set;

    if (atomic_fetch_sub(&u->refs, 1) != 1)
        return;
    map_remove(&by_name, u->name);
    status_publish(&by_name);
    upstream_stop(u);
    discovery_overrides_free(u);
    set = atomic_exchange(&u->set, NULL);
    if (set)
        (void) workers_each(close_idle, server_set_free, set);
    upstream_drop(u);
}

bool
upstreams_settled(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&by_name, &i));)
        if (!((struct upstream *) slot->value)->settled)
            return false;
    return true;
}

void
upstream_changes_each(void (*visit)(void *arg, struct slice upstream,
                                    const struct upstream_change *change),
                      void *arg)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&by_name, &i));)
        discovery_overrides_each(slot->value, visit, arg);
}

void
upstreams_close_idle(void)
{
    const struct map_slot *slot;

    server_rests_end();
    for (size_t i = 0; (slot = map_each(&by_name, &i));) {
        struct server_set *set = atomic_load(&((struct upstream *) slot->value)->set);

        if (set)
            close_idle(set);
    }
}

void
upstreams_stop_all(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&by_name, &i));)
        upstream_stop(slot->value);
}

void
upstreams_exit(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&by_name, &i));) {
        struct upstream *u = slot->value;

        server_set_free(atomic_exchange(&u->set, NULL));
    }
    status_exit();
    map_free(&by_name);
}
