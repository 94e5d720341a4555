/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/account.c - what is counted, and the end of an exchange: its log records and its counts.
 *
 * Workers' own numbers lie in static memory, so that whoever reads them needs to know nothing of a
 * worker's life.
 */
#include "edge/account.h"

#include "analytics/analytics.h"
#include "base/check.h"
#include "edge/client.h"

/* ------------------------------------------------------------------ tables */

static const char *const statuses[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx", NULL};
_Static_assert(countof(statuses) == ACCOUNT_STATUSES + 1, "one for each class");
static const struct metric_split by_status = {"status", statuses};

static const char *const reasons[] = {
#define REASON_WORD(id, code, blame, proxy_status, sentence) [id] = code,
    REASON_TABLE(REASON_WORD)
#undef REASON_WORD
    [REASON_COUNT] = NULL,
};
static const struct metric_split by_reason = {"reason", reasons};

static const char *const cached[] = {
    [CACHED_NOT] = "not",           [CACHED_HIT] = "hit",         [CACHED_STALE] = "stale",
    [CACHED_SHARED] = "shared",     [CACHED_MISS] = "miss",       [CACHED_CONFIRMED] = "confirmed",
    [CACHED_EXCUSED] = "excused",   [CACHED_PASSED] = "passed",   [CACHED_KINDS] = NULL,
};
static const struct metric_split by_cache = {"result", cached};

/* What is compiled in is known to main/: filled in before the table is used first. */
enum { MIDDLEWARE_MAX = 96 };
static const char *middleware[MIDDLEWARE_MAX + 1];
static const struct metric_split by_middleware = {"middleware", middleware};

void
account_prepare(void)
{
    size_t n = 0;

    if (middleware[0])
        return; /* workers read it by now */
    while (middleware_objects[n])
        n++;
    CHECK(n <= MIDDLEWARE_MAX);
    for (size_t i = 0; i < n; i++)
        middleware[i] = middleware_objects[i]->name;
}

static const struct metric route_metrics[] = {
    [ACCOUNT_ROUTE_REQUESTS] = {"requests_total", METRIC_COUNTER, &by_status,
                                "Requests that are over, by class of the answer's status; `none`: "
                                "the client was gone before there was one."},
    [ACCOUNT_ROUTE_FAILED] = {"failed_total", METRIC_COUNTER, NULL,
                              "Requests that were answered with 5xx, or whose answer broke off "
                              "through no fault of the client."},
    [ACCOUNT_ROUTE_ERRORS] = {"errors_total", METRIC_COUNTER, &by_reason,
                              "Requests that maitred had to answer by itself, and answers that "
                              "broke off, by reason."},
    [ACCOUNT_ROUTE_REFUSALS] = {"refusals_total", METRIC_COUNTER, &by_middleware,
                                "Requests that a middleware refused."},
    [ACCOUNT_ROUTE_CACHE] = {"cache_total", METRIC_COUNTER, &by_cache,
                             "Requests that came by a cache, by what it made of them."},
    [ACCOUNT_ROUTE_BYTES_IN] = {"request_bytes_total", METRIC_COUNTER, NULL,
                                "Bytes of requests' bodies."},
    [ACCOUNT_ROUTE_BYTES_OUT] = {"response_bytes_total", METRIC_COUNTER, NULL,
                                 "Bytes of answers' bodies that were sent."},
    [ACCOUNT_ROUTE_DURATION] = {"duration_seconds", METRIC_HISTOGRAM, NULL,
                                "From a request's first byte to its answer's last; tunnels are "
                                "left out."},
    [ACCOUNT_ROUTE_FIRST_BYTE] = {"server_first_byte_seconds", METRIC_HISTOGRAM, NULL,
                                  "From a request's first byte to the head of the server's "
                                  "answer."},
};
_Static_assert(countof(route_metrics) == ACCOUNT_ROUTE_METRICS, "all are described");
const struct metric_table account_routes = {
    "route", {"route"}, route_metrics, countof(route_metrics)};

enum { VERSION_10, VERSION_11, VERSION_20, VERSION_OTHER };
static const char *const versions[] = {"1.0", "1.1", "2", "none", NULL};
static const struct metric_split by_version = {"version", versions};
static const char *const handshakes[] = {"full", "resumed", "failed", NULL};
static const struct metric_split by_handshake = {"outcome", handshakes};

static const struct metric listener_metrics[] = {
    [ACCOUNT_LISTENER_CONNECTIONS] = {"connections_total", METRIC_COUNTER, NULL,
                                      "Connections accepted."},
    [ACCOUNT_LISTENER_OPEN] = {"open_connections", METRIC_GAUGE, NULL, "Connections now."},
    [ACCOUNT_LISTENER_REFUSED] = {"refused_connections_total", METRIC_COUNTER, NULL,
                                  "Connections that were answered with 503 because there were too "
                                  "many, or no descriptors."},
    [ACCOUNT_LISTENER_REQUESTS] = {"requests_total", METRIC_COUNTER, &by_version,
                                   "Requests that are over, by version of HTTP; `none`: what came "
                                   "could not be read as one."},
    [ACCOUNT_LISTENER_HANDSHAKES] = {"tls_handshakes_total", METRIC_COUNTER, &by_handshake,
                                     "TLS handshakes."},
};
_Static_assert(countof(listener_metrics) == ACCOUNT_LISTENER_METRICS, "all are described");
const struct metric_table account_listeners = {
    "listener", {"listener"}, listener_metrics, countof(listener_metrics)};

/* ------------------------------------------------------------------ an exchange is over */

/* Answers that are as the configuration wants them are no errors. */
static bool
is_error(enum reason r)
{
    return r != REASON_NONE && reason_blame(r) != BLAME_NOBODY;
}

static bool
is_failed(const struct exchange *x)
{
    enum blame blame = reason_blame(x->fault.reason);

    return x->response.status >= 500 || blame == BLAME_SERVER || blame == BLAME_PROXY;
}

/* HTTP/2 carries WebSockets as a stream with status 200 (RFC 8441 5.1). */
bool
account_is_tunnel(const struct exchange *x)
{
    return x->response.status == 101 || (x->request.version == 20 && x->response.status == 200 &&
                                         slice_is_present(x->request.upgrade));
}

static void
count_refusal(struct metrics *m, unsigned worker, const struct middleware_ops *by)
{
    unsigned i = 0;

    while (middleware[i] && middleware_objects[i] != &by->options)
        i++;
    if (middleware[i])
        metrics_add_split(m, worker, ACCOUNT_ROUTE_REFUSALS, i, 1);
}

static void
count_trouble(struct metrics *m, unsigned worker, const struct exchange *x)
{
    if (is_failed(x))
        metrics_add(m, worker, ACCOUNT_ROUTE_FAILED, 1);
    if (!is_error(x->fault.reason))
        return;
    metrics_add_split(m, worker, ACCOUNT_ROUTE_ERRORS, x->fault.reason, 1);
    if (x->fault.by)
        count_refusal(m, worker, x->fault.by);
}

static void
count_route(struct metrics *m, unsigned worker, const struct exchange *x)
{
    const struct exchange_times *t = &x->times;
    unsigned status = x->response.status / 100;

    metrics_add_split(m, worker, ACCOUNT_ROUTE_REQUESTS, status < ACCOUNT_STATUSES ? status : 0,
                      1);
    if (x->request_bytes)
        metrics_add(m, worker, ACCOUNT_ROUTE_BYTES_IN, (int64_t) x->request_bytes);
    if (x->response_bytes)
        metrics_add(m, worker, ACCOUNT_ROUTE_BYTES_OUT, (int64_t) x->response_bytes);
    if (x->cached != CACHED_NOT)
        metrics_add_split(m, worker, ACCOUNT_ROUTE_CACHE, x->cached, 1);
    if (!account_is_tunnel(x))
        metrics_observe(m, worker, ACCOUNT_ROUTE_DURATION, t->done_us - t->received_us);
    if (t->first_byte_us > t->received_us)
        metrics_observe(m, worker, ACCOUNT_ROUTE_FIRST_BYTE, t->first_byte_us - t->received_us);
    if (x->fault.reason != REASON_NONE || x->response.status >= 500)
        count_trouble(m, worker, x);
}

static unsigned
version_of(const struct exchange *x)
{
    if (x->request.method_token.n == 0)
        return VERSION_OTHER;
    switch (x->request.version) {
    case 10: return VERSION_10;
    case 11: return VERSION_11;
    case 20: return VERSION_20;
    default: return VERSION_OTHER;
    }
}

/* ------------------------------------------------------------------ workers */

static struct edge_counters counters[METRICS_WORKERS];
static atomic_bool          has_edge[METRICS_WORKERS];

struct edge_counters *
account_begin(unsigned worker)
{
    CHECK(worker < METRICS_WORKERS);
    atomic_store(&has_edge[worker], true);
    return &counters[worker];
}

const struct edge_counters *
account_of(unsigned worker)
{
    return worker < METRICS_WORKERS && atomic_load(&has_edge[worker]) ? &counters[worker] : NULL;
}

void
account_exchange(struct edge *e, const struct snapshot *s, const struct listener *l,
                 struct exchange *x)
{
    struct metrics *route = x->route ? x->route->metrics : s->unrouted;
    const struct access_log *log = s->logs.at;

    x->times.done_us = loop_now_us();
    counter_add(&e->counters->exchanges, 1);
    for (size_t i = 0; i < s->logs.n; i++)
        access_log_write(&log[i], e->worker, x);
    metrics_add_split(l->metrics, e->worker, ACCOUNT_LISTENER_REQUESTS, version_of(x), 1);
    if (route)
        count_route(route, e->worker, x);
    if (analytics_is_on())
        account_record(e->worker, x);
}
