/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_traffic.c - listeners, routes, connections, exchanges in flight, traces. */
#include "control/operations.h"
#include "control/room.h"
#include "edge/account.h"
#include "edge/look.h"
#include "exchange/flight.h"
#include "exchange/trace.h"

#include <stdlib.h>

enum { MOST = 200, MOST_MAX = 5000 };

/* ------------------------------------------------------------------ listeners */

static void
listeners_get(struct api_call *c)
{
    const struct snapshot *s = control_host()->snapshot(control_host()->current());
    const struct listener_config *l = s->listeners.at;
    json_t *all = json_array();

    for (size_t i = 0; i < s->listeners.n; i++) {
        struct metrics *m = metrics_get(&account_listeners, &l[i].name);
        int64_t requests = 0;

        for (unsigned v = 0; account_listeners.metrics[ACCOUNT_LISTENER_REQUESTS].split->values[v];
             v++)
            requests += metrics_read(m, ACCOUNT_LISTENER_REQUESTS, v);
        json_array_append_new(
            all,
            json_pack("{s:o, s:o, s:b, s:I, s:I, s:I}", "name", api_text(l[i].name), "address",
                      api_text(l[i].address_text), "tls", l[i].tls != NULL, "open",
                      (json_int_t) metrics_read(m, ACCOUNT_LISTENER_OPEN, 0), "connections",
                      (json_int_t) metrics_read(m, ACCOUNT_LISTENER_CONNECTIONS, 0), "requests",
                      (json_int_t) requests));
        metrics_release(m);
    }
    api_answer_json(c, 200, json_pack("{s:o}", "listeners", all));
}

/* ------------------------------------------------------------------ routes */

static json_t *
slices(const struct option_list *list)
{
    const struct slice *s = list->at;
    json_t *all = json_array();

    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(all, api_text(s[i]));
    return all;
}

static json_t *
uses(const struct route *r)
{
    const struct option_variant *use = r->use.at;
    json_t *all = json_array();

    for (size_t i = 0; i < r->use.n; i++)
        json_array_append_new(all, json_string(use[i].object->name));
    return all;
}

static json_t *
answerers(const struct route *r)
{
    const struct route_share *share = r->to.at;
    json_t *all = json_array();

    for (size_t i = 0; i < r->to.n; i++)
        json_array_append_new(all, api_text(share[i].to));
    return all;
}

static json_t *
where(const struct config *config, const struct route *r)
{
    struct config_mark m = config_where_object(config, r);
    char text[400];

    if (!m.line || m.file >= config->n_files)
        return json_string("");
    snprintf(text, sizeof(text), "%.*s:%u:%u", SLICE_ARG(config->files[m.file].path), m.line,
             m.column);
    return json_string(text);
}

static json_t *
route_json(const struct config *config, const struct route *r)
{
    struct account_sample n = {0};

    (void) account_look(r->name, &n);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
        api_text(r->name), "host", slices(&r->hosts), "path", slices(&r->paths), "to",
        answerers(r), "use", uses(r), "where", where(config, r), "requests",
        (json_int_t) n.requests, "errors", (json_int_t) n.failed, "p50_us",
        (json_int_t) histogram_percentile(&n.durations, 0.5), "p99_us",
        (json_int_t) histogram_percentile(&n.durations, 0.99), "bytes_in",
        (json_int_t) n.bytes_in, "bytes_out", (json_int_t) n.bytes_out, "hits",
        (json_int_t) (n.cached[CACHED_HIT] + n.cached[CACHED_STALE]));
}

static void
routes_get(struct api_call *c)
{
    const struct snapshot *s = control_host()->snapshot(control_host()->current());
    json_t *all;
    const struct route *r;
    uint64_t most;

    if (!api_number(c, "most", MOST, MOST_MAX, &most))
        return;
    all = json_array();
    for (size_t i = 0; i < most && (r = route_at(s->routes, i)); i++)
        json_array_append_new(all, route_json(s->config, r));
    api_answer_json(c, 200, json_pack("{s:o}", "routes", all));
}

/* ------------------------------------------------------------------ connections */

struct gathering {
    pthread_mutex_t         lock;
    struct edge_connection *list;
    size_t                  n, most;
};

static bool
gather_one(void *arg, const struct edge_connection *one)
{
    struct gathering *g = arg;

    if (g->n < g->most)
        g->list[g->n++] = *one;
    return g->n < g->most;
}

/* On each worker in turn or at once. */
static void
gather(struct edge *e, void *arg)
{
    struct gathering *g = arg;

    pthread_mutex_lock(&g->lock);
    edge_each_connection(e, gather_one, g);
    pthread_mutex_unlock(&g->lock);
}

static void
connections_get(struct api_call *c)
{
    struct gathering g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    json_t *all;
    uint64_t most;

    if (!api_number(c, "most", MOST, MOST_MAX, &most))
        return;
    all = json_array();
    g.most = most;
    g.list = calloc(g.most + 1, sizeof(*g.list));
    if (g.list)
        (void) control_host()->each_edge(gather, &g);
    for (size_t i = 0; i < g.n; i++)
        json_array_append_new(
            all, json_pack("{s:I, s:s, s:s, s:s, s:s, s:b, s:i}", "id", (json_int_t) g.list[i].id,
                           "client", g.list[i].client, "listener", g.list[i].listener, "protocol",
                           g.list[i].protocol, "state", g.list[i].state, "tls", g.list[i].secure,
                           "requests", (int) g.list[i].requests));
    free(g.list);
    api_answer_json(c, 200, json_pack("{s:o}", "connections", all));
}

struct closing {
    uint64_t    id;
    atomic_bool found;
};

static void
close_one(struct edge *e, void *arg)
{
    struct closing *k = arg;

    if (edge_close_connection(e, k->id))
        atomic_store(&k->found, true);
}

static void
connection_delete(struct api_call *c)
{
    struct closing k = {0};

    if (slice_to_u64(c->parameters[0], UINT64_MAX, &k.id))
        (void) control_host()->each_edge(close_one, &k);
    if (atomic_load(&k.found))
        api_answer_empty(c, 204);
    else
        api_problem(c, 404, "not_found", "there is no connection %.*s (any more)",
                    SLICE_ARG(c->parameters[0]));
}

/* ------------------------------------------------------------------ exchanges in flight */

/* What clients send need not be UTF-8, and what was cut may have been. */
static json_t *
word(const char *text)
{
    return api_text(slice_str(text));
}

static json_t *
flight_json(const struct flight *f)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:I, s:I, s:I}",
                     "id", (json_int_t) f->id, "request_id", word(f->request_id), "trace_id",
                     word(f->trace_id), "method", word(f->method), "host", word(f->host), "target",
                     word(f->target), "client", word(f->client), "route", word(f->route), "server",
                     word(f->server), "state", word(f->state), "status", (int) f->status,
                     "version", (int) f->version, "age_us", (json_int_t) f->age_us,
                     "request_bytes", (json_int_t) f->request_bytes, "response_bytes",
                     (json_int_t) f->response_bytes);
}

static void
exchanges_get(struct api_call *c)
{
    struct flight *list;
    json_t *all;
    uint64_t most;
    size_t n = 0;

    if (!api_number(c, "most", MOST, MOST_MAX, &most))
        return;
    all = json_array();
    list = flights(most, &n);
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(all, flight_json(&list[i]));
    free(list);
    api_answer_json(c, 200, json_pack("{s:o}", "exchanges", all));
}

/* A number of ours, or a request id, which may look like a number too. */
static void
take_id(const struct api_call *c, uint64_t *id, struct slice *request_id)
{
    *request_id = (struct slice){NULL, 0};
    if (!slice_to_u64(c->parameters[0], UINT64_MAX >> 11, id))
        *request_id = c->parameters[0];
}

static void
not_in_flight(struct api_call *c)
{
    api_problem(c, 404, "not_found", "there is no exchange `%.*s` in flight (any more)",
                SLICE_ARG(c->parameters[0]));
}

static void
exchange_get(struct api_call *c)
{
    struct slice request_id;
    struct flight f;
    uint64_t id = 0;

    take_id(c, &id, &request_id);
    if (flight_find(id, request_id, &f))
        api_answer_json(c, 200, flight_json(&f));
    else
        not_in_flight(c);
}

static void
exchange_delete(struct api_call *c)
{
    struct slice request_id;
    uint64_t id = 0;

    take_id(c, &id, &request_id);
    if (flight_cancel(id, request_id))
        api_answer_empty(c, 204);
    else
        not_in_flight(c);
}

/* ------------------------------------------------------------------ traces */

static json_t *
trace_json(const struct trace *t)
{
    uint64_t until_us = t->ended_us ? t->ended_us : clock_monotonic_us();

    return json_pack(
        "{s:s%, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:f, s:I, s:b}", "trace_id",
        t->id_text, sizeof(t->id_text), "request_id", api_text(t->request_id), "method",
        api_text(t->method), "host", api_text(t->host), "target", api_text(t->target),
        "client", api_text(t->client), "route", api_text(t->route), "upstream",
        api_text(t->upstream), "server", api_text(t->server), "status", (int) t->status,
        "reason", api_text(t->reason), "began", (double) t->began_wall_us / 1e6, "took_us",
        (json_int_t) (until_us - t->began_us), "in_flight", t->ended_us == 0);
}

static void
add_trace(void *arg, struct trace *t)
{
    json_array_append_new(arg, trace_json(t));
}

/* "503", "5" and "5xx" are the same class.  False after answering 400. */
static bool
take_class(struct api_call *c, unsigned *class)
{
    struct slice text = api_query(c, "status");
    bool good = text.n >= 1 && text.n <= 3 && text.at[0] >= '1' && text.at[0] <= '5';

    *class = 0;
    if (!slice_is_present(text))
        return true;
    for (size_t i = 1; good && i < text.n; i++)
        good = ascii_is_digit(text.at[i]) || ascii_lower(text.at[i]) == 'x';
    if (good)
        *class = (unsigned) (text.at[0] - '0');
    else
        api_problem(c, 400, "bad_query", "status is a class, such as 5xx");
    return good;
}

static void
traces_get(struct api_call *c)
{
    struct trace_query query = {.route = api_query(c, "route")};
    json_t *all;
    uint64_t most;

    if (!api_number(c, "most", MOST, MOST_MAX, &most) || !take_class(c, &query.status))
        return;
    all = json_array();
    query.most = most;
    query.in_flight = api_query_flag(c, "in_flight");
    trace_each(&query, add_trace, all);
    api_answer_json(c, 200, json_pack("{s:o}", "traces", all));
}

static json_t *
event_json(const struct trace *t, const struct trace_event *e)
{
    return json_pack("{s:I, s:I, s:s, s:o, s:o}", "at_us", (json_int_t) (e->at_us - t->began_us),
                     "took_us", (json_int_t) e->took_us, "what", e->what, "detail",
                     api_text(e->detail), "where", api_text(e->where));
}

static void
trace_get(struct api_call *c)
{
    struct trace *t = trace_find(c->parameters[0]);
    json_t *o, *events;

    if (!t) {
        api_problem(c, 404, "not_found",
                    "no trace of `%.*s` is kept: set tracing.sample or tracing.when",
                    SLICE_ARG(c->parameters[0]));
        return;
    }
    o = trace_json(t);
    events = json_array();
    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(events, event_json(t, &t->events[i]));
    json_object_set_new(o, "events", events);
    json_object_set_new(o, "lost", json_integer((json_int_t) t->lost));
    trace_release(t);
    api_answer_json(c, 200, o);
}

/* ------------------------------------------------------------------ the tables */

#define MOST_QUERY {"most", "integer", "How many at most; 200 when absent."}

const struct api_operation operations_traffic[] = {
    {METHOD_GET, "/v1/listeners", API_READ, listeners_get,
     .summary = "Where clients connect to, and how many do.", .answer = "Listeners"},
    {METHOD_GET, "/v1/routes", API_READ, routes_get,
     .summary = "The routes in their order, and what went through each since the process began.",
     .query = {MOST_QUERY}, .answer = "Routes"},
    {METHOD_GET, "/v1/connections", API_READ, connections_get,
     .summary = "Connections of clients.", .query = {MOST_QUERY}, .answer = "Connections"},
    {METHOD_DELETE, "/v1/connections/{connection}", API_OPERATE, connection_delete,
     .summary = "End one, with what it carries.", .writes = true},
    {METHOD_GET, "/v1/exchanges", API_READ, exchanges_get,
     .summary = "Exchanges that are under way, the oldest first.", .query = {MOST_QUERY},
     .answer = "Exchanges"},
    {METHOD_GET, "/v1/exchanges/{exchange}", API_READ, exchange_get,
     .summary = "One of them, by its number or request id.", .answer = "Exchange"},
    {METHOD_DELETE, "/v1/exchanges/{exchange}", API_OPERATE, exchange_delete,
     .summary = "Cancel it.", .writes = true},
    {METHOD_GET, "/v1/traces", API_READ, traces_get,
     .summary = "Exchanges whose decisions were recorded, the newest first.",
     .query = {MOST_QUERY,
               {"route", "string", "Only those of this route."},
               {"status", "string", "Only those answered with this class: 5xx."},
               {"in_flight", "boolean", "Those that are under way too."}},
     .answer = "Traces"},
    {METHOD_GET, "/v1/traces/{trace}", API_READ, trace_get,
     .summary = "Everything that was decided about one exchange, by its request id or trace id.",
     .answer = "Trace"},
    {0},
};

#define LIST_OF(plural, singular)                                                                 \
    "{\"type\":\"object\",\"required\":[\"" plural "\"],\"properties\":{\"" plural                \
    "\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/" singular "\"}}}}"

const struct api_schema schemas_traffic[] = {
    {"Listener",
     "{\"type\":\"object\",\"required\":[\"name\",\"address\",\"tls\",\"open\",\"connections\","
     "\"requests\"],\"properties\":{\"name\":{\"type\":\"string\"},\"address\":{\"type\":"
     "\"string\"},\"tls\":{\"type\":\"boolean\"},\"open\":{\"type\":\"integer\"},"
     "\"connections\":{\"type\":\"integer\"},\"requests\":{\"type\":\"integer\"}}}"},
    {"Listeners", LIST_OF("listeners", "Listener")},
    {"Route",
     "{\"type\":\"object\",\"required\":[\"name\",\"host\",\"path\",\"to\",\"use\",\"where\","
     "\"requests\",\"errors\",\"p50_us\",\"p99_us\",\"bytes_in\",\"bytes_out\",\"hits\"],"
     "\"properties\":{\"name\":{\"type\":\"string\"},\"host\":{\"type\":\"array\",\"items\":{"
     "\"type\":\"string\"}},\"path\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
     "\"to\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"use\":{\"type\":\"array\","
     "\"items\":{\"type\":\"string\"}},\"where\":{\"type\":\"string\"},\"requests\":{\"type\":"
     "\"integer\"},\"errors\":{\"type\":\"integer\"},\"p50_us\":{\"type\":\"integer\"},"
     "\"p99_us\":{\"type\":\"integer\"},\"bytes_in\":{\"type\":\"integer\"},\"bytes_out\":{"
     "\"type\":\"integer\"},\"hits\":{\"type\":\"integer\"}}}"},
    {"Routes", LIST_OF("routes", "Route")},
    {"Connection",
     "{\"type\":\"object\",\"required\":[\"id\",\"client\",\"listener\",\"protocol\",\"state\","
     "\"tls\",\"requests\"],\"properties\":{\"id\":{\"type\":\"integer\"},\"client\":{\"type\":"
     "\"string\"},\"listener\":{\"type\":\"string\"},\"protocol\":{\"type\":\"string\"},"
     "\"state\":{\"type\":\"string\"},\"tls\":{\"type\":\"boolean\"},\"requests\":{\"type\":"
     "\"integer\"}}}"},
    {"Connections", LIST_OF("connections", "Connection")},
    {"Exchange",
     "{\"type\":\"object\",\"required\":[\"id\",\"request_id\",\"trace_id\",\"method\",\"host\","
     "\"target\",\"client\",\"route\",\"server\",\"state\",\"status\",\"version\",\"age_us\","
     "\"request_bytes\",\"response_bytes\"],\"properties\":{\"id\":{\"type\":\"integer\"},"
     "\"request_id\":{\"type\":\"string\"},\"trace_id\":{\"type\":\"string\"},\"method\":{"
     "\"type\":\"string\"},\"host\":{\"type\":\"string\"},\"target\":{\"type\":\"string\"},"
     "\"client\":{\"type\":\"string\"},\"route\":{\"type\":\"string\"},\"server\":{\"type\":"
     "\"string\"},\"state\":{\"type\":\"string\"},\"status\":{\"type\":\"integer\"},\"version\":"
     "{\"type\":\"integer\"},\"age_us\":{\"type\":\"integer\"},\"request_bytes\":{\"type\":"
     "\"integer\"},\"response_bytes\":{\"type\":\"integer\"}}}"},
    {"Exchanges", LIST_OF("exchanges", "Exchange")},
    {"Trace",
     "{\"type\":\"object\",\"required\":[\"trace_id\",\"request_id\",\"method\",\"host\","
     "\"target\",\"client\",\"route\",\"upstream\",\"server\",\"status\",\"reason\",\"began\","
     "\"took_us\",\"in_flight\"],\"properties\":{\"trace_id\":{\"type\":\"string\"},"
     "\"request_id\":{\"type\":\"string\"},\"method\":{\"type\":\"string\"},\"host\":{\"type\":"
     "\"string\"},\"target\":{\"type\":\"string\"},\"client\":{\"type\":\"string\"},\"route\":{"
     "\"type\":\"string\"},\"upstream\":{\"type\":\"string\"},\"server\":{\"type\":\"string\"},"
     "\"status\":{\"type\":\"integer\"},\"reason\":{\"type\":\"string\"},\"began\":{\"type\":"
     "\"number\"},\"took_us\":{\"type\":\"integer\"},\"in_flight\":{\"type\":\"boolean\"},"
     "\"events\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"at_us\","
     "\"took_us\",\"what\",\"detail\",\"where\"],\"properties\":{\"at_us\":{\"type\":"
     "\"integer\"},\"took_us\":{\"type\":\"integer\"},\"what\":{\"type\":\"string\"},\"detail\":"
     "{\"type\":\"string\"},\"where\":{\"type\":\"string\"}}}},\"lost\":{\"type\":\"integer\"}}}"},
    {"Traces", LIST_OF("traces", "Trace")},
    {0},
};
