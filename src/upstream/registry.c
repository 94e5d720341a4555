/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/registry.c - upstreams by name, and the fiber of each that looks names up.
 *
 * Everything here runs on the control thread.  Workers see only upstream.set, which is replaced as
 * a whole and retired when every worker has been through its loop.
 */
#include "base/map.h"
#include "observe/log.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"
#include "upstream/server.h"

#include <stdlib.h>

enum {
    TTL_MIN_S = 1,
    TTL_MAX_S = 300,
    HOSTS_FILE_S = 5,     /* names that come from /etc/hosts have no TTL */
    FAILED_RETRY_S = 2,
    ENTRIES_MAX = 16384,
};

static struct map by_name;

struct upstream *
upstream_get(struct slice name)
{
    struct upstream *u = map_get(&by_name, name);

    if (u) {
        atomic_fetch_add(&u->refs, 1);
        return u;
    }
    u = calloc(1, sizeof(*u) + name.n);
    if (!u)
        return NULL;
    memcpy((char *) (u + 1), name.at, name.n);
    u->name = slice_of((char *) (u + 1), name.n);
    u->refs = 1;
    if (map_put(&by_name, u->name, u))
        return u;
    free(u);
    return NULL;
}

static void
close_idle(void *arg)
{
    struct server_set *set = arg;

    for (size_t i = 0; i < set->lb.n; i++)
        server_pool_close(set->servers[i]);
}

/* Servers that are not in the current set any more: their idle connections are of no use. */
static void
close_idle_gone(void *arg)
{
    struct server_set **old_and_new = arg;
    struct server_set *old = old_and_new[0], *now = old_and_new[1];

    for (size_t i = 0; i < old->lb.n; i++) {
        bool stays = false;

        for (size_t j = 0; j < now->lb.n && !stays; j++)
            stays = now->servers[j] == old->servers[i];
        if (!stays)
            server_pool_close(old->servers[i]);
    }
}

static void
free_pair(void *arg)
{
    struct server_set **old_and_new = arg;

    server_set_free(old_and_new[0]);
    free(old_and_new);
}

/* Publishes a set; the old one goes when every worker has let go of it. */
static void
publish(struct upstream *u, struct server_set *set)
{
    struct server_set *old = atomic_exchange(&u->set, set);
    struct server_set **pair;

    if (!old)
        return;
    pair = calloc(2, sizeof(struct server_set *));
    if (!pair)
        return; /* leaked rather than used after it is freed */
    pair[0] = old;
    pair[1] = set;
    (void) workers_each(close_idle_gone, free_pair, pair);
}

/* The server of this address that the upstream has already, or a new one; a reference either
 * way. */
static struct server *
find_or_make(struct upstream *u, const union address *address)
{
    struct server_set *set = atomic_load(&u->set);

    for (size_t i = 0; set && i < set->lb.n; i++)
        if (address_eq(&set->servers[i]->address, address)) {
            server_hold(set->servers[i]);
            return set->servers[i];
        }
    return server_new(address);
}

struct building {
    struct upstream              *upstream;
    const struct upstream_config *config;
    struct server_entry *entries;
    size_t               n, room;
    bool                 unresolved;
    uint32_t             ttl_s;
};

static bool
add(struct building *b, const union address *address, int64_t weight)
{
    for (size_t i = 0; i < b->n; i++)
        if (address_eq(&b->entries[i].server->address, address))
            return true;
    if (b->n == ENTRIES_MAX)
        return false;
    if (b->n == b->room) {
        size_t room = b->room ? b->room * 2 : 8;
        struct server_entry *grown = realloc(b->entries, room * sizeof(*grown));

        if (!grown)
            return false;
        b->entries = grown;
        b->room = room;
    }
    b->entries[b->n].server = find_or_make(b->upstream, address);
    if (!b->entries[b->n].server)
        return false;
    b->entries[b->n++].weight = (uint32_t) weight;
    return true;
}

/* What a name had before, when it cannot be looked up now: the last answer stays in use. */
static void
keep_old(struct building *b, uint16_t port, int64_t weight, const struct server_set *old)
{
    for (size_t i = 0; old && i < old->lb.n; i++)
        if (old->servers[i]->address.any.sa_family != AF_UNIX &&
            address_port(&old->servers[i]->address) == port)
            add(b, &old->servers[i]->address, weight);
}

static enum err
add_name(struct building *b, struct slice host, uint16_t port, int64_t weight)
{
    struct dns_answer *answer = malloc(sizeof(*answer));
    enum err e = answer ? dns_resolve(host, port, answer) : ERR_NO_MEMORY;
    uint32_t ttl_s = FAILED_RETRY_S;

    if (e == ERR_CANCELLED) {
        free(answer);
        return e;
    }
    if (e == OK) {
        for (size_t i = 0; i < answer->n; i++)
            add(b, &answer->addresses[i], weight);
        ttl_s = answer->ttl_s ? answer->ttl_s : HOSTS_FILE_S;
    } else {
        struct server_set *old = atomic_load(&b->upstream->set);

        b->unresolved = true;
        if (e != ERR_NOT_FOUND)
            keep_old(b, port, weight, old);
        log_warning("name of a server does not resolve: %s upstream=%.*s name=%.*s",
                    err_sentence(e), SLICE_ARG(b->upstream->name), SLICE_ARG(host));
    }
    if (ttl_s < b->ttl_s)
        b->ttl_s = ttl_s;
    free(answer);
    return OK;
}

/* names: whether to wait for look-ups, or take only what is an address already. */
static enum err
gather(struct building *b, bool names, bool *any_name)
{
    const struct option_list *servers = &b->config->servers;
    const struct server_config *s = servers->at;

    for (size_t i = 0; i < servers->n; i++, s++) {
        union address address;
        struct slice host;
        uint16_t port;

        if (address_parse(s->address, &address)) {
            if (!add(b, &address, s->weight))
                return ERR_NO_MEMORY;
        } else if (address_split(s->address, 80, &host, &port)) {
            *any_name = true;
            b->unresolved = true;
            if (names && add_name(b, host, port, s->weight) != OK)
                return ERR_CANCELLED;
        }
    }
    return OK;
}

static const struct lb_policy_ops *
policy_of(const struct upstream_config *config)
{
    return config->balance.object ? config->balance.object->ops : &lb_round_robin;
}

static bool
same_as(const struct server_set *set, const struct building *b, const struct lb_policy_ops *policy)
{
    if (!set || set->lb.n != b->n || set->policy->ops != policy)
        return false;
    for (size_t i = 0; i < b->n; i++)
        if (set->servers[i] != b->entries[i].server || set->lb.weights[i] != b->entries[i].weight)
            return false;
    return true;
}

static void
drop(struct building *b)
{
    for (size_t i = 0; i < b->n; i++)
        server_release(b->entries[i].server);
    free(b->entries);
}

static void
finish(struct building *b)
{
    const struct lb_policy_ops *policy = policy_of(b->config);
    struct server_set *old = atomic_load(&b->upstream->set);

    if (!same_as(old, b, policy) || old->unresolved != b->unresolved) {
        struct server_set *set = server_set_new(b->entries, b->n, policy, b->unresolved);

        if (set)
            publish(b->upstream, set);
    }
    drop(b);
}

/* The looking up of one configuration's names, for as long as that is in force. */
struct resolution {
    struct upstream       *upstream; /* a reference */
    struct fiber          *fiber;
    struct upstream_config config;
    struct arena           arena; /* of the copy */
};

static uint64_t
wait_us(const struct resolution *r, uint32_t ttl_s)
{
    if (r->config.resolve_us)
        return r->config.resolve_us;
    return (uint64_t) (ttl_s < TTL_MIN_S   ? TTL_MIN_S
                       : ttl_s > TTL_MAX_S ? TTL_MAX_S
                                           : ttl_s) *
           1000000u;
}

static void
resolution_free(struct resolution *r)
{
    arena_free(&r->arena);
    upstream_release(r->upstream);
    free(r);
}

static void
resolve(void *arg)
{
    struct resolution *r = arg;

    for (;;) {
        struct building b = {.upstream = r->upstream, .config = &r->config, .ttl_s = TTL_MAX_S};
        bool any = false;
        enum err e = gather(&b, true, &any);

        if (e == ERR_CANCELLED || fiber_self()->cancelled != OK) {
            drop(&b);
            break;
        }
        finish(&b);
        r->upstream->settled = true;
        if (fiber_sleep_until(loop_now_us() + wait_us(r, b.ttl_s)) != OK)
            break;
    }
    resolution_free(r);
}

static struct resolution *
resolution_new(struct upstream *u, const struct upstream_config *config)
{
    struct resolution *r = calloc(1, sizeof(*r));
    struct server_config *servers;

    if (!r)
        return NULL;
    arena_init(&r->arena, NULL, 0, SIZE_MAX / 2);
    servers = arena_calloc(&r->arena, config->servers.n + 1, sizeof(*servers));
    if (!servers) {
        free(r);
        return NULL;
    }
    for (size_t i = 0; i < config->servers.n; i++) {
        servers[i] = ((const struct server_config *) config->servers.at)[i];
        servers[i].address = arena_copy(&r->arena, servers[i].address);
    }
    r->config = *config;
    r->config.servers.at = servers;
    r->upstream = u;
    atomic_fetch_add(&u->refs, 1);
    r->fiber = fiber_start("resolve", resolve, r);
    if (r->fiber)
        return r;
    resolution_free(r);
    return NULL;
}

enum err
upstream_apply(struct upstream *u, const struct upstream_config *config)
{
    struct building b = {.upstream = u, .config = config, .ttl_s = TTL_MAX_S};
    bool any_name = false;
    enum err e;

    upstream_stop(u);
    e = gather(&b, false, &any_name);
    if (e != OK) {
        drop(&b);
        return e;
    }
    /* With names, servers in use stay until the answers are there. */
    if (any_name && atomic_load(&u->set))
        drop(&b);
    else
        finish(&b);
    u->settled = !any_name;
    if (!any_name)
        return OK;
    u->resolution = resolution_new(u, config);
    return u->resolution ? OK : ERR_NO_MEMORY;
}

void
upstream_stop(struct upstream *u)
{
    struct resolution *r = take(&u->resolution);

    /* It frees itself. */
    if (r)
        fiber_cancel(r->fiber, ERR_CANCELLED);
}

void
upstream_release(struct upstream *u)
{
    struct server_set *set;

    if (atomic_fetch_sub(&u->refs, 1) != 1)
        return;
    map_remove(&by_name, u->name);
    set = atomic_load(&u->set);
    if (set)
        (void) workers_each(close_idle, server_set_free, set);
    free(u);
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
    map_free(&by_name);
}
