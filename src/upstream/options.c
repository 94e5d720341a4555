/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/options.c - what can be configured of an upstream and its servers. */
#include "balance/policy.h"
#include "upstream/upstream.h"

static const struct option_object round_robin = {
    .name = "round_robin",
    .doc = "One server after the other, in proportion to their weights.",
    .ops = &lb_round_robin,
};
static const struct option_object least_connections = {
    .name = "least_connections",
    .doc = "The server with the fewest exchanges in flight for its weight.",
    .ops = &lb_least_connections,
};
static const struct option_object random_server = {
    .name = "random",
    .doc = "Any server, in proportion to their weights.",
    .ops = &lb_random,
};

static const struct option_object *const policies[] = {
    &round_robin,
    &least_connections,
    &random_server,
    NULL,
};

static const struct option server_options[] = {
    {"address", &option_string, offsetof(struct server_config, address), .flags = OPTION_REQUIRED,
     .doc = "Where the server listens: `10.0.0.1:8080`, `app.internal:8080`, `unix:/run/app.sock`. "
            "A name may stand for many addresses; it is looked up again when its TTL ends."},
    {"weight", &option_int, offsetof(struct server_config, weight), .preset = "1", .min = 1,
     .max = LB_WEIGHT_MAX, .doc = "How large its share is, compared with the others'."},
    {NULL},
};

static bool
check_server(struct config_bind *b, void *object)
{
    struct server_config *s = object;
    union address address;
    struct slice host;
    uint16_t port;

    if (slice_starts(s->address, SLICE("http://")))
        return config_bind_error(b, &s->address, "leave out `http://`",
                                 "expected host:port, found a URL");
    if (address_parse(s->address, &address) || address_split(s->address, 80, &host, &port))
        return true;
    return config_bind_error(b, &s->address, "write it as 10.0.0.1:8080, name:8080 or unix:/path",
                             "`%.*s` is not an address", SLICE_ARG(s->address));
}

static const struct option_object server_object = {
    .name = "server",
    .doc = "One server of an upstream; just its address may stand for it.",
    .size = sizeof(struct server_config),
    .options = server_options,
    .shorthand = "address",
    .check = check_server,
    .takes_defaults = true,
};

static const char *const proxy_protocols[] = {"off", "v1", "v2", NULL};

/* The first two only for upstreams with a name; the rest also for a URL in a route. */
enum { NAMED_ONLY = 2 };

static const struct option upstream_options[] = {
    {"name", &option_string, offsetof(struct upstream_config, name), .flags = OPTION_KEY,
     .doc = "The key in `upstreams`; routes name it in `to`."},
    {"servers", &option_objects, offsetof(struct upstream_config, servers),
     .object = &server_object, .flags = OPTION_LIST | OPTION_REQUIRED,
     .doc = "The servers of the group."},
    {"balance", &option_variants, offsetof(struct upstream_config, balance),
     .preset = "round_robin", .variants = policies,
     .doc = "How a server is chosen for an exchange."},
    {"retries", &option_int, offsetof(struct upstream_config, retries), .preset = "2", .max = 10,
     .doc = "How many more servers are tried when one fails before it answers: for idempotent "
            "requests, or when nothing of the request can have been seen."},
    {"idle_timeout", &option_duration, offsetof(struct upstream_config, idle_timeout_us),
     .preset = "60s", .min = 1000, .max = 86400000000,
     .doc = "How long a connection is kept open for later requests."},
    {"max_idle", &option_int, offsetof(struct upstream_config, max_idle), .preset = "512",
     .max = 65535, .doc = "How many idle connections each worker keeps open to one server."},
    {"proxy_protocol", &option_choice, offsetof(struct upstream_config, proxy_protocol),
     .preset = "off", .choices = proxy_protocols,
     .doc = "Whether connections begin with a PROXY header that tells the client's address; such "
            "connections are not shared between clients."},
    {"resolve", &option_duration, offsetof(struct upstream_config, resolve_us), .preset = "0",
     .max = 86400000000,
     .doc = "How often names are looked up again; 0 goes by the TTL of the answer."},
    {NULL},
};

static bool
check_upstream(struct config_bind *b, void *object)
{
    struct upstream_config *u = object;

    if (u->servers.n == 0)
        return config_bind_error(b, &u->servers,
                                 "list at least one, such as `servers: [10.0.0.1:8080]`",
                                 "the upstream has no servers");
    return true;
}

const struct option_object upstream_object = {
    .name = "upstream",
    .doc = "A named group of servers that do the same work.",
    .size = sizeof(struct upstream_config),
    .options = upstream_options,
    .check = check_upstream,
    .takes_defaults = true,
};

bool
upstream_url(struct slice to, struct slice *address)
{
    struct slice host;
    uint16_t port;

    if (slice_starts(to, SLICE("unix:"))) {
        *address = to;
        return to.n > 5;
    }
    if (!slice_starts(to, SLICE("http://")))
        return false;
    *address = slice_from(to, 7);
    if (address->n && address->at[address->n - 1] == '/')
        address->n--;
    return slice_find(*address, '/') == SLICE_NOT_FOUND &&
           address_split(*address, 80, &host, &port);
}

const struct option_object upstream_url_object = {
    .name = "upstream",
    .doc = "An upstream of one server that stands in a route as a URL.",
    .size = sizeof(struct upstream_config),
    .options = upstream_options + NAMED_ONLY,
    .takes_defaults = true,
};
