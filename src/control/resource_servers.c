/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_servers.c - upstreams and their servers, and what an operator wants of them. */
#include "control/events.h"
#include "control/operations.h"
#include "control/overrides.h"
#include "control/room.h"

#include <string.h>

enum { STATUS_MAX = 64 * 1024 * 1024 };

/* What upstreams_write_status() says.  NULL after answering. */
static json_t *
look(struct api_call *c)
{
    struct text t;
    json_t *all;

    text_init(&t, STATUS_MAX);
    text_byte(&t, '{');
    upstreams_write_status(&t);
    text_byte(&t, '}');
    all = t.full ? NULL : json_loadb(t.at, t.n, 0, NULL);
    text_free(&t);
    if (!all)
        api_problem(c, 503, "memory", "the answer does not fit into memory");
    return all;
}

static json_t *
member(json_t *list, const char *key, struct slice value)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *text = json_string_value(json_object_get(item, key));

        if (text && slice_eq(slice_str(text), value))
            return item;
    }
    return NULL;
}

static void
upstreams_get(struct api_call *c)
{
    json_t *all = look(c);

    if (all)
        api_answer_json(c, 200, all);
}

/* The upstream, or the server when the path names one.  NULL after answering; *all is the
 * caller's. */
static json_t *
find(struct api_call *c, json_t **all)
{
    struct slice upstream = c->parameters[0], server = c->parameters[1];
    json_t *u, *s;

    *all = look(c);
    if (!*all)
        return NULL;
    u = member(json_object_get(*all, "upstreams"), "name", upstream);
    s = u && server.n ? member(json_object_get(u, "servers"), "address", server) : u;
    if (s)
        return s;
    if (u)
        api_problem(c, 404, "not_found", "the upstream `%.*s` has no server `%.*s`",
                    SLICE_ARG(upstream), SLICE_ARG(server));
    else
        api_problem(c, 404, "not_found", "there is no upstream `%.*s`", SLICE_ARG(upstream));
    json_decref(take(all));
    return NULL;
}

static void
one_get(struct api_call *c)
{
    json_t *all, *found = find(c, &all);

    if (!found)
        return;
    json_incref(found);
    json_decref(all);
    api_answer_json(c, 200, found);
}

static void
servers_get(struct api_call *c)
{
    json_t *all, *found = find(c, &all);
    json_t *servers;

    if (!found)
        return;
    servers = json_incref(json_object_get(found, "servers"));
    json_decref(all);
    api_answer_json(c, 200, json_pack("{s:o}", "servers", servers));
}

/* ------------------------------------------------------------------ changes */

/* False after answering 400. */
static bool
take_weight(struct api_call *c, json_t *body, struct upstream_change *change)
{
    json_t *weight = json_object_get(body, "weight");

    change->weight = 1;
    if (!weight)
        return true;
    if (!json_is_integer(weight) || json_integer_value(weight) < 1 ||
        json_integer_value(weight) > LB_WEIGHT_MAX) {
        api_problem(c, 400, "bad_value", "weight is a number from 1 to %d", (int) LB_WEIGHT_MAX);
        return false;
    }
    change->weight = (uint32_t) json_integer_value(weight);
    return true;
}

static bool
take_state(struct api_call *c, json_t *body, struct upstream_change *change)
{
    json_t *state = json_object_get(body, "state");

    change->state = SERVER_READY;
    if (!state)
        return true;
    for (int i = 0; server_states[i] && json_is_string(state); i++)
        if (strcmp(json_string_value(state), server_states[i]) == 0) {
            change->state = (enum server_state) i;
            return true;
        }
    api_problem(c, 400, "bad_value", "state is one of ready, draining, maintenance");
    return false;
}

static struct upstream *
upstream_of(struct api_call *c)
{
    struct upstream *u = upstream_find(c->parameters[0]);

    if (!u)
        api_problem(c, 404, "not_found", "there is no upstream `%.*s`",
                    SLICE_ARG(c->parameters[0]));
    return u;
}

static bool
take_address(struct api_call *c, struct slice text, union address *out)
{
    if (address_parse(text, out))
        return true;
    api_problem(c, 400, "bad_value", "`%.*s` is not an address such as 10.0.0.1:80",
                SLICE_ARG(text));
    return false;
}

/* False after answering. */
static bool
change(struct api_call *c, struct upstream *u, const struct upstream_change *what)
{
    enum err e = upstream_change(u, what);

    if (e == OK) {
        overrides_changed();
        events_changed("server", c->who.name);
        return true;
    }
    if (e == ERR_NOT_FOUND)
        api_problem(c, 404, "not_found", "the upstream `%.*s` has no such server",
                    SLICE_ARG(c->parameters[0]));
    else
        api_problem(c, 503, "failed", "%s", err_sentence(e));
    return false;
}

static bool
is_there(struct api_call *c, struct slice address)
{
    json_t *all = look(c), *u;
    bool found;

    if (!all)
        return true;
    u = member(json_object_get(all, "upstreams"), "name", c->parameters[0]);
    found = u && member(json_object_get(u, "servers"), "address", address);
    json_decref(all);
    if (found)
        api_problem(c, 409, "conflict", "the server `%.*s` is there already", SLICE_ARG(address));
    return found;
}

/* What the body says it is, copied.  False after answering 400. */
static bool
take_address_text(struct api_call *c, json_t *body, struct slice *out)
{
    json_t *text = json_object_get(body, "address");

    if (json_is_string(text)) {
        *out = arena_copy(&c->x->arena,
                          slice_of(json_string_value(text), json_string_length(text)));
        return true;
    }
    api_problem(c, 400, "bad_value", "address is %s, such as \"10.0.0.1:80\"",
                text ? "a text" : "missing: say where the server is");
    return false;
}

static void
servers_post(struct api_call *c)
{
    static const char *const known[] = {"address", "weight", "state", NULL};
    struct upstream_change what = {.kind = UPSTREAM_ADD};
    struct upstream *u = upstream_of(c);
    json_t *body = u ? api_json(c) : NULL;
    struct slice address;

    if (!body)
        return;
    if (api_only_known(c, body, known) && take_weight(c, body, &what) &&
        take_state(c, body, &what) && take_address_text(c, body, &address) &&
        take_address(c, address, &what.server) && !is_there(c, address) && change(c, u, &what))
        api_answer_json(c, 201, json_pack("{s:s%}", "address", address.at, address.n));
    json_decref(body);
}

static void
server_patch(struct api_call *c)
{
    static const char *const known[] = {"weight", "state", NULL};
    struct upstream_change weight = {.kind = UPSTREAM_WEIGHT}, state = {.kind = UPSTREAM_STATE};
    struct upstream *u = upstream_of(c);
    json_t *body = u ? api_json(c) : NULL;
    bool good;

    if (!body)
        return;
    good = api_only_known(c, body, known) && take_weight(c, body, &weight) &&
           take_state(c, body, &state) && take_address(c, c->parameters[1], &weight.server);
    state.server = weight.server;
    if (good && json_object_get(body, "weight"))
        good = change(c, u, &weight);
    if (good && json_object_get(body, "state"))
        good = change(c, u, &state);
    json_decref(body);
    if (good)
        one_get(c);
}

static void
server_delete(struct api_call *c)
{
    struct upstream_change what = {.kind = api_query_flag(c, "forget") ? UPSTREAM_FORGET
                                                                       : UPSTREAM_REMOVE};
    struct upstream *u = upstream_of(c);

    if (u && take_address(c, c->parameters[1], &what.server) && change(c, u, &what))
        api_answer_empty(c, 204);
}

const struct api_operation operations_server[] = {
    {METHOD_GET, "/v1/upstreams", API_READ, upstreams_get,
     .summary = "All upstreams, their servers, and how they are.", .answer = "Upstreams"},
    {METHOD_GET, "/v1/upstreams/{upstream}", API_READ, one_get, .summary = "One of them.",
     .answer = "Upstream"},
    {METHOD_GET, "/v1/upstreams/{upstream}/servers", API_READ, servers_get,
     .summary = "Its servers.", .answer = "Servers"},
    {METHOD_POST, "/v1/upstreams/{upstream}/servers", API_OPERATE, servers_post,
     .summary = "Add a server that the configuration does not have; it survives reloads.",
     .body = "NewServer", .answer = "NewServer", .success = 201, .writes = true},
    {METHOD_GET, "/v1/upstreams/{upstream}/servers/{server}", API_READ, one_get,
     .summary = "One server, by its address.", .answer = "Server"},
    {METHOD_PATCH, "/v1/upstreams/{upstream}/servers/{server}", API_OPERATE, server_patch,
     .summary = "Another weight; draining, maintenance, or ready again.", .body = "ServerChange",
     .answer = "Server", .writes = true},
    {METHOD_DELETE, "/v1/upstreams/{upstream}/servers/{server}", API_OPERATE, server_delete,
     .summary = "Take it out; it finishes what it is serving.",
     .query = {{"forget", "boolean",
                "Instead: drop what was changed, so that it is as the configuration says."}},
     .writes = true},
    {0},
};

const struct api_schema schemas_server[] = {
    {"Server",
     "{\"type\":\"object\",\"required\":[\"address\",\"state\",\"usable\",\"stale\",\"weight\","
     "\"tier\",\"share\",\"inflight\",\"waiting\",\"connections\",\"idle\",\"connections_made\","
     "\"exchanges\",\"failures\",\"latency_us\",\"max_connections\",\"learned_idle_ms\","
     "\"why\"],\"properties\":{\"address\":{\"type\":\"string\"},\"state\":{\"type\":"
     "\"string\"},\"usable\":{\"type\":\"boolean\"},\"stale\":{\"type\":\"boolean\"},\"weight\":"
     "{\"type\":\"integer\"},\"tier\":{\"type\":\"integer\"},\"share\":{\"type\":\"number\"},"
     "\"inflight\":{\"type\":\"integer\"},\"waiting\":{\"type\":\"integer\"},\"connections\":{"
     "\"type\":\"integer\"},\"idle\":{\"type\":\"integer\"},\"connections_made\":{\"type\":"
     "\"integer\"},\"exchanges\":{\"type\":\"integer\"},\"failures\":{\"type\":\"integer\"},"
     "\"latency_us\":{\"type\":\"integer\"},\"max_connections\":{\"type\":\"integer\"},"
     "\"learned_idle_ms\":{\"type\":\"integer\"},\"why\":{\"type\":\"string\"}}}"},
    {"Servers", "{\"type\":\"object\",\"required\":[\"servers\"],\"properties\":{\"servers\":{"
                "\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Server\"}}}}"},
    {"Upstream",
     "{\"type\":\"object\",\"required\":[\"name\",\"exchanges\",\"clients\","
     "\"connections_made\",\"reused\",\"retries\",\"hedges\",\"waited\","
     "\"requests_per_connection\",\"clients_per_connection\",\"guard\",\"unresolved\","
     "\"servers\"],\"properties\":{\"name\":{\"type\":\"string\"},\"exchanges\":{\"type\":"
     "\"integer\"},\"clients\":{\"type\":\"integer\"},\"connections_made\":{\"type\":"
     "\"integer\"},\"reused\":{\"type\":\"integer\"},\"retries\":{\"type\":\"integer\"},"
     "\"hedges\":{\"type\":\"integer\"},\"waited\":{\"type\":\"integer\"},"
     "\"requests_per_connection\":{\"type\":\"number\"},\"clients_per_connection\":{\"type\":"
     "\"number\"},\"guard\":{\"type\":\"object\",\"required\":[\"breaker\",\"inflight\","
     "\"pending\",\"connections\",\"retries\",\"refused\",\"limit\"],\"properties\":{"
     "\"breaker\":{\"type\":\"string\"},\"inflight\":{\"type\":\"integer\"},\"pending\":{"
     "\"type\":\"integer\"},\"connections\":{\"type\":\"integer\"},\"retries\":{\"type\":"
     "\"integer\"},\"refused\":{\"type\":\"integer\"},\"limit\":{\"type\":\"integer\"}}},"
     "\"unresolved\":{\"type\":\"boolean\"},\"servers\":{\"type\":\"array\",\"items\":{\"$ref\":"
     "\"#/components/schemas/Server\"}}}}"},
    {"Upstreams", "{\"type\":\"object\",\"required\":[\"upstreams\"],\"properties\":{"
                  "\"upstreams\":{\"type\":\"array\",\"items\":{\"$ref\":"
                  "\"#/components/schemas/Upstream\"}}}}"},
    {"NewServer", "{\"type\":\"object\",\"required\":[\"address\"],\"properties\":{\"address\":{"
                  "\"type\":\"string\"},\"weight\":{\"type\":\"integer\",\"minimum\":1},"
                  "\"state\":{\"enum\":[\"ready\",\"draining\",\"maintenance\"]}},"
                  "\"additionalProperties\":false}"},
    {"ServerChange", "{\"type\":\"object\",\"properties\":{\"weight\":{\"type\":\"integer\","
                     "\"minimum\":1},\"state\":{\"enum\":[\"ready\",\"draining\","
                     "\"maintenance\"]}},\"additionalProperties\":false}"},
    {0},
};
