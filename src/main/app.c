/* SPDX-License-Identifier: Apache-2.0 */
/* main/app.c - from a file to a snapshot that can be served. */
#include "main/app.h"

#include "control/admin.h"
#include "edge/account.h"
#include "main/builtin.h"
#include "main/certificates.h"
#include "main/figures.h"
#include "main/folder.h"
#include "middleware/cache/stores.h"
#include "runtime/fiber.h"

#include <stdlib.h>

static struct app_upstream *
find_upstream(const struct app *a, struct slice name)
{
    return map_get(&a->by_name, name);
}

static struct app_upstream *
add_upstream(struct app *a, const struct upstream_config *config)
{
    struct app_upstream *u = arena_new(&a->arena, struct app_upstream);
    struct upstream *upstream = u ? upstream_get(config->name) : NULL;

    if (!upstream)
        return NULL;
    u->terminal = (struct upstream_terminal){upstream, config};
    u->relay = (struct middleware){&upstream_relay, &u->terminal};
    *a->end = u;
    a->end = &u->next;
    a->n_upstreams++;
    return map_put(&a->by_name, config->name, u) ? u : NULL;
}

/* `to: http://host:port` stands for an upstream of one server.  It lives with what was read from
 * the file: the upstream keeps both when the app is gone. */
static struct upstream_config *
config_of_url(struct app *a, struct slice to, struct config_report *report)
{
    struct arena *arena = &a->snapshot.config->arena;
    struct slice address;
    struct server_config *server;
    struct upstream_config *u;
    bool secure;

    if (!upstream_url(to, arena, &address, &secure))
        return NULL;
    u = config_bind_defaults(a->snapshot.config, arena, &upstream_url_object, report);
    server = arena_new(arena, struct server_config);
    if (!u || !server)
        return NULL;
    *server = (struct server_config){.address = address, .weight = 1};
    if (secure && !u->tls)
        u->tls = upstream_tls_plain();
    if (secure && !u->tls)
        return NULL;
    u->name = to;
    u->servers = (struct option_list){server, 1};
    return u;
}

static void
unknown_upstream(struct app *a, struct config_report *report, struct slice to,
                 struct config_mark where)
{
    const struct upstream_config *u = a->settings->upstreams.at;
    size_t n = a->settings->upstreams.n;
    struct slice *names = arena_calloc(&a->arena, n + 1, sizeof(*names));
    const char *hint = NULL;

    for (size_t i = 0; names && i < n; i++)
        names[i] = u[i].name;
    if (names)
        hint = config_suggest(&a->arena, to, names, n);
    config_report_add(report, CONFIG_ERROR, where,
                      hint ? hint : "name an upstream of `upstreams:`, or write http://host:port",
                      "there is no upstream `%.*s`", SLICE_ARG(to));
}

/* What routes and middleware say with `to`. */
static const struct middleware *
find_terminal(const struct middleware_linker *l, struct slice to, struct config_mark where)
{
    struct app *a = l->arg;
    struct app_upstream *known = find_upstream(a, to);
    struct upstream_config *config;
    size_t errors = l->report->errors;

    if (known)
        return &known->relay;
    config = map_get(&a->configs, to);
    if (!config)
        config = config_of_url(a, to, l->report);
    if (config)
        known = add_upstream(a, config);
    else if (l->report->errors == errors)
        unknown_upstream(a, l->report, to, where);
    if (!known && l->report->errors == errors)
        config_report_add(l->report, CONFIG_ERROR, where, NULL, "out of memory");
    return known ? &known->relay : NULL;
}

static void
hold(void *snapshot)
{
    atomic_fetch_add(&((struct snapshot *) snapshot)->refs, 1);
}

static void
release(void *snapshot)
{
    struct snapshot *s = snapshot;

    if (atomic_fetch_sub(&s->refs, 1) == 1)
        s->unused(s);
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
    struct middleware_linker linker = {
        .config = s->config,
        .report = report,
        .keeper = {hold, release, s},
        .arg = a,
        .terminal = find_terminal,
    };

    a->settings = s->config->root;
    linker.stores = &a->settings->stores;
    s->listeners = a->settings->listeners;
    s->logs = a->settings->logs;
    s->tracing = a->settings->tracing;
    s->analytics = a->settings->analytics;
    if (!index_configs(a))
        return false;
    s->routes = route_set_build(&a->settings->routes, s->config, by_default(a), &linker, report);
    if (!s->routes)
        return false;
    warn_unused(a, report);
    certificates_check(a, report);
    if (a->settings->routes.n == 0)
        config_report_add(report, CONFIG_WARNING, (struct config_mark){0},
                          "add `routes: [{to: app}]`",
                          "there are no routes: every request gets 404");
    return report->errors == 0;
}

/* Takes the reference; NULL: there were errors. */
static struct app *
make(struct config *config, struct config_report *report)
{
    struct app *a = config ? calloc(1, sizeof(*a)) : NULL;

    if (!a) {
        config_free(config);
        return NULL;
    }
    arena_init(&a->arena, NULL, 0, SIZE_MAX / 2);
    a->end = &a->upstreams;
    a->snapshot.refs = 1;
    a->snapshot.config = config;
    if (build(a, report))
        return a;
    app_free(a);
    return NULL;
}

struct app *
app_load(const struct app_source *source, struct config_report *report)
{
    return make(source->path ? config_load_file(source->path, &settings_object, source->reader,
                                                report)
                             : config_load_text("command line", source->text, &settings_object,
                                                source->reader, report),
                report);
}

struct app *
app_prepare(const struct config_document *d, const struct config_source *reader,
            struct config_report *report)
{
    return make(config_load_document(d, reader, report), report);
}

bool
app_open_logs(struct app *a, struct config_report *report)
{
    struct access_log *log = a->snapshot.logs.at;

    if (a->open)
        return true;
    for (size_t i = 0; i < a->snapshot.logs.n; i++)
        if (!access_log_open(&log[i], report, a->snapshot.config))
            return false;
    a->open = true;
    certificates_prepare(a);
    if (a->settings->admin)
        folder_prepare(a, a->settings->admin->state, "admin");
    return true;
}

void
app_apply(struct app *a)
{
    for (struct app_upstream *u = a->upstreams; u; u = u->next)
        (void) upstream_apply(u->terminal.upstream, u->terminal.config, a->snapshot.config);
    upstreams_applied();
    account_serve(&a->snapshot, a->settings->metrics);
    cache_stores_apply(&a->settings->stores);
    if (fiber_self()) { /* not in the commands that only look */
        figures_start();
        certificates_follow(a);
    }
}

void
app_retire(struct app *old, const struct app *now)
{
    for (struct app_upstream *u = old->upstreams; u; u = u->next)
        if (!now || !find_upstream(now, u->terminal.config->name))
            upstream_stop(u->terminal.upstream);
}

void
app_free(struct app *a)
{
    struct access_log *log = a->snapshot.logs.at;

    certificates_forget(a);
    account_forget(&a->snapshot);
    for (size_t i = 0; i < a->snapshot.logs.n; i++)
        if (log[i].sink)
            access_log_close(&log[i]);
    if (a->snapshot.routes)
        route_set_free(a->snapshot.routes);
    for (struct app_upstream *u = a->upstreams; u; u = u->next)
        upstream_release(u->terminal.upstream);
    map_free(&a->by_name);
    map_free(&a->configs);
    config_free(a->snapshot.config);
    arena_free(&a->arena);
    free(a);
}
