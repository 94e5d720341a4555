/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/account_read.c - what was counted, for who asks; and what is told but not counted: workers,
 * certificates.  Control thread.
 */
#include "base/check.h"
#include "base/map.h"
#include "edge/account.h"
#include "edge/certificates.h"
#include "edge/client.h"
#include "tls/ocsp.h"

enum { CERTIFICATES_BYTES_MAX = 64 * 1024 * 1024, CERTIFICATE_NAME_MAX = 320 };

/* The one that account_serve() had last. */
static const struct snapshot *served;

/* ------------------------------------------------------------------ snapshots */

static void tell(struct exposition *e);

/* One that served before, and does again, has its own still. */
static void
attach(struct metrics **place, const struct metric_table *table, struct slice label)
{
    if (!*place)
        *place = metrics_get(table, &label);
}

void
account_serve(struct snapshot *s, bool counted)
{
    struct listener_config *l = s->listeners.at;

    served = s;
    account_prepare();
    metrics_collector(tell);
    if (!counted)
        return;
    attach(&s->unrouted, &account_routes, SLICE(""));
    for (size_t i = 0; i < s->listeners.n; i++)
        attach(&l[i].metrics, &account_listeners, l[i].name);
    for (size_t i = 0; s->routes && route_at(s->routes, i); i++) {
        struct route *r = (struct route *) route_at(s->routes, i);

        attach(&r->metrics, &account_routes, r->name);
    }
}

void
account_forget(struct snapshot *s)
{
    struct listener_config *l = s->listeners.at;

    if (served == s)
        served = NULL;
    metrics_release(take(&s->unrouted));
    for (size_t i = 0; i < s->listeners.n; i++)
        metrics_release(take(&l[i].metrics));
    for (size_t i = 0; s->routes && route_at(s->routes, i); i++) {
        struct route *r = (struct route *) route_at(s->routes, i);

        metrics_release(take(&r->metrics));
    }
}

/* ------------------------------------------------------------------ routes */

struct look {
    struct slice           route;
    struct account_sample *out;
    bool                   found;
};

static uint64_t
read_one(const struct metrics *m, unsigned metric, unsigned value)
{
    return (uint64_t) metrics_read(m, metric, value);
}

static void
add(struct account_sample *s, const struct metrics *m)
{
    struct histogram h;

    if (metrics_is_silent(m))
        return;
    for (unsigned i = 0; i < ACCOUNT_STATUSES; i++) {
        uint64_t n = read_one(m, ACCOUNT_ROUTE_REQUESTS, i);

        s->statuses[i] += n;
        s->requests += n;
    }
    for (unsigned i = 0; i < REASON_COUNT; i++)
        s->reasons[i] += read_one(m, ACCOUNT_ROUTE_ERRORS, i);
    for (unsigned i = 0; i < CACHED_KINDS; i++)
        s->cached[i] += read_one(m, ACCOUNT_ROUTE_CACHE, i);
    s->failed += read_one(m, ACCOUNT_ROUTE_FAILED, 0);
    s->bytes_in += read_one(m, ACCOUNT_ROUTE_BYTES_IN, 0);
    s->bytes_out += read_one(m, ACCOUNT_ROUTE_BYTES_OUT, 0);
    metrics_read_histogram(m, ACCOUNT_ROUTE_DURATION, &h);
    histogram_merge(&s->durations, &h);
}

static void
add_route(void *arg, const struct slice *labels, const struct metrics *m)
{
    struct look *l = arg;

    if (slice_is_present(l->route) && !slice_eq(l->route, labels[0]))
        return;
    l->found = true;
    add(l->out, m);
}

bool
account_look(struct slice route, struct account_sample *out)
{
    struct look l = {.route = route, .out = out};

    *out = (struct account_sample){0};
    metrics_each(&account_routes, add_route, &l);
    if (!slice_is_present(route) && metrics_gone(&account_routes))
        add(out, metrics_gone(&account_routes));
    return l.found;
}

/* ------------------------------------------------------------------ workers */

struct worker_metric {
    const char      *name;
    enum metric_kind kind;
    size_t           at; /* in struct edge_counters */
    const char      *doc;
    bool             is_time; /* microseconds there, seconds for who asks */
};

static const struct worker_metric worker_metrics[] = {
    {"maitred_worker_connections_total", METRIC_COUNTER,
     offsetof(struct edge_counters, connections), "Clients' connections accepted."},
    {"maitred_worker_open_connections", METRIC_GAUGE, offsetof(struct edge_counters, open),
     "Clients' connections now, tunnels included."},
    {"maitred_worker_tunnels", METRIC_GAUGE, offsetof(struct edge_counters, tunnels),
     "Connections and streams that have become tunnels, such as WebSockets, now."},
    {"maitred_worker_exchanges_total", METRIC_COUNTER, offsetof(struct edge_counters, exchanges),
     "Requests that are over, with or without an answer."},
    {"maitred_worker_refused_connections_total", METRIC_COUNTER,
     offsetof(struct edge_counters, refused),
     "Connections that were answered with 503 because there were too many, or no descriptors."},
    {"maitred_worker_busy_seconds_total", METRIC_COUNTER,
     offsetof(struct edge_counters, loop.busy_us),
     "Time in which it was not waiting for events: of each second, how busy it is.", true},
    {"maitred_worker_rounds_total", METRIC_COUNTER, offsetof(struct edge_counters, loop.rounds),
     "How often it has looked for events and seen to all there were."},
    {"maitred_worker_long_rounds_total", METRIC_COUNTER,
     offsetof(struct edge_counters, loop.long_rounds),
     "Rounds of more than a millisecond, in which everybody else had to wait."},
    {"maitred_worker_longest_round_seconds", METRIC_GAUGE,
     offsetof(struct edge_counters, loop.longest_us),
     "The longest round of more than a millisecond that there was.", true},
};

static void
tell_workers(struct exposition *e, const struct worker_metric *m)
{
    exposition_family(e, m->name, m->kind, m->doc);
    for (unsigned i = 0; i < METRICS_WORKERS; i++) {
        const struct edge_counters *c = account_of(i);
        const _Atomic uint64_t *value = c ? (const void *) ((const char *) c + m->at) : NULL;
        char number[20];
        struct slice labels[] = {SLICE("worker"), slice_of(number, text_format_u64(number, i))};

        if (i == METRICS_WORKERS - 1)
            labels[1] = SLICE("control"); /* the admin API's */
        if (value)
            exposition_sample(e, m->name, labels, 1,
                              (double) atomic_load_explicit(value, memory_order_relaxed) /
                                  (m->is_time ? 1e6 : 1));
    }
}

/* ------------------------------------------------------------------ certificates */

/* By listener, first name and kind of key: of those with the same, the one that lasts longest. */
struct certificates {
    struct arena arena;
    struct map   by_name; /* listener, a zero byte, name: struct tls_identity */
};

static void
gather(void *arg, const struct edge_certificate *c)
{
    struct certificates *all = arg;
    char text[CERTIFICATE_NAME_MAX];
    const struct tls_identity *known;
    struct slice key;

    if (!tls_ocsp_file_name(c->identity, text, sizeof(text)))
        return;
    key = arena_printf(&all->arena, "%.*s%c%s", SLICE_ARG(c->listener->name), '\0', text);
    if (!slice_is_present(key))
        return;
    known = map_get(&all->by_name, key);
    if (!known || tls_identity_expires_s(known) < tls_identity_expires_s(c->identity))
        (void) map_put(&all->by_name, key, (void *) c->identity);
}

static void
tell_certificates(struct exposition *e)
{
    static const char family[] = "maitred_certificate_not_after_timestamp_seconds";
    struct certificates c = {0};
    const struct map_slot *slot;

    arena_init(&c.arena, NULL, 0, CERTIFICATES_BYTES_MAX);
    if (served)
        edge_certificates_each(served, gather, &c);
    exposition_family(e, family, METRIC_GAUGE,
                      "When a certificate expires, in seconds since 1970, by its first name and "
                      "kind of key.");
    for (size_t i = 0; (slot = map_each(&c.by_name, &i));) {
        struct slice rest = slot->key, listener = slice_cut(&rest, '\0');
        const struct slice labels[] = {SLICE("listener"), listener, SLICE("certificate"), rest};

        exposition_sample(e, family, labels, 2, (double) tls_identity_expires_s(slot->value));
    }
    map_free(&c.by_name);
    arena_free(&c.arena);
}

static void
tell(struct exposition *e)
{
    for (size_t i = 0; i < countof(worker_metrics); i++)
        tell_workers(e, &worker_metrics[i]);
    tell_certificates(e);
}
