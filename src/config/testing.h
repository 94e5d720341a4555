/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/testing.h - a small language with one option of everything, for tests and fuzzing.
 */
#ifndef CONFIG_TESTING_H
#define CONFIG_TESTING_H

#include "config/option.h"

#include <errno.h>

#define SAMPLE __attribute__((unused)) static

struct sample_health {
    struct slice path;
    uint64_t     every_us;
    bool         strict;
};

struct sample_server {
    struct slice address;
    int64_t      weight;
};

struct sample_upstream {
    struct slice          name;
    struct option_list    servers; /* of struct sample_server */
    int                   balance;
    struct sample_health *health;
};

struct sample_retry {
    int64_t  attempts;
    uint64_t timeout_us;
    int      checked; /* how often the check has run */
};

struct sample_compress {
    struct option_list encodings; /* of int */
    uint64_t           min_bytes;
};

struct sample_limit {
    struct option_rate rate;
    int64_t            burst;
};

struct sample_deny {
    int unused;
};

struct sample_route {
    struct option_list  hosts;   /* of struct slice */
    struct slice        path;
    struct slice        to;
    struct option_list  use;     /* of struct option_variant */
    struct option_list  clients; /* of struct network */
    struct option_list  set;     /* of struct option_pair */
    uint64_t            share;
    struct sample_retry retry;
    struct option_list  routes;  /* of struct sample_route */
};

struct sample_root {
    struct option_list    listen;    /* of union address */
    struct option_list    upstreams; /* of struct sample_upstream */
    struct option_list    routes;    /* of struct sample_route */
    uint64_t              cache_bytes;
    uint64_t              timeout_us;
    bool                  admin;
    struct slice          password;
    struct option_variant store;
    const struct config_node *free;
    int64_t               threads;
    struct sample_retry   retry;
    struct option_pair    header;
};

SAMPLE const struct option sample_health_options[] = {
    {"path", &option_string, offsetof(struct sample_health, path), .preset = "/",
     .doc = "What is asked for."},
    {"every", &option_duration, offsetof(struct sample_health, every_us), .preset = "5s",
     .min = 1000, .max = 3600000000, .doc = "How often."},
    {"strict", &option_bool, offsetof(struct sample_health, strict), .preset = "no",
     .doc = "Whether a redirect counts as a failure."},
    {NULL},
};
SAMPLE const struct option_object sample_health_object = {
    "health", "Active checks.", sizeof(struct sample_health), sample_health_options,
    .shorthand = "path"};

SAMPLE const struct option sample_server_options[] = {
    {"address", &option_string, offsetof(struct sample_server, address), .flags = OPTION_REQUIRED,
     .doc = "Host and port."},
    {"weight", &option_int, offsetof(struct sample_server, weight), .preset = "1", .min = 1,
     .max = 256, .doc = "Share of the requests."},
    {NULL},
};
SAMPLE const struct option_object sample_server_object = {
    "server", "One server.", sizeof(struct sample_server), sample_server_options,
    .shorthand = "address", .takes_defaults = true};

SAMPLE const char *const sample_balance[] = {"round_robin", "least_connections", "off", "2", NULL};
SAMPLE const struct option sample_upstream_options[] = {
    {"name", &option_string, offsetof(struct sample_upstream, name), .flags = OPTION_KEY,
     .doc = "Its name."},
    {"servers", &option_objects, offsetof(struct sample_upstream, servers),
     .object = &sample_server_object, .flags = OPTION_LIST | OPTION_REQUIRED,
     .doc = "Who answers."},
    {"balance", &option_choice, offsetof(struct sample_upstream, balance), .preset = "round_robin",
     .choices = sample_balance, .doc = "How a server is chosen."},
    {"health", &option_objects, offsetof(struct sample_upstream, health),
     .object = &sample_health_object, .flags = OPTION_POINTER,
     .doc = "Active checks, off when absent."},
    {NULL},
};
SAMPLE const struct option_object sample_upstream_object = {
    "upstream", "A group of servers.", sizeof(struct sample_upstream), sample_upstream_options,
    .shorthand = "servers", .takes_defaults = true};

SAMPLE bool
sample_retry_check(struct config_bind *b, void *object)
{
    struct sample_retry *r = object;

    r->checked++;
    if (r->attempts > 5 && r->timeout_us > 60000000)
        return config_bind_error(b, &r->attempts, "lower one of the two",
                                 "so many attempts take too long");
    if (r->attempts == 1)
        config_bind_warning(b, &r->attempts, NULL, "one attempt means no retry");
    return true;
}

SAMPLE const struct option sample_retry_options[] = {
    {"attempts", &option_int, offsetof(struct sample_retry, attempts), .preset = "3", .min = 1,
     .max = 10, .doc = "How many servers are tried."},
    {"timeout", &option_duration, offsetof(struct sample_retry, timeout_us), .preset = "2s",
     .min = 1000, .max = 3600000000, .doc = "How long one attempt may take."},
    {NULL},
};
SAMPLE const struct option_object sample_retry_object = {
    "retry", "Retries.", sizeof(struct sample_retry), sample_retry_options,
    .check = sample_retry_check};

SAMPLE const char *const sample_encodings[] = {"gzip", "br", "zstd", NULL};
SAMPLE const struct option sample_compress_options[] = {
    {"encodings", &option_choice, offsetof(struct sample_compress, encodings),
     .preset = "[zstd, br]", .choices = sample_encodings, .flags = OPTION_LIST,
     .doc = "In the order of preference."},
    {"min_size", &option_bytes, offsetof(struct sample_compress, min_bytes), .preset = "1KiB",
     .doc = "Smaller responses are left alone."},
    {NULL},
};
SAMPLE const struct option_object sample_compress_object = {
    "compress", "Compresses responses.", sizeof(struct sample_compress), sample_compress_options,
    .shorthand = "encodings", .takes_defaults = true};

SAMPLE const struct option sample_limit_options[] = {
    {"rate", &option_rate_kind, offsetof(struct sample_limit, rate), .flags = OPTION_REQUIRED,
     .min = 1, .max = 1000000, .doc = "Requests per time."},
    {"burst", &option_int, offsetof(struct sample_limit, burst), .preset = "0", .min = 0,
     .max = INT64_MAX, .doc = "How many may come at once."},
    {NULL},
};
SAMPLE const struct option_object sample_limit_object = {
    "rate_limit", "Limits requests.", sizeof(struct sample_limit), sample_limit_options,
    .shorthand = "rate"};

SAMPLE const struct option_object sample_deny_object = {
    .name = "deny", .doc = "Refuses everything.", .size = sizeof(struct sample_deny)};

SAMPLE const struct option_object *const sample_middleware[] = {
    &sample_compress_object, &sample_limit_object, &sample_deny_object, NULL};

extern const struct option_object sample_route_object;

SAMPLE const struct option sample_route_options[] = {
    {"host", &option_string, offsetof(struct sample_route, hosts), .flags = OPTION_LIST,
     .doc = "Host names; `*` | any."},
    {"path", &option_string, offsetof(struct sample_route, path), .preset = "/", .doc = "Prefix."},
    {"to", &option_string, offsetof(struct sample_route, to), .flags = OPTION_REQUIRED,
     .doc = "The upstream."},
    {"use", &option_variants, offsetof(struct sample_route, use), .variants = sample_middleware,
     .flags = OPTION_LIST, .doc = "Middleware, outermost first."},
    {"clients", &option_network, offsetof(struct sample_route, clients), .flags = OPTION_LIST,
     .doc = "Who may use it."},
    {"set", &option_pairs, offsetof(struct sample_route, set), .flags = OPTION_MAP,
     .doc = "Fields to add."},
    {"share", &option_percent, offsetof(struct sample_route, share), .preset = "100%",
     .doc = "Part of the requests."},
    {"retry", &option_objects, offsetof(struct sample_route, retry), .object = &sample_retry_object,
     .doc = "Retries."},
    {"routes", &option_objects, offsetof(struct sample_route, routes),
     .object = &sample_route_object, .flags = OPTION_LIST, .doc = "Routes inside this one."},
    {"secret_switch", &option_bool, 0, .flags = OPTION_HIDDEN},
    {NULL},
};

const struct option_object sample_route_object = {
    "route", "Where requests go.", sizeof(struct sample_route), sample_route_options,
    .takes_defaults = true};

SAMPLE const struct option_object *const sample_stores[] = {&sample_compress_object,
                                                            &sample_deny_object, NULL};

/* Names are resolved once everything is known. */
SAMPLE bool
sample_root_check(struct config_bind *b, void *object)
{
    struct sample_root *root = object;
    struct sample_route *routes = root->routes.at;
    struct sample_upstream *upstreams = root->upstreams.at;
    bool ok = true;

    for (size_t i = 0; i < root->routes.n; i++) {
        size_t j = 0;

        while (j < root->upstreams.n && !slice_eq(upstreams[j].name, routes[i].to))
            j++;
        if (j == root->upstreams.n)
            ok = config_bind_error(b, &routes[i].to, NULL, "there is no upstream `%.*s`",
                                   SLICE_ARG(routes[i].to));
    }
    return ok;
}

SAMPLE const struct option sample_root_options[] = {
    {"listen", &option_address, offsetof(struct sample_root, listen), .flags = OPTION_LIST,
     .preset = ":80", .doc = "Where clients come in."},
    {"upstreams", &option_objects, offsetof(struct sample_root, upstreams),
     .object = &sample_upstream_object, .flags = OPTION_MAP, .doc = "Groups of servers by name."},
    {"routes", &option_objects, offsetof(struct sample_root, routes),
     .object = &sample_route_object, .flags = OPTION_LIST, .doc = "First match wins."},
    {"cache_size", &option_bytes, offsetof(struct sample_root, cache_bytes), .preset = "64MiB",
     .min = 1 << 20, .max = 1ll << 40, .doc = "Memory for the cache."},
    {"timeout", &option_duration, offsetof(struct sample_root, timeout_us), .preset = "1m30s",
     .min = 1000, .max = 3600000000, .doc = "How long anything may take."},
    {"admin", &option_bool, offsetof(struct sample_root, admin), .preset = "on", .doc = "The API."},
    {"password", &option_string, offsetof(struct sample_root, password), .flags = OPTION_SECRET,
     .doc = "For the API."},
    {"store", &option_variants, offsetof(struct sample_root, store), .variants = sample_stores,
     .preset = "{compress: gzip}", .doc = "Where things are kept."},
    {"free", &option_any, offsetof(struct sample_root, free), .doc = "Whatever you like."},
    {"threads", &option_int, offsetof(struct sample_root, threads), .min = INT64_MIN, .max = 64,
     .doc = "Workers; negative: so many cores are left alone."},
    {"retry", &option_objects, offsetof(struct sample_root, retry), .object = &sample_retry_object,
     .preset = "{attempts: 4}", .doc = "Retries of our own."},
    {"header", &option_pairs, offsetof(struct sample_root, header), .doc = "One field."},
    {NULL},
};

SAMPLE const struct option_object sample_root_object = {
    "configuration", "The whole of it.", sizeof(struct sample_root), sample_root_options,
    .check = sample_root_check};

/* ------------------------------------------------------------------ a world of few files */

struct sample_file {
    const char *path, *text;
};

/* Both end with a NULL; a pattern matches every file whose path starts with what stands before
 * `*`. */
struct sample_world {
    const struct sample_file *files, *env;
};

SAMPLE const char *
sample_find(const struct sample_file *f, const char *path)
{
    for (; f && f->path; f++)
        if (strcmp(f->path, path) == 0)
            return f->text;
    return NULL;
}

SAMPLE int
sample_read(void *arg, const char *path, struct text *out)
{
    const struct sample_world *world = arg;
    const char *text = sample_find(world->files, path);

    if (!text)
        return ENOENT;
    text_put(out, slice_str(text));
    return out->full ? EFBIG : 0;
}

SAMPLE const char *
sample_env(void *arg, const char *name)
{
    const struct sample_world *world = arg;

    return sample_find(world->env, name);
}

SAMPLE int
sample_match(void *arg, const char *pattern, struct text *out)
{
    const struct sample_world *world = arg;
    struct slice stem = slice_first(slice_str(pattern), slice_find(slice_str(pattern), '*'));

    for (const struct sample_file *f = world->files; f && f->path; f++)
        if (slice_starts(slice_str(f->path), stem))
            text_put(out, slice_of(f->path, strlen(f->path) + 1));
    return 0;
}

#endif
