/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/options.c - what can be configured of an upstream and its servers. */
#include "upstream/guard.h"
#include "upstream/health.h"
#include "upstream/locality.h"
#include "upstream/passive.h"
#include "upstream/server_tls.h"
#include "upstream/sticky.h"

/* ------------------------------------------------------------------ balancing */

static const struct option_object round_robin = {
    .name = "round_robin",
    .doc = "One server after the other, in proportion to their weights.",
    .ops = &lb_round_robin,
};
static const struct option_object random_server = {
    .name = "random",
    .doc = "Any server, in proportion to their weights.",
    .ops = &lb_random,
};
static const struct option_object least_connections = {
    .name = "least_connections",
    .doc = "The server with the fewest exchanges in flight for its weight.",
    .ops = &lb_least_connections,
};
static const struct option two_choices_options[] = {
    {"reuse", &option_bool, offsetof(struct balance_config, lb.reuse), .preset = "false",
     .doc =
         "Of two that are equally busy, the one to which a connection is idle: fewer connections "
         "are made, but a group with little to do leaves some servers without work."},
    {NULL},
};
static const struct option_object two_choices = {
    .name = "two_choices",
    .size = sizeof(struct balance_config),
    .options = two_choices_options,
    .doc = "The less busy of two servers drawn at random: nearly as even as `least_connections`, "
           "at the same cost for any number of servers.",
    .ops = &lb_two_choices,
};
static const struct option_object peak_ewma = {
    .name = "peak_ewma",
    .doc =
        "The faster of two servers drawn at random: by how long their answers took lately, where "
        "slow ones count at once and are forgotten slowly, and by what they have in flight.",
    .ops = &lb_peak_ewma,
};
static const struct option_object least_time = {
    .name = "least_time",
    .doc = "The server with the lowest average time to answer, for what it has in flight and its "
           "weight.",
    .ops = &lb_least_time,
};

static const struct option hash_options[] = {
    {"by", &option_value, offsetof(struct balance_config, by), .preset = "client.ip",
     .doc = "What decides: an expression, such as `client.ip`, `header('x-user')`, `uri`. When it "
            "is absent any server is taken."},
    {"bound", &option_percent, offsetof(struct balance_config, lb.bound), .preset = "125%",
     .min = 0, .max = 100000000,
     .doc = "The most that one server has in flight, compared with the average of all; beyond it a "
            "key moves on to its next server. 0 is no bound."},
    {NULL},
};
static const struct option_object hash = {
    .name = "hash",
    .doc = "Always the same server for the same key, whatever happens to the others.",
    .size = sizeof(struct balance_config),
    .options = hash_options,
    .shorthand = "by",
    .ops = &lb_hash,
};

static const struct option_object *const policies[] = {
    &round_robin, &random_server, &least_connections, &two_choices, &peak_ewma, &least_time, &hash,
    NULL,
};

/* ------------------------------------------------------------------ servers */

static const struct option server_options[] = {
    {"address", &option_string, offsetof(struct server_config, address),
     .doc = "Where the server listens: `10.0.0.1:8080`, `app.internal:8080`, `unix:/run/app.sock`. "
            "A name may stand for many addresses; it is looked up again when its TTL ends."},
    {"srv", &option_string, offsetof(struct server_config, srv),
     .doc = "Instead of an address: the name of SRV records, `_http._tcp.app.internal`, that tell "
            "hosts, ports, weights, and priorities, which become tiers."},
    {"file", &option_string, offsetof(struct server_config, file),
     .doc = "Instead of an address: a YAML or JSON file with a list of servers, each an address or "
            "`{address, weight, tier, region, max_connections, state}`; what it does not say of a "
            "server, this entry says. It is looked at each second, by the worker's own user; a "
            "change counts once two looks a quarter of a second apart see the same."},
    {"weight", &option_int, offsetof(struct server_config, weight), .preset = "1", .min = 1,
     .max = LB_WEIGHT_MAX, .doc = "How large its share is, compared with the others'."},
    {"tier", &option_int, offsetof(struct server_config, tier), .preset = "0", .max = 255,
     .doc =
         "Servers of tier 0 come first; those of the next tier, backups, when none of it is left, "
         "or fewer than the `spill` of `locality`."},
    {"region", &option_string, offsetof(struct server_config, region),
     .doc = "Where it is: a name of `locality: regions`."},
    {"max_connections", &option_int, offsetof(struct server_config, max_connections),
     .preset = "0", .max = 1000000,
     .doc = "Most connections to it, of all workers together, idle ones included; exchanges beyond "
            "wait in its `queue`. 0 is no limit."},
    {"state", &option_choice, offsetof(struct server_config, state), .preset = "ready",
     .choices = server_states,
     .doc = "`draining` finishes what it has and keeps its sticky clients; `maintenance` gets "
            "nothing."},
    {NULL},
};

static bool
check_address(struct config_bind *b, const struct server_config *s)
{
    union address address;
    struct slice host;
    uint16_t port;

    if (slice_search(s->address, SLICE("://")) != SLICE_NOT_FOUND)
        return config_bind_error(b, &s->address,
                                 slice_starts(s->address, SLICE("https"))
                                     ? "leave out `https://`, and add `tls: {}` to the upstream"
                                     : "leave out `http://`",
                                 "expected host:port, found a URL");
    if (address_parse(s->address, &address) || address_split(s->address, 80, &host, &port))
        return true;
    return config_bind_error(b, &s->address, "write it as 10.0.0.1:8080, name:8080 or unix:/path",
                             "`%.*s` is not an address", SLICE_ARG(s->address));
}

static bool
check_server(struct config_bind *b, void *object)
{
    struct server_config *s = object;
    int given = slice_is_present(s->address) + slice_is_present(s->srv) +
                slice_is_present(s->file);

    if (given != 1 || s->address.n + s->srv.n + s->file.n == 0)
        return config_bind_error(b, s, "write `address: 10.0.0.1:8080`",
                                 "a server has one of `address`, `srv` and `file`");
    if (slice_is_present(s->file))
        s->file = config_bind_path(b, &s->file, s->file);
    return !slice_is_present(s->address) || check_address(b, s);
}

static const struct option_object server_object = {
    .name = "server",
    .doc = "One server of an upstream, or a source of servers; just its address may stand for it.",
    .size = sizeof(struct server_config),
    .options = server_options,
    .shorthand = "address",
    .check = check_server,
    .takes_defaults = true,
};

/* ------------------------------------------------------------------ connections */

static const struct option connections_options[] = {
    {"idle_timeout", &option_duration, offsetof(struct connections_config, idle_timeout_us),
     .preset = "60s", .min = 1000, .max = 86400000000,
     .doc = "How long a connection is kept open for later requests."},
    {"max_idle", &option_int, offsetof(struct connections_config, max_idle), .preset = "512",
     .max = 65535, .doc = "How many idle connections each worker keeps open to one server."},
    {"warm", &option_int, offsetof(struct connections_config, warm), .preset = "0", .max = 1024,
     .doc = "How many connections each worker keeps open to each server, before anybody needs "
            "them."},
    {"max_age", &option_duration, offsetof(struct connections_config, max_age_us), .preset = "0",
     .max = 864000000000, .doc = "A connection that is older is not used again; 0 is no limit."},
    {"max_requests", &option_int, offsetof(struct connections_config, max_requests),
     .preset = "0", .max = 1000000000,
     .doc = "How many requests a connection carries; 0 is no limit."},
    {"patience", &option_duration, offsetof(struct connections_config, patience_us),
     .preset = "3ms", .max = 10000000,
     .doc = "How long a request waits for a busy connection to come back before a new one is made; "
            "0 does not wait. Up to three times as long where answers take longer; while some are "
            "being made already, others wait up to twenty times as long."},
    {"learn_idle", &option_bool, offsetof(struct connections_config, learn_idle),
     .preset = "true",
     .doc = "Finds out after how long a server closes idle connections, and closes them a little "
            "earlier."},
    {"streams", &option_int, offsetof(struct connections_config, streams), .preset = "100",
     .min = 1, .max = 10000,
     .doc = "HTTP/2: how many requests one connection carries at a time, unless the server wants "
            "fewer."},
    {"fast_open", &option_bool, offsetof(struct connections_config, fast_open),
     .preset = "false",
     .doc = "TCP Fast Open: the first request travels with the opening of the connection. Such a "
            "request may arrive twice."},
    {"keepalive", &option_duration, offsetof(struct connections_config, keepalive_us),
     .preset = "0", .max = 86400000000,
     .doc = "TCP keep-alive probes after so much silence; 0 sends none."},
    {"source", &option_string, offsetof(struct connections_config, source_text),
     .doc = "The address of this machine that connections come from."},
    {NULL},
};

static bool
check_connections(struct config_bind *b, void *object)
{
    struct connections_config *c = object;

    if (slice_is_present(c->source_text) && !address_parse_ip(c->source_text, 0, &c->source))
        return config_bind_error(b, &c->source_text, "write it as 10.0.0.1 or 2001:db8::1",
                                 "`%.*s` is not an IP address", SLICE_ARG(c->source_text));
    return true;
}

static const struct option_object connections_object = {
    .name = "connections",
    .doc = "Connections to servers: how they are made, kept and used again.",
    .size = sizeof(struct connections_config),
    .options = connections_options,
    .check = check_connections,
};

static const struct option queue_options[] = {
    {"size", &option_int, offsetof(struct queue_config, size), .preset = "1000", .max = 1000000,
     .doc = "How many may wait for one server; those beyond are refused."},
    {"timeout", &option_duration, offsetof(struct queue_config, timeout_us), .preset = "10s",
     .min = 1000, .max = 3600000000, .doc = "How long one waits."},
    {NULL},
};

static const struct option_object queue_object = {
    .name = "queue",
    .doc = "Where exchanges wait for a server that is at its `max_connections`.",
    .size = sizeof(struct queue_config),
    .options = queue_options,
};

static const struct option hedge_options[] = {
    {"after", &option_duration, offsetof(struct hedge_config, after_us), .flags = OPTION_REQUIRED,
     .min = 1000, .max = 60000000,
     .doc = "When no answer has begun for so long, another server is asked as well."},
    {"most", &option_int, offsetof(struct hedge_config, most), .preset = "1", .min = 1, .max = 3,
     .doc = "How many further servers."},
    {NULL},
};

static const struct option_object hedge_object = {
    .name = "hedge",
    .doc = "Reads (GET, HEAD) that take long are asked of another server too; the first answer "
           "wins. Takes from the budget of retries.",
    .size = sizeof(struct hedge_config),
    .options = hedge_options,
    .shorthand = "after",
};

/* ------------------------------------------------------------------ upstreams */

static const char *const proxy_protocols[] = {"off", "v1", "v2", NULL};
static const char *const https[] = {
    [UPSTREAM_HTTP1] = "http1",
    [UPSTREAM_HTTP2] = "http2",
    [UPSTREAM_HTTP_ANY] = "any",
    NULL,
};
static const char *const loads[] = {"ignore", "field", NULL};

/* The first two only for upstreams with a name; the rest also for a URL in a route. */
enum { NAMED_ONLY = 2 };

#define AT(field) offsetof(struct upstream_config, field)

static const struct option upstream_options[] = {
    {"name", &option_string, AT(name), .flags = OPTION_KEY,
     .doc = "The key in `upstreams`; routes name it in `to`."},
    {"servers", &option_objects, AT(servers), .object = &server_object,
     .flags = OPTION_LIST | OPTION_REQUIRED, .doc = "The servers of the group."},
    {"balance", &option_variants, AT(balance), .preset = "round_robin", .variants = policies,
     .doc = "How a server is chosen for an exchange."},
    {"sticky", &option_objects, AT(sticky), .object = &sticky_object, .flags = OPTION_POINTER,
     .doc = "Clients stay with their server, by a signed cookie."},
    {"locality", &option_objects, AT(locality), .object = &locality_object,
     .flags = OPTION_POINTER,
     .doc = "Servers have regions, and clients go to the nearest."},
    {"health", &option_objects, AT(health), .object = &health_object, .flags = OPTION_LIST,
     .doc = "Checks that ask each server regularly how it is; it is up when all are content."},
    {"passive", &option_objects, AT(passive), .object = &passive_object,
     .doc = "What real traffic tells of a server's health."},
    {"panic", &option_percent, AT(panic), .preset = "0%", .max = 1000000,
     .doc = "When fewer of the servers than this are usable, checks are not believed any more and "
            "all are used; 0 never."},
    {"slow_start", &option_duration, AT(slow_start_us), .preset = "0", .max = 3600000000,
     .doc = "A server that comes (back) gets its full share only after so long."},
    {"subset", &option_int, AT(subset), .preset = "0", .max = 10000,
     .doc = "Each worker uses only so many of the servers, for very large groups; 0 is all."},
    {"load", &option_choice, AT(load), .preset = "ignore", .choices = loads,
     .doc = "Whether servers steer their share: by the response field `endpoint-load-metrics`, "
            "which is not passed on."},
    {"retries", &option_objects, AT(retries), .object = &retries_object,
     .doc = "What is tried again on another server; just a number of attempts may stand for it."},
    {"hedge", &option_objects, AT(hedge), .object = &hedge_object, .flags = OPTION_POINTER,
     .doc = "Slow reads are asked of a second server too."},
    {"breaker", &option_objects, AT(breaker), .object = &breaker_object, .flags = OPTION_POINTER,
     .doc = "Limits beyond which the group is left alone for a while."},
    {"concurrency", &option_objects, AT(concurrency), .object = &concurrency_object,
     .flags = OPTION_POINTER,
     .doc = "How many exchanges the group bears at a time, found out from its latency."},
    {"connections", &option_objects, AT(connections), .object = &connections_object,
     .doc = "Connections to servers: how they are made, kept and used again."},
    {"queue", &option_objects, AT(queue), .object = &queue_object,
     .doc = "Where exchanges wait for a server that is at its `max_connections`."},
    {"proxy_protocol", &option_choice, AT(proxy_protocol), .preset = "off",
     .choices = proxy_protocols,
     .doc = "Whether connections begin with a PROXY header that tells the client's address; such "
            "connections are not shared between clients."},
    {"tls", &option_objects, AT(tls), .object = &upstream_tls_object, .flags = OPTION_POINTER,
     .doc = "TLS to servers; `tls: {}` where the system trusts their certificates."},
    {"http", &option_choice, AT(http), .preset = "http1", .choices = https,
     .doc = "`http2`: many requests share a connection (in clear: with prior knowledge); `any`: "
            "what the server prefers, with `tls` only. Upgrades such as WebSocket always use "
            "HTTP/1.1."},
    {"resolve", &option_duration, AT(resolve_us), .preset = "0", .max = 86400000000,
     .doc = "How often names are looked up again at least; 0 goes by the TTL of the answer."},
    {NULL},
};

static bool
check_regions(struct config_bind *b, const struct upstream_config *u)
{
    struct server_config *s = u->servers.at;

    for (size_t i = 0; i < u->servers.n; i++)
        if (s[i].region.n &&
            (!u->locality || locality_find(u->locality, s[i].region) == LB_NO_REGION))
            return config_bind_error(b, &s[i].region, "name it in `locality: regions`",
                                     "there is no region `%.*s`", SLICE_ARG(s[i].region));
    return true;
}

static bool
check_upstream(struct config_bind *b, void *object)
{
    struct upstream_config *u = object;

    if (u->servers.n == 0)
        return config_bind_error(b, &u->servers,
                                 "list at least one, such as `servers: [10.0.0.1:8080]`",
                                 "the upstream has no servers");
    if (u->http == UPSTREAM_HTTP_ANY && !u->tls)
        return config_bind_error(b, &u->http, "choose `http1` or `http2`, or add `tls: {}`",
                                 "without TLS nothing can be agreed on");
    if (u->http != UPSTREAM_HTTP1 && u->proxy_protocol)
        return config_bind_error(b, &u->proxy_protocol, "use `http: http1`",
                                 "connections of HTTP/2 are shared by clients, but a PROXY header "
                                 "tells one client's address");
    return check_regions(b, u);
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
upstream_url(struct slice to, struct arena *arena, struct slice *address, bool *secure)
{
    struct slice host;
    uint16_t port;

    *secure = slice_starts(to, SLICE("https://"));
    if (slice_starts(to, SLICE("unix:"))) {
        *address = to;
        return to.n > 5;
    }
    if (!slice_starts(to, SLICE("http://")) && !*secure)
        return false;
    *address = slice_from(to, *secure ? 8 : 7);
    if (address->n && address->at[address->n - 1] == '/')
        address->n--;
    if (slice_find(*address, '/') != SLICE_NOT_FOUND || !address_split(*address, 80, &host, &port))
        return false;
    if (*secure && !address_split(*address, 0, &host, &port))
        *address = arena_printf(arena, "%.*s:443", SLICE_ARG(*address));
    return address->n > 0;
}

const struct option_object upstream_url_object = {
    .name = "upstream",
    .doc = "An upstream of one server that stands in a route as a URL.",
    .size = sizeof(struct upstream_config),
    .options = upstream_options + NAMED_ONLY,
    .takes_defaults = true,
};
