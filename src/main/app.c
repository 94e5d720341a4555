/* SPDX-License-Identifier: Apache-2.0 */
/* main/app.c - from a file to a snapshot that can be served. */
#include "main/app.h"

#include "main/builtin.h"

#include <stdlib.h>

static struct app_upstream *
find_upstream(struct app *a, struct slice name)
{
    return map_get(&a->by_name, name);
}

static struct app_upstream *
add_upstream(struct app *a, const struct upstream_config *config)
{
    struct app_upstream *u = find_upstream(a, config->name);

    if (u)
        return u;
    u = &a->upstreams[a->n_upstreams];
    u->upstream = upstream_get(config->name);
    u->config = config;
    if (!u->upstream)
        return NULL;
    a->n_upstreams++;
    return map_put(&a->by_name, config->name, u) ? u : NULL;
}

/* `to: http://host:port` stands for an upstream of one server. */
static struct upstream_config *
config_of_url(struct app *a, const struct config *config, struct config_report *report,
              const struct route *route)
{
    struct slice address;
    struct server_config *server;
    struct upstream_config *u;

    if (!upstream_url(route->to, &address))
        return NULL;
    u = config_bind_defaults(config, &a->arena, &upstream_url_object, report);
    server = arena_new(&a->arena, struct server_config);
    if (!u || !server)
        return NULL;
    *server = (struct server_config){.address = address, .weight = 1};
    u->name = route->to;
    u->servers = (struct option_list){server, 1};
    return u;
}

static void
unknown_upstream(struct app *a, const struct config *config, struct config_report *report,
                 const struct route *route)
{
    const struct upstream_config *u = a->settings->upstreams.at;
    size_t n = a->settings->upstreams.n;
    struct slice *names = arena_calloc(&a->arena, n + 1, sizeof(*names));
    const char *hint = NULL;

    for (size_t i = 0; names && i < n; i++)
        names[i] = u[i].name;
    if (names)
        hint = config_suggest(&a->arena, route->to, names, n);
    config_report_add(report, CONFIG_ERROR, config_where(config, &route->to),
                      hint ? hint : "name an upstream of `upstreams:`, or write http://host:port",
                      "there is no upstream `%.*s`", SLICE_ARG(route->to));
}

static bool
terminal(void *arg, const struct config *config, struct config_report *report,
         const struct route *route, struct middleware *last)
{
    struct app *a = arg;
    struct upstream_config *named = map_get(&a->configs, route->to);
    struct app_upstream *known = named ? NULL : find_upstream(a, route->to);
    struct upstream_terminal *t;

    if (!named && !known)
        named = config_of_url(a, config, report, route);
    if (!named && !known) {
        unknown_upstream(a, config, report, route);
        return false;
    }
    if (named)
        known = add_upstream(a, named);
    t = arena_new(&a->arena, struct upstream_terminal);
    if (!known || !t)
        return false;
    *t = (struct upstream_terminal){known->upstream, known->config};
    *last = (struct middleware){&upstream_relay, t};
    return true;
}

static void
warn_unused(struct app *a, struct config_report *report)
{
    const struct upstream_config *u = a->settings->upstreams.at;

    for (size_t i = 0; i < a->settings->upstreams.n; i++)
        if (!find_upstream(a, u[i].name))
            config_report_add(report, CONFIG_WARNING,
                              config_where_object(a->snapshot.config, &u[i]), NULL,
                              "no route uses the upstream `%.*s`", SLICE_ARG(u[i].name));
}

static bool
index_configs(struct app *a)
{
    struct upstream_config *u = a->settings->upstreams.at;

    for (size_t i = 0; i < a->settings->upstreams.n; i++)
        if (!map_put(&a->configs, u[i].name, &u[i]))
            return false;
    return true;
}

/* Those of the list that stand in every chain; ends with NULL. */
static const struct middleware_ops *const *
by_default(struct app *a)
{
    size_t n = 0, most = 1;
    const struct middleware_ops **list;

    while (builtin_middleware[most - 1])
        most++;
    list = arena_calloc(&a->arena, most, sizeof(*list));
    for (size_t i = 0; list && builtin_middleware[i]; i++)
        if (builtin_middleware[i]->by_default)
            list[n++] = builtin_middleware[i];
    return list;
}

static bool
build(struct app *a, struct config_report *report)
{
    struct snapshot *s = &a->snapshot;

    a->settings = s->config->root;
    s->listeners = a->settings->listeners;
    s->logs = a->settings->logs;
    if (!index_configs(a))
        return false;
    a->upstreams = calloc(a->settings->upstreams.n + a->settings->routes.n + 1,
                          sizeof(*a->upstreams));
    if (!a->upstreams)
        return false;
    s->routes = route_set_build(&a->settings->routes, s->config, by_default(a), terminal, a,
                                report);
    if (!s->routes)
        return false;
    warn_unused(a, report);
    if (a->settings->routes.n == 0)
        config_report_add(report, CONFIG_WARNING, (struct config_mark){0},
                          "add `routes: [{to: app}]`",
                          "there are no routes: every request gets 404");
    return report->errors == 0;
}

struct app *
app_load(const struct app_source *source, struct config_report *report)
{
    struct app *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    arena_init(&a->arena, NULL, 0, SIZE_MAX / 2);
    a->snapshot.refs = 1;
    a->snapshot.config = source->path ? config_load_file(source->path, &settings_object,
                                                         source->reader, report)
                                      : config_load_text("command line", source->text,
                                                         &settings_object, source->reader, report);
    if (a->snapshot.config && build(a, report))
        return a;
    app_free(a);
    return NULL;
}

bool
app_open_logs(struct app *a, struct config_report *report)
{
    struct access_log *log = a->snapshot.logs.at;

    for (size_t i = 0; i < a->snapshot.logs.n; i++)
        if (!access_log_open(&log[i], report, a->snapshot.config))
            return false;
    return true;
}

void
app_apply(struct app *a)
{
    for (size_t i = 0; i < a->n_upstreams; i++)
        (void) upstream_apply(a->upstreams[i].upstream, a->upstreams[i].config);
}

void
app_free(struct app *a)
{
    struct access_log *log = a->snapshot.logs.at;

    for (size_t i = 0; i < a->snapshot.logs.n; i++)
        if (log[i].sink)
            access_log_close(&log[i]);
    if (a->snapshot.routes)
        route_set_free(a->snapshot.routes);
    for (size_t i = 0; i < a->n_upstreams; i++)
        upstream_release(a->upstreams[i].upstream);
    free(a->upstreams);
    map_free(&a->by_name);
    map_free(&a->configs);
    if (a->snapshot.config)
        config_free(a->snapshot.config);
    arena_free(&a->arena);
    free(a);
}
