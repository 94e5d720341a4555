/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/lists.c - the columns of each list; `maitred show`, `status` and `top` print them. */
#include "main/client/lists.h"

#include <string.h>

/* ------------------------------------------------------------------ shapes */

static void
set_share(json_t *row, const char *name, const char *part, const char *whole)
{
    double of = json_number_value(json_object_get(row, whole));

    if (of > 0)
        json_object_set_new(row, name,
                            json_real(json_number_value(json_object_get(row, part)) / of));
}

static json_t *
shape_each(json_t *rows, void (*shape)(json_t *row))
{
    json_t *row;
    size_t i;

    json_array_foreach (rows, i, row)
        shape(row);
    return json_incref(rows);
}

static void
shape_route(json_t *route)
{
    set_share(route, "error_share", "errors", "requests");
}

static json_t *
shape_routes(json_t *rows)
{
    return shape_each(rows, shape_route);
}

static void
shape_upstream(json_t *upstream)
{
    const json_t *servers = json_object_get(upstream, "servers"), *server;
    json_int_t usable = 0, failures = 0, inflight = 0;
    size_t i;

    json_array_foreach (servers, i, server) {
        usable += json_is_true(json_object_get(server, "usable"));
        failures += json_integer_value(json_object_get(server, "failures"));
        inflight += json_integer_value(json_object_get(server, "inflight"));
    }
    json_object_set_new(upstream, "shown_usable",
                        json_sprintf("%" JSON_INTEGER_FORMAT " of %zu", usable,
                                     json_array_size(servers)));
    json_object_set_new(upstream, "shown_failures", json_integer(failures));
    json_object_set_new(upstream, "shown_inflight", json_integer(inflight));
    json_object_set(upstream, "shown_breaker",
                    json_object_get(json_object_get(upstream, "guard"), "breaker"));
}

static json_t *
shape_upstreams(json_t *rows)
{
    return shape_each(rows, shape_upstream);
}

static void
add_servers(json_t *all, json_t *upstream)
{
    json_t *server;
    size_t i;

    json_array_foreach (json_object_get(upstream, "servers"), i, server) {
        json_object_set(server, "upstream", json_object_get(upstream, "name"));
        json_object_set_new(server, "shown_key",
                            json_sprintf("%s %s", admin_string(upstream, "name").at,
                                         admin_string(server, "address").at));
        json_array_append(all, server);
    }
}

/* The servers of all upstreams in one list. */
static json_t *
shape_servers(json_t *upstreams)
{
    json_t *all = json_array(), *upstream;
    size_t i;

    json_array_foreach (upstreams, i, upstream)
        add_servers(all, upstream);
    return all;
}

/* ------------------------------------------------------------------ columns */

static const struct table_column listener_columns[] = {
    {"LISTENER", "name", TABLE_TEXT, 30},        {"ADDRESS", "address", TABLE_TEXT, 50},
    {"TLS", "tls", TABLE_FLAG},                  {"OPEN", "open", TABLE_COUNT},
    {"CONNECTIONS", "connections", TABLE_COUNT}, {"REQUESTS", "requests", TABLE_COUNT},
    {NULL},
};

static const struct table_column route_columns[] = {
    {"ROUTE", "name", TABLE_TEXT, 32},     {"RATE", "shown_rate", TABLE_RATE},
    {"REQUESTS", "requests", TABLE_COUNT}, {"ERRORS", "error_share", TABLE_SHARE},
    {"P50", "p50_us", TABLE_TOOK},         {"P99", "p99_us", TABLE_TOOK},
    {"IN", "bytes_in", TABLE_BYTES},       {"OUT", "bytes_out", TABLE_BYTES},
    {"TO", "to", TABLE_TEXT, 24},          {"HOST", "host", TABLE_TEXT, 32},
    {"PATH", "path", TABLE_TEXT, 32},      {"WHERE", "where", TABLE_TEXT, 40},
    {NULL},
};

static const struct table_column upstream_columns[] = {
    {"UPSTREAM", "name", TABLE_TEXT, 32},         {"USABLE", "shown_usable", TABLE_TEXT},
    {"RATE", "shown_rate", TABLE_RATE},           {"BREAKER", "shown_breaker", TABLE_TEXT},
    {"IN FLIGHT", "shown_inflight", TABLE_COUNT}, {"EXCHANGES", "exchanges", TABLE_COUNT},
    {"FAILURES", "shown_failures", TABLE_COUNT},  {"RETRIES", "retries", TABLE_COUNT},
    {"CONNECTIONS", "connections_made", TABLE_COUNT},
    {NULL},
};

static const struct table_column server_columns[] = {
    {"UPSTREAM", "upstream", TABLE_TEXT, 32}, {"SERVER", "address", TABLE_TEXT, 40},
    {"STATE", "state", TABLE_TEXT, 24},       {"RATE", "shown_rate", TABLE_RATE},
    {"WEIGHT", "weight", TABLE_COUNT},        {"IN FLIGHT", "inflight", TABLE_COUNT},
    {"WAITING", "waiting", TABLE_COUNT},      {"EXCHANGES", "exchanges", TABLE_COUNT},
    {"FAILURES", "failures", TABLE_COUNT},    {"LATENCY", "latency_us", TABLE_TOOK},
    {"OPEN", "connections", TABLE_COUNT},     {"IDLE", "idle", TABLE_COUNT},
    {"WHY", "why", TABLE_TEXT, 60},           {NULL},
};

static const struct table_column certificate_columns[] = {
    {"NAMES", "names", TABLE_TEXT, 50},        {"UNTIL", "not_after", TABLE_DATE},
    {"KEY", "key", TABLE_TEXT},                {"SOURCE", "source", TABLE_TEXT},
    {"STAPLED", "stapled", TABLE_FLAG},        {"LISTENER", "listener", TABLE_TEXT, 30},
    {"ISSUER", "issuer", TABLE_TEXT, 40},      {"ERROR", "error", TABLE_TEXT, 60},
    {NULL},
};

static const struct table_column cache_columns[] = {
    {"ROUTE", "name", TABLE_TEXT, 32},   {"STORE", "store", TABLE_TEXT, 24},
    {"HITS", "hits", TABLE_COUNT},       {"MISSES", "misses", TABLE_COUNT},
    {"STORED", "stored", TABLE_COUNT},   {"PASSED", "passed", TABLE_COUNT},
    {"FROM CACHE", "hit_bytes", TABLE_BYTES}, {NULL},
};

static const struct table_column store_columns[] = {
    {"STORE", "name", TABLE_TEXT, 24},         {"OBJECTS", "objects", TABLE_COUNT},
    {"MEMORY", "memory_bytes", TABLE_BYTES},   {"OF", "memory_max", TABLE_BYTES},
    {"DISK", "disk_bytes", TABLE_BYTES},       {"OF", "disk_max", TABLE_BYTES},
    {NULL},
};

static const struct table_column connection_columns[] = {
    {"ID", "id", TABLE_TEXT},                {"CLIENT", "client", TABLE_TEXT, 46},
    {"LISTENER", "listener", TABLE_TEXT, 24}, {"PROTOCOL", "protocol", TABLE_TEXT},
    {"STATE", "state", TABLE_TEXT, 24},      {"TLS", "tls", TABLE_FLAG},
    {"REQUESTS", "requests", TABLE_COUNT},
    {NULL},
};

static const struct table_column exchange_columns[] = {
    {"ID", "id", TABLE_TEXT},              {"AGE", "age_us", TABLE_TOOK},
    {"STATE", "state", TABLE_TEXT, 28},    {"METHOD", "method", TABLE_TEXT, 10},
    {"HOST", "host", TABLE_TEXT, 32},      {"TARGET", "target", TABLE_TEXT, 48},
    {"CLIENT", "client", TABLE_TEXT, 40},  {"ROUTE", "route", TABLE_TEXT, 24},
    {"SERVER", "server", TABLE_TEXT, 32},  {"IN", "request_bytes", TABLE_BYTES},
    {"OUT", "response_bytes", TABLE_BYTES}, {"REQUEST ID", "request_id", TABLE_TEXT, 40},
    {NULL},
};

static const struct table_column trace_columns[] = {
    {"BEGAN", "began", TABLE_DATE},        {"STATUS", "status", TABLE_TEXT},
    {"TOOK", "took_us", TABLE_TOOK},       {"METHOD", "method", TABLE_TEXT, 10},
    {"HOST", "host", TABLE_TEXT, 32},      {"TARGET", "target", TABLE_TEXT, 48},
    {"ROUTE", "route", TABLE_TEXT, 24},    {"SERVER", "server", TABLE_TEXT, 32},
    {"REASON", "reason", TABLE_TEXT, 24},  {"REQUEST ID", "request_id", TABLE_TEXT, 40},
    {NULL},
};

static const struct table_column revision_columns[] = {
    {"REVISION", "number", TABLE_COUNT}, {"AT (UTC)", "at", TABLE_DATE},
    {"CAUSE", "cause", TABLE_TEXT},      {"WHO", "who", TABLE_TEXT, 24},
    {"IN FORCE", "current", TABLE_FLAG}, {"COMMENT", "comment", TABLE_TEXT, 60},
    {NULL},
};

static const struct table_column audit_columns[] = {
    {"AT (UTC)", "at", TABLE_DATE},      {"WHO", "who", TABLE_TEXT, 24},
    {"FROM", "from", TABLE_TEXT, 46},    {"ACTION", "action", TABLE_TEXT, 24},
    {"TARGET", "target", TABLE_TEXT, 60}, {"OUTCOME", "outcome", TABLE_TEXT, 40},
    {NULL},
};

/* ------------------------------------------------------------------ lists */

const struct list_kind lists[] = {
    {"routes", "/v1/routes?most=5000", "routes", route_columns, shape_routes, "requests", "name"},
    {"upstreams", "/v1/upstreams", "upstreams", upstream_columns, shape_upstreams, "exchanges",
     "name"},
    {"servers", "/v1/upstreams", "upstreams", server_columns, shape_servers, "exchanges",
     "shown_key"},
    {"exchanges", "/v1/exchanges?most=1000", "exchanges", exchange_columns},
    {"connections", "/v1/connections?most=1000", "connections", connection_columns},
    {"listeners", "/v1/listeners", "listeners", listener_columns},
    {"certificates", "/v1/certificates", "certificates", certificate_columns},
    {"caches", "/v1/caches", "caches", cache_columns},
    {"stores", "/v1/caches", "stores", store_columns},
    {"traces", "/v1/traces", "traces", trace_columns},
    {"revisions", "/v1/revisions", "revisions", revision_columns},
    {"audit", "/v1/audit", "entries", audit_columns},
    {NULL},
};

const struct list_kind *
lists_find(const char *name)
{
    for (const struct list_kind *k = lists; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

json_t *
lists_shape(const struct list_kind *kind, json_t *rows)
{
    return kind->shape ? kind->shape(rows) : json_incref(rows);
}

json_t *
lists_rows(const struct list_kind *kind, const json_t *answer)
{
    json_t *rows = json_object_get(answer, kind->member);

    return json_is_array(rows) ? lists_shape(kind, rows) : NULL;
}

void
lists_set_rates(const struct list_kind *kind, const json_t *before, json_t *rows, double seconds)
{
    json_t *known = json_object(), *row;
    size_t i;

    if (kind->counter && seconds > 0) {
        json_array_foreach (before, i, row)
            json_object_set(known, json_string_value(json_object_get(row, kind->identity)),
                            json_object_get(row, kind->counter));
        json_array_foreach (rows, i, row) {
            const char *name = json_string_value(json_object_get(row, kind->identity));
            const json_t *was = name ? json_object_get(known, name) : NULL;
            double n = json_number_value(json_object_get(row, kind->counter)) -
                       json_number_value(was);

            if (was && n >= 0)
                json_object_set_new(row, "shown_rate", json_real(n / seconds));
        }
    }
    json_decref(known);
}
