/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discovery.c - from the entries of `servers:` to a set that is published.
 *
 * A round asks every source and makes one list of what they say; changes made while running
 * (overrides) are laid over it; then a new set is published if anything is different.  Sources that
 * have to wait (names) are asked by a fiber of the upstream's own, for as long as one configuration
 * is in force.
 */
#include "upstream/discovery.h"

#include "observe/log.h"
#include "runtime/fiber.h"
#include "upstream/conn.h"
#include "upstream/health.h"
#include "upstream/judge.h"
#include "upstream/locality.h"
#include "upstream/sticky.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 16384,
    AGAIN_MAX_US = 300000000,
    AGAIN_MIN_US = 100000,
};

const struct discovery_source *const discovery_sources[] = {
    &discover_address,
    &discover_name,
    &discover_srv,
    &discover_file,
    NULL,
};

/* A change while running. */
struct override {
    struct list            link; /* in upstream.overrides */
    struct upstream_change change;
    bool                   removed, added, weighted, stated; /* which of it counts */
};

/* The asking for one configuration, for as long as that is in force. */
struct discovery {
    struct upstream *upstream; /* kept */
    struct fiber    *fiber;    /* NULL: no source waits */
    struct config   *owner;    /* a reference: the configuration that is asked for */
    const struct upstream_config *config;
    void           **memories; /* one for each entry */
};

static const struct discovery_source *
source_of(const struct server_config *entry)
{
    for (size_t i = 0; discovery_sources[i]; i++)
        if (discovery_sources[i]->takes(entry))
            return discovery_sources[i];
    return NULL;
}

/* ------------------------------------------------------------------ what sources call */

struct discovered
discovered_of(const struct server_config *source, const union address *address)
{
    return (struct discovered){
        .source = source,
        .address = *address,
        .weight = (uint32_t) source->weight,
        .tier = (uint16_t) source->tier,
        .region = source->region,
        .max_connections = source->max_connections,
        .state = (enum server_state) source->state,
    };
}

void
discovery_again(struct discovery_round *r, uint64_t us)
{
    if (us < AGAIN_MIN_US)
        us = AGAIN_MIN_US;
    if (us < r->again_us)
        r->again_us = us;
}

void **
discovery_memory(struct discovery_round *r, const struct server_config *entry)
{
    const struct server_config *first = r->config->servers.at;

    return &r->memories[entry - first];
}

/* Tells the same entry again in the next configuration. */
static uint64_t
source_key(const struct server_config *s)
{
    return hash_bytes(s->address) ^ hash_bytes(s->srv) * 3 ^ hash_bytes(s->file) * 5;
}

static uint16_t
region_of(const struct discovery_round *r, struct slice name)
{
    const struct locality_config *l = r->config->locality;

    return l && name.n ? locality_find(l, name) : LB_NO_REGION;
}

static bool
has_room(struct discovery_round *r)
{
    size_t room = r->room ? r->room * 2 : 8;
    struct server_entry *grown;

    if (r->n == ENTRIES_MAX)
        return false;
    if (r->n < r->room)
        return true;
    grown = realloc(r->entries, room * sizeof(*grown));
    if (!grown) {
        r->no_memory = true;
        return false;
    }
    r->entries = grown;
    r->room = room;
    return true;
}

/* Is it in the list?  If not, it is from now on, when its server has been put there. */
static bool
is_listed(const struct discovery_round *r, const union address *address)
{
    char text[ADDRESS_TEXT_MAX];

    return map_get(&r->listed, slice_of(text, address_write(address, text))) != NULL;
}

/* The server of this address that the upstream has already: it keeps its state. */
static struct server *
find(const struct upstream *u, const union address *address)
{
    const struct server_set *set = atomic_load(&u->set);
    char text[ADDRESS_TEXT_MAX];

    return set ? map_get(&set->by_text, slice_of(text, address_write(address, text))) : NULL;
}

static struct server *
find_or_make(struct discovery_round *r, const union address *address)
{
    struct server *s = find(r->upstream, address);

    if (s) {
        server_hold(s);
        return s;
    }
    if (!servers_new(r->upstream, address, 1, &s))
        return NULL;
    /* Who joins a group that serves already must show first that it can. */
    if (r->upstream->served && r->config->health.n)
        server_set_fault(s, SERVER_IS_UNPROVED, true);
    else if (r->upstream->served)
        server_begin_ramp(s, r->config->slow_start_us);
    return s;
}

static void
set_state(struct server *s, enum server_state state)
{
    server_set_fault(s, SERVER_IS_DRAINING, state == SERVER_DRAINING);
    server_set_fault(s, SERVER_IS_IN_MAINTENANCE, state == SERVER_MAINTENANCE);
}

/* The last entry is in its place. */
static bool
list_it(struct discovery_round *r)
{
    struct server *s = r->entries[r->n++].server;

    if (!map_put(&r->listed, s->text, s))
        r->no_memory = true;
    return !r->no_memory;
}

/* Within what policies understand. */
static uint32_t
weight_of(uint32_t weight)
{
    return weight < 1 ? 1 : weight > LB_WEIGHT_MAX ? LB_WEIGHT_MAX : weight;
}

bool
discovery_add(struct discovery_round *r, const struct discovered *d)
{
    struct server_entry *e;

    if (is_listed(r, &d->address))
        return true;
    if (!has_room(r))
        return false;
    e = &r->entries[r->n];
    *e = (struct server_entry){
        .server = find_or_make(r, &d->address),
        .weight = weight_of(d->weight),
        .place = {d->tier, region_of(r, d->region)},
        .source = source_key(d->source),
        .wanted = d->state,
    };
    if (!e->server) {
        r->no_memory = true;
        return false;
    }
    atomic_store(&e->server->limit, (uint32_t) d->max_connections);
    atomic_store(&e->server->target->limit, (uint32_t) d->max_connections);
    line_admit(e->server);
    server_set_name(e->server, d->name);
    return list_it(r);
}

/* What the source gave last. */
static void
keep(struct discovery_round *r, const struct server_config *source, bool stale)
{
    const struct server_set *set = atomic_load(&r->upstream->set);
    uint64_t key = source_key(source);

    for (size_t i = 0; set && i < set->lb.n; i++) {
        const struct server_entry *e = &set->entries[i];

        if (e->source != key || is_listed(r, &e->server->address) || !has_room(r))
            continue;
        r->entries[r->n] = *e;
        r->entries[r->n].stale = stale || e->stale;
        server_hold(e->server);
        (void) list_it(r);
    }
}

void
discovery_keep(struct discovery_round *r, const struct server_config *source)
{
    r->unresolved = true;
    keep(r, source, true);
}

/* ------------------------------------------------------------------ changes while running */

static struct override *
override_find(const struct upstream *u, const union address *address)
{
    list_each (link, &u->overrides) {
        struct override *o = list_entry(link, struct override, link);

        if (address_eq(&o->change.server, address))
            return o;
    }
    return NULL;
}

static void
override_free(struct override *o)
{
    list_remove(&o->link);
    free(o);
}

static void
add_override(struct discovery_round *r, const struct override *o)
{
    static const struct server_config nothing = {.weight = 1};
    struct discovered d = discovered_of(&nothing, &o->change.server);

    d.weight = o->change.weight ? o->change.weight : 1;
    discovery_add(r, &d);
}

/* What was changed while running is laid over what the sources say. */
static void
lay_over(struct discovery_round *r)
{
    list_each (link, &r->upstream->overrides) {
        struct override *o = list_entry(link, struct override, link);

        if (o->added && !o->removed)
            add_override(r, o);
    }
    for (size_t i = 0; i < r->n;) {
        const struct override *o = override_find(r->upstream, &r->entries[i].server->address);

        if (o && o->removed) {
            map_remove(&r->listed, r->entries[i].server->text);
            server_release(r->entries[i].server);
            memmove(&r->entries[i], &r->entries[i + 1], (--r->n - i) * sizeof(r->entries[0]));
            continue;
        }
        if (o && o->weighted)
            r->entries[i].weight = weight_of(o->change.weight);
        if (o && o->stated)
            r->entries[i].wanted = o->change.state;
        i++;
    }
}

static void
merge_change(struct override *o, const struct upstream_change *c)
{
    switch (c->kind) {
    case UPSTREAM_ADD:
        o->added = true;
        o->removed = false;
        o->weighted = c->weight != 0;
        o->change.weight = c->weight;
        o->stated = c->state != SERVER_READY;
        o->change.state = c->state;
        break;
    case UPSTREAM_REMOVE: o->removed = true; break;
    case UPSTREAM_WEIGHT:
        o->weighted = true;
        o->change.weight = c->weight;
        break;
    case UPSTREAM_STATE:
        o->stated = true;
        o->change.state = c->state;
        break;
    case UPSTREAM_FORGET: break;
    }
}

enum err
upstream_restore(struct upstream *u, const struct upstream_change *c)
{
    struct override *o = override_find(u, &c->server);

    if (!o) {
        o = calloc(1, sizeof(*o));
        if (!o)
            return ERR_NO_MEMORY;
        o->change.server = c->server;
        list_append(&u->overrides, &o->link);
    }
    merge_change(o, c);
    return OK;
}

enum err
upstream_change(struct upstream *u, const struct upstream_change *c)
{
    struct override *o = override_find(u, &c->server);

    if (c->kind == UPSTREAM_FORGET) {
        if (!o)
            return ERR_NOT_FOUND;
        override_free(o);
        discovery_refresh(u);
        return OK;
    }
    if (c->kind != UPSTREAM_ADD && !find(u, &c->server))
        return ERR_NOT_FOUND;
    if (upstream_restore(u, c) != OK)
        return ERR_NO_MEMORY;
    discovery_refresh(u);
    return OK;
}

/* One visit for each thing that counts.  REMOVE comes last, because ADD takes it back. */
static void
visit_override(const struct upstream *u, const struct override *o,
               void (*visit)(void *arg, struct slice upstream,
                             const struct upstream_change *change),
               void *arg)
{
    const bool counts[] = {
        [UPSTREAM_ADD] = o->added,
        [UPSTREAM_WEIGHT] = o->weighted,
        [UPSTREAM_STATE] = o->stated,
        [UPSTREAM_REMOVE] = o->removed,
    };
    static const enum upstream_change_kind order[] = {UPSTREAM_ADD, UPSTREAM_WEIGHT,
                                                      UPSTREAM_STATE, UPSTREAM_REMOVE};

    for (size_t i = 0; i < countof(order); i++) {
        struct upstream_change c = {.kind = order[i], .server = o->change.server};

        c.weight = o->weighted ? o->change.weight : 0;
        c.state = o->stated ? o->change.state : SERVER_READY;
        if (counts[c.kind])
            visit(arg, u->name, &c);
    }
}

void
discovery_overrides_each(const struct upstream *u,
                         void (*visit)(void *arg, struct slice upstream,
                                       const struct upstream_change *change),
                         void *arg)
{
    list_each (link, &u->overrides)
        visit_override(u, list_entry(link, struct override, link), visit, arg);
}

/* ------------------------------------------------------------------ a round */

static bool
was_unresolved(const struct upstream *u)
{
    const struct server_set *set = atomic_load(&u->set);

    return set && set->unresolved;
}

static enum err
gather(struct discovery_round *r)
{
    const struct server_config *entry = r->config->servers.at;

    for (size_t i = 0; i < r->config->servers.n; i++, entry++) {
        const struct discovery_source *source = source_of(entry);

        if (!source)
            continue;
        if (source->waits && !r->waiting) {
            keep(r, entry, false);
            r->unresolved = r->unresolved || !r->upstream->settled || was_unresolved(r->upstream);
        } else if (source->ask(r, entry) == ERR_CANCELLED) {
            return ERR_CANCELLED;
        }
    }
    lay_over(r);
    return r->no_memory ? ERR_NO_MEMORY : OK;
}

static void
drop(struct discovery_round *r)
{
    for (size_t i = 0; i < r->n; i++)
        server_release(r->entries[i].server);
    free(r->entries);
    map_free(&r->listed);
}

static uint64_t
options_hash(const struct upstream_config *c, const struct set_options *o)
{
    uint64_t h = hash_bytes(slice_of((const char *) &o->lb, sizeof(o->lb)));

    h ^= (uint64_t) (uintptr_t) o->policy * 31;
    if (o->regions)
        h ^= hash_bytes(slice_of((const char *) o->near, o->regions * o->regions *
                                                             sizeof(*o->near)));
    return h ^ c->slow_start_us;
}

static bool
same_as(const struct server_set *set, const struct discovery_round *r, uint64_t options)
{
    if (!set || set->lb.n != r->n || set->options != options || set->unresolved != r->unresolved)
        return false;
    for (size_t i = 0; i < r->n; i++) {
        const struct server_entry *a = &set->entries[i], *b = &r->entries[i];

        if (a->server != b->server || a->weight != b->weight || a->stale != b->stale ||
            a->source != b->source || a->place.tier != b->place.tier ||
            a->place.region != b->place.region)
            return false;
    }
    return true;
}

/* Those that operators and sources want out, and what cookies call them. */
static void
prepare(struct discovery_round *r)
{
    const struct sticky_config *sticky = r->config->sticky;

    for (size_t i = 0; i < r->n; i++) {
        struct server *s = r->entries[i].server;

        set_state(s, r->entries[i].wanted);
        if (!r->config->health.n)
            server_set_fault(s, SERVER_IS_UNPROVED, false);
        s->sticky_id = sticky ? sticky_id(sticky->secret, r->upstream->name, s->text) : 0;
    }
}

/* Differs between machines, so that the subsets of all of them use the whole group. */
static uint64_t
machine(void)
{
    char name[256] = "";

    (void) gethostname(name, sizeof(name) - 1);
    return hash_stable(slice_str(name));
}

static struct set_options
set_options_of(const struct upstream_config *c, uint16_t *near)
{
    static const struct lb_options none = {0};
    const struct balance_config *balance = upstream_balance(c);
    struct set_options o = {
        .policy = c->balance.object ? c->balance.object->ops : &lb_round_robin,
        .lb = balance ? balance->lb : none,
    };

    o.lb.subset = (uint32_t) c->subset;
    o.lb.workers = upstream_workers;
    o.lb.seed = machine();
    if (c->locality) {
        locality_near(c->locality, near);
        o.lb.spill = c->locality->spill;
        o.regions = c->locality->regions.n;
        o.near = near;
    }
    return o;
}

static void
finish(struct discovery_round *r)
{
    size_t regions = r->config->locality ? r->config->locality->regions.n : 0;
    uint16_t *near = calloc(regions * regions + 1, sizeof(*near));
    struct server_set *set;
    struct set_options o;
    uint64_t options;

    if (near) {
        o = set_options_of(r->config, near);
        options = options_hash(r->config, &o);
        prepare(r);
        if (!same_as(atomic_load(&r->upstream->set), r, options)) {
            set = server_set_new(r->entries, r->n, &o, r->unresolved);
            if (set) {
                set->options = options;
                upstream_publish(r->upstream, set);
            }
        }
        health_follow(r->upstream);
        judge_follow(r->upstream);
    }
    free(near);
    drop(r);
}

/* ------------------------------------------------------------------ asking again and again */

static void
discovery_free(struct discovery *d)
{
    const struct server_config *entry = d->config->servers.at;

    for (size_t i = 0; i < d->config->servers.n; i++) {
        const struct discovery_source *source = source_of(&entry[i]);

        if (d->memories[i] && source && source->forget)
            source->forget(d->memories[i]);
    }
    free(d->memories);
    config_free(d->owner);
    upstream_drop(d->upstream);
    free(d);
}

static void
ask_on(void *arg)
{
    struct discovery *d = arg;
    struct upstream *u = d->upstream;

    while (u->discovery == d) {
        struct discovery_round r = {
            .upstream = u,
            .config = d->config,
            .memories = d->memories,
            .again_us = AGAIN_MAX_US,
            .waiting = true,
        };
        enum err e = gather(&r);

        if (e == ERR_CANCELLED || fiber_self()->cancelled != OK || u->discovery != d) {
            drop(&r);
            break;
        }
        finish(&r);
        u->settled = u->served = true;
        if (d->config->resolve_us && r.again_us > d->config->resolve_us)
            r.again_us = d->config->resolve_us;
        if (fiber_sleep_until(loop_now_us() + r.again_us) != OK)
            break;
    }
    discovery_free(d);
}

static bool
any_waits(const struct upstream_config *c)
{
    const struct server_config *entry = c->servers.at;

    for (size_t i = 0; i < c->servers.n; i++) {
        const struct discovery_source *source = source_of(&entry[i]);

        if (source && source->waits)
            return true;
    }
    return false;
}

static struct discovery *
discovery_new(struct upstream *u)
{
    struct discovery *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->memories = calloc(u->config->servers.n + 1, sizeof(*d->memories));
    if (!d->memories) {
        free(d);
        return NULL;
    }
    d->upstream = u;
    d->config = u->config;
    d->owner = config_hold(u->owner);
    upstream_keep(u);
    return d;
}

/* All addresses that stand in the configuration, made together: targets beside each other. */
static void
make_together(struct upstream *u, const struct upstream_config *c)
{
    const struct server_config *entry = c->servers.at;
    union address *addresses;
    struct server **servers;
    struct server_set *set = NULL;
    struct server_entry *entries;
    struct set_options none = {.policy = &lb_random};
    size_t n = 0;

    if (atomic_load(&u->set) || c->servers.n < 2)
        return;
    addresses = calloc(c->servers.n, sizeof(*addresses));
    servers = calloc(c->servers.n, sizeof(struct server *));
    entries = calloc(c->servers.n, sizeof(*entries));
    for (size_t i = 0; addresses && servers && entries && i < c->servers.n; i++)
        if (entry[i].address.n && address_parse(entry[i].address, &addresses[n]))
            n++;
    if (n && servers_new(u, addresses, n, servers)) {
        for (size_t i = 0; i < n; i++)
            entries[i] = (struct server_entry){.server = servers[i], .weight = 1};
        set = server_set_new(entries, n, &none, true);
        for (size_t i = 0; i < n; i++)
            server_release(servers[i]);
    }
    if (set)
        upstream_publish(u, set);
    free(addresses);
    free(servers);
    free(entries);
}

enum err
discovery_start(struct upstream *u)
{
    struct discovery_round r = {.upstream = u, .config = u->config};
    bool waits = any_waits(u->config);
    enum err e;

    u->discovery = discovery_new(u);
    if (!u->discovery)
        return ERR_NO_MEMORY;
    r.memories = u->discovery->memories;
    make_together(u, u->config);
    e = gather(&r);
    if (e != OK) {
        drop(&r);
        return e;
    }
    finish(&r);
    u->settled = !waits;
    if (!waits) {
        u->served = true;
        return OK;
    }
    u->discovery->fiber = fiber_start("discover", ask_on, u->discovery);
    if (u->discovery->fiber)
        return OK;
    discovery_free(take(&u->discovery));
    return ERR_NO_MEMORY;
}

void
discovery_stop(struct upstream *u)
{
    struct discovery *d = take(&u->discovery);

    if (!d)
        return;
    if (d->fiber)
        fiber_cancel(d->fiber, ERR_CANCELLED); /* it frees itself */
    else
        discovery_free(d);
}

void
discovery_refresh(struct upstream *u)
{
    struct discovery_round r = {.upstream = u, .config = u->config};

    if (!u->config || !u->discovery)
        return;
    r.memories = u->discovery->memories;
    if (gather(&r) == OK)
        finish(&r);
    else
        drop(&r);
}

void
discovery_overrides_free(struct upstream *u)
{
    list_each (link, &u->overrides)
        override_free(list_entry(link, struct override, link));
}

/* ------------------------------------------------------------------ plain addresses */

static bool
takes_address(const struct server_config *entry)
{
    union address address;

    return entry->address.n && address_parse(entry->address, &address);
}

static enum err
ask_address(struct discovery_round *r, const struct server_config *entry)
{
    union address address;
    struct discovered d;

    if (!address_parse(entry->address, &address))
        return OK;
    d = discovered_of(entry, &address);
    discovery_add(r, &d);
    return OK;
}

const struct discovery_source discover_address = {
    .name = "address",
    .takes = takes_address,
    .ask = ask_address,
};
