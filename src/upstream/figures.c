/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/figures.c - numbers of upstreams and their servers, for Prometheus.
 *
 * They are counted where they are needed anyway: for balancing, health and the state of things.
 * All are read once, then told family by family, as the format wants it.  Control thread.
 */
#include "base/check.h"
#include "upstream/guard.h"
#include "upstream/server.h"
#include "upstream/status.h"

#include <stdlib.h>

#define RELAXED memory_order_relaxed

struct server_figures {
    struct slice upstream, server;
    uint64_t     up, inflight, waiting, connections, idle, made, exchanges, failures, latency_us;
};

struct upstream_figures {
    struct slice upstream;
    uint64_t     exchanges, made, reused, retries, hedges, waited, refused, clients;
    uint64_t     inflight, pending, connections, breaker_open;
    uint64_t     servers, usable;
};

struct figures {
    struct upstream_figures *upstreams;
    struct server_figures   *servers;
    size_t                   n_upstreams, n_servers;
};

/* ------------------------------------------------------------------ reading */

static void
count_one(void *arg, struct upstream *u)
{
    struct figures *f = arg;
    const struct server_set *set = atomic_load(&u->set);

    f->n_upstreams++;
    f->n_servers += set ? set->lb.n : 0;
}

static void
read_workers(struct upstream_figures *f, const struct upstream *u)
{
    for (unsigned w = 0; w < upstream_workers; w++) {
        const struct upstream_counters *c = &u->counters[w];

        f->exchanges += atomic_load_explicit(&c->exchanges, RELAXED);
        f->made += atomic_load_explicit(&c->connections, RELAXED);
        f->reused += atomic_load_explicit(&c->reused, RELAXED);
        f->retries += atomic_load_explicit(&c->retries, RELAXED);
        f->hedges += atomic_load_explicit(&c->hedges, RELAXED);
        f->waited += atomic_load_explicit(&c->waited, RELAXED);
        f->clients += atomic_load_explicit(&c->clients, RELAXED);
    }
}

static void
read_guard(struct upstream_figures *f, const struct upstream *u)
{
    struct guard_state g;

    guard_look(u->guard, &g);
    f->refused = g.refused;
    f->inflight = g.inflight;
    f->pending = g.pending;
    f->connections = g.connections;
    f->breaker_open = !slice_eq(slice_str(g.breaker), SLICE("closed"));
}

static struct server_figures
read_server(const struct upstream *u, const struct server *s)
{
    struct server_figures f = {
        .upstream = u->name,
        .server = s->text,
        .up = atomic_load(&s->faults) == 0,
        .inflight = atomic_load_explicit(&s->target->inflight, RELAXED),
        .waiting = atomic_load_explicit(&s->line.n, RELAXED),
        .connections = atomic_load_explicit(&s->target->connections, RELAXED),
        .made = atomic_load_explicit(&s->made, RELAXED),
        .exchanges = atomic_load_explicit(&s->exchanges, RELAXED),
        .failures = atomic_load_explicit(&s->failures, RELAXED),
        .latency_us = atomic_load_explicit(&s->target->average_us, RELAXED),
    };

    for (unsigned w = 0; w < upstream_workers; w++)
        f.idle += atomic_load_explicit(&s->pools[w].count, RELAXED);
    return f;
}

static void
read_one(void *arg, struct upstream *u)
{
    struct figures *f = arg;
    struct upstream_figures *own = &f->upstreams[f->n_upstreams++];
    const struct server_set *set = atomic_load(&u->set);

    own->upstream = u->name;
    read_workers(own, u);
    read_guard(own, u);
    for (size_t i = 0; set && i < set->lb.n; i++) {
        struct server_figures s = read_server(u, set->entries[i].server);

        own->servers++;
        own->usable += s.up;
        f->servers[f->n_servers++] = s;
    }
}

/* False: out of memory. */
static bool
figures_read(struct figures *f)
{
    *f = (struct figures){0};
    status_each(count_one, f);
    f->upstreams = calloc(f->n_upstreams + 1, sizeof(*f->upstreams));
    f->servers = calloc(f->n_servers + 1, sizeof(*f->servers));
    f->n_upstreams = f->n_servers = 0;
    if (!f->upstreams || !f->servers)
        return false;
    status_each(read_one, f);
    return true;
}

/* ------------------------------------------------------------------ telling */

struct family {
    const char      *name;
    enum metric_kind kind;
    size_t           at; /* of a uint64_t */
    double           scale;
    const char      *doc;
};

#define OF_UPSTREAM(field) offsetof(struct upstream_figures, field)
#define OF_SERVER(field) offsetof(struct server_figures, field)

static const struct family upstream_families[] = {
    {"maitred_upstream_requests_total", METRIC_COUNTER, OF_UPSTREAM(exchanges), 1,
     "Requests that went to a server of the upstream, further attempts included."},
    {"maitred_upstream_connections_total", METRIC_COUNTER, OF_UPSTREAM(made), 1,
     "Connections made to servers."},
    {"maitred_upstream_reused_total", METRIC_COUNTER, OF_UPSTREAM(reused), 1,
     "Requests over a connection that was there already."},
    {"maitred_upstream_clients_total", METRIC_COUNTER, OF_UPSTREAM(clients), 1,
     "Clients' connections whose first request came here."},
    {"maitred_upstream_retries_total", METRIC_COUNTER, OF_UPSTREAM(retries), 1,
     "Further attempts after one that failed."},
    {"maitred_upstream_hedges_total", METRIC_COUNTER, OF_UPSTREAM(hedges), 1,
     "Further attempts beside one that was slow."},
    {"maitred_upstream_waited_total", METRIC_COUNTER, OF_UPSTREAM(waited), 1,
     "Requests that waited for a connection."},
    {"maitred_upstream_refused_total", METRIC_COUNTER, OF_UPSTREAM(refused), 1,
     "Requests that the circuit breaker or a limit of concurrency refused."},
    {"maitred_upstream_inflight", METRIC_GAUGE, OF_UPSTREAM(inflight), 1,
     "Requests under way, those that wait for a server included."},
    {"maitred_upstream_pending", METRIC_GAUGE, OF_UPSTREAM(pending), 1,
     "Requests that wait for a connection now."},
    {"maitred_upstream_open_connections", METRIC_GAUGE, OF_UPSTREAM(connections), 1,
     "Connections to servers now."},
    {"maitred_upstream_breaker_open", METRIC_GAUGE, OF_UPSTREAM(breaker_open), 1,
     "1 while the circuit breaker is open, or lets single requests through to find out."},
    {"maitred_upstream_servers", METRIC_GAUGE, OF_UPSTREAM(servers), 1, "Servers."},
    {"maitred_upstream_servers_usable", METRIC_GAUGE, OF_UPSTREAM(usable), 1,
     "Servers that get requests."},
};

static const struct family server_families[] = {
    {"maitred_server_up", METRIC_GAUGE, OF_SERVER(up), 1,
     "1 while the server gets requests; 0 while it is down, draining, in maintenance, ejected."},
    {"maitred_server_requests_total", METRIC_COUNTER, OF_SERVER(exchanges), 1,
     "Requests that went to the server."},
    {"maitred_server_failures_total", METRIC_COUNTER, OF_SERVER(failures), 1,
     "Requests that got no answer from the server, or none that could be understood."},
    {"maitred_server_connections_total", METRIC_COUNTER, OF_SERVER(made), 1,
     "Connections made to the server."},
    {"maitred_server_open_connections", METRIC_GAUGE, OF_SERVER(connections), 1,
     "Connections to the server now."},
    {"maitred_server_idle_connections", METRIC_GAUGE, OF_SERVER(idle), 1,
     "Connections that wait for a request."},
    {"maitred_server_inflight", METRIC_GAUGE, OF_SERVER(inflight), 1,
     "Requests that the server has now."},
    {"maitred_server_waiting", METRIC_GAUGE, OF_SERVER(waiting), 1,
     "Requests that wait because the server is at its `max_connections`."},
    {"maitred_server_latency_seconds", METRIC_GAUGE, OF_SERVER(latency_us), 1e-6,
     "Moving average of how long the server takes until its answer begins."},
};

static double
value_at(const void *figures, const struct family *f)
{
    uint64_t value;

    memcpy(&value, (const char *) figures + f->at, sizeof(value));
    return (double) value * f->scale;
}

void
status_tell(struct exposition *e)
{
    struct figures now;
    bool good = figures_read(&now);

    for (size_t i = 0; good && i < countof(upstream_families); i++) {
        const struct family *f = &upstream_families[i];

        exposition_family(e, f->name, f->kind, f->doc);
        for (size_t u = 0; u < now.n_upstreams; u++) {
            struct slice labels[] = {SLICE("upstream"), now.upstreams[u].upstream};

            exposition_sample(e, f->name, labels, 1, value_at(&now.upstreams[u], f));
        }
    }
    for (size_t i = 0; good && i < countof(server_families); i++) {
        const struct family *f = &server_families[i];

        exposition_family(e, f->name, f->kind, f->doc);
        for (size_t s = 0; s < now.n_servers; s++) {
            struct slice labels[] = {SLICE("upstream"), now.servers[s].upstream, SLICE("server"),
                                     now.servers[s].server};

            exposition_sample(e, f->name, labels, 2, value_at(&now.servers[s], f));
        }
    }
    free(now.upstreams);
    free(now.servers);
}
