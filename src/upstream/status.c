/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/status.c - what upstreams and servers are doing, as JSON, for whoever asks on whatever
 * worker.
 *
 * Which upstreams there are belongs to the control thread; for readers it publishes a directory
 * that is replaced as a whole.
 */
#include "upstream/status.h"
#include "upstream/guard.h"
#include "upstream/health.h"
#include "upstream/server.h"

#include <stdlib.h>

struct directory {
    size_t n;
    struct upstream *upstreams[]; /* kept */
};

static _Atomic(struct directory *) current;

static void
directory_free(void *what)
{
    struct directory *d = what;

    for (size_t i = 0; i < d->n; i++)
        upstream_drop(d->upstreams[i]);
    free(d);
}

void
status_publish(const struct map *by_name)
{
    struct directory *d = calloc(1, sizeof(*d) + by_name->count * sizeof(d->upstreams[0]));
    const struct map_slot *slot;
    struct directory *old;

    if (!d)
        return; /* readers see the old one */
    for (size_t i = 0; (slot = map_each(by_name, &i));) {
        upstream_keep(slot->value);
        d->upstreams[d->n++] = slot->value;
    }
    old = atomic_exchange(&current, d);
    if (old)
        workers_retire(directory_free, old);
    metrics_collector(status_tell);
}

void
status_each(void (*see)(void *arg, struct upstream *u), void *arg)
{
    const struct directory *d = atomic_load(&current);

    for (size_t i = 0; d && i < d->n; i++)
        see(arg, d->upstreams[i]);
}

void
status_exit(void)
{
    struct directory *d = atomic_exchange(&current, NULL);

    if (d)
        directory_free(d);
}

/* ------------------------------------------------------------------ writing */

static void
put_string(struct text *out, const char *name, struct slice value)
{
    text_printf(out, "\"%s\":\"", name);
    text_json(out, value);
    text_literal(out, "\",");
}

static void
put_number(struct text *out, const char *name, uint64_t value)
{
    text_printf(out, "\"%s\":%llu,", name, (unsigned long long) value);
}

static void
put_ratio(struct text *out, const char *name, uint64_t a, uint64_t b)
{
    text_printf(out, "\"%s\":%.3f,", name, b ? (double) a / (double) b : 0.0);
}

/* A comma that stands before an end. */
static void
end_object(struct text *out, char end)
{
    if (out->n && out->at[out->n - 1] == ',')
        out->n--;
    text_byte(out, end);
}

static void
put_server(struct text *out, const struct server_entry *e)
{
    const struct server *s = e->server;
    unsigned faults = atomic_load(&s->faults);
    char why[HEALTH_WHY_BYTES];
    uint32_t idle = 0;

    for (unsigned w = 0; w < upstream_workers; w++)
        idle += atomic_load_explicit(&s->pools[w].count, memory_order_relaxed);
    text_byte(out, '{');
    put_string(out, "address", s->text);
    put_string(out, "state", slice_str(server_fault_words(faults)));
    text_printf(out, "\"usable\":%s,", faults ? "false" : "true");
    text_printf(out, "\"stale\":%s,", e->stale ? "true" : "false");
    put_number(out, "weight", e->weight);
    put_number(out, "tier", e->place.tier);
    put_ratio(out, "share", atomic_load(&s->target->share), LB_SHARE_FULL);
    put_number(out, "inflight", atomic_load(&s->target->inflight));
    put_number(out, "waiting", atomic_load(&s->line.n));
    put_number(out, "connections", atomic_load(&s->target->connections));
    put_number(out, "idle", idle);
    put_number(out, "connections_made", atomic_load(&s->made));
    put_number(out, "exchanges", atomic_load(&s->exchanges));
    put_number(out, "failures", atomic_load(&s->failures));
    put_number(out, "latency_us", atomic_load(&s->target->average_us));
    put_number(out, "max_connections", atomic_load(&s->limit));
    put_number(out, "learned_idle_ms", atomic_load(&s->learned_idle_ms));
    put_string(out, "why", health_why(s, why));
    end_object(out, '}');
}

static void
put_counters(struct text *out, const struct upstream *u)
{
    struct upstream_counters sum = {0};

    for (unsigned w = 0; w < upstream_workers; w++) {
        const struct upstream_counters *c = &u->counters[w];

        sum.exchanges += atomic_load_explicit(&c->exchanges, memory_order_relaxed);
        sum.connections += atomic_load_explicit(&c->connections, memory_order_relaxed);
        sum.reused += atomic_load_explicit(&c->reused, memory_order_relaxed);
        sum.retries += atomic_load_explicit(&c->retries, memory_order_relaxed);
        sum.hedges += atomic_load_explicit(&c->hedges, memory_order_relaxed);
        sum.waited += atomic_load_explicit(&c->waited, memory_order_relaxed);
        sum.clients += atomic_load_explicit(&c->clients, memory_order_relaxed);
    }
    put_number(out, "exchanges", sum.exchanges);
    put_number(out, "clients", sum.clients);
    put_number(out, "connections_made", sum.connections);
    put_number(out, "reused", sum.reused);
    put_number(out, "retries", sum.retries);
    put_number(out, "hedges", sum.hedges);
    put_number(out, "waited", sum.waited);
    /* How well few server connections carry many requests and many clients. */
    put_ratio(out, "requests_per_connection", sum.exchanges, sum.connections);
    put_ratio(out, "clients_per_connection", sum.clients, sum.connections);
}

static void
put_guard(struct text *out, struct upstream *u)
{
    struct guard_state state;

    guard_look(u->guard, &state);
    text_literal(out, "\"guard\":{");
    put_string(out, "breaker", slice_str(state.breaker));
    put_number(out, "inflight", state.inflight);
    put_number(out, "pending", state.pending);
    put_number(out, "connections", state.connections);
    put_number(out, "retries", state.retries);
    put_number(out, "refused", state.refused);
    put_number(out, "limit", state.limit);
    end_object(out, '}');
    text_byte(out, ',');
}

static void
put_upstream(struct text *out, struct upstream *u)
{
    struct server_set *set = atomic_load(&u->set);

    text_byte(out, '{');
    put_string(out, "name", u->name);
    put_counters(out, u);
    put_guard(out, u);
    text_printf(out, "\"unresolved\":%s,", set && set->unresolved ? "true" : "false");
    text_literal(out, "\"servers\":[");
    for (size_t i = 0; set && i < set->lb.n; i++) {
        put_server(out, &set->entries[i]);
        text_byte(out, ',');
    }
    end_object(out, ']');
    text_byte(out, '}');
}

void
upstreams_write_status(struct text *out)
{
    const struct directory *d = atomic_load(&current);

    text_literal(out, "\"upstreams\":[");
    for (size_t i = 0; d && i < d->n; i++) {
        put_upstream(out, d->upstreams[i]);
        text_byte(out, ',');
    }
    end_object(out, ']');
}
