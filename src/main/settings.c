/* SPDX-License-Identifier: Apache-2.0 */
/* main/settings.c - the table of the top level: each room declares its own objects, here they come
 * together. */
#include "main/settings.h"

#include "analytics/analytics.h"
#include "control/admin.h"
#include "edge/edge.h"
#include "exchange/trace.h"
#include "middleware/cache/stores.h"
#include "runtime/quiesce.h"
#include "upstream/upstream.h"

#include <sched.h>

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

static const struct option process_options[] = {
    {"workers", &option_string, offsetof(struct process_config, workers), .preset = "auto",
     .doc =
         "How many threads serve; `auto` is one for each core that the process may use. Read at "
         "start only."},
    {"user", &option_string, offsetof(struct process_config, user), .preset = "nobody",
     .doc =
         "Who the worker process becomes when maitred is started as root; `root` stays root. Read "
         "at start only."},
    {"drain", &option_duration, offsetof(struct process_config, drain_us), .preset = "30s",
     .max = 86400000000, .doc = "How long exchanges in flight may last when the process ends."},
    {"max_connections", &option_int, offsetof(struct process_config, max_connections),
     .preset = "0", .max = 100000000,
     .doc = "Client connections in total; more are answered with 503. 0 is what the limit of file "
            "descriptors allows. Read at start only."},
    {"log_level", &option_choice, offsetof(struct process_config, log_level), .preset = "info",
     .choices = log_levels, .doc = "What the message log on stderr tells."},
    {NULL},
};

static unsigned
cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned) CPU_COUNT(&set) : 1;
}

static bool
check_process(struct config_bind *b, void *object)
{
    struct process_config *p = object;
    uint64_t n;

    if (slice_eq(p->workers, SLICE("auto"))) {
        p->worker_count = cores();
        if (p->worker_count > WORKERS_MAX)
            p->worker_count = WORKERS_MAX;
        return true;
    }
    if (!slice_to_u64(p->workers, WORKERS_MAX, &n) || n == 0)
        return config_bind_error(b, &p->workers, NULL, "workers must be `auto` or 1 to %d",
                                 WORKERS_MAX);
    p->worker_count = (unsigned) n;
    return true;
}

static const struct option_object process_object = {
    .name = "process",
    .doc = "The process as a whole.",
    .size = sizeof(struct process_config),
    .options = process_options,
    .check = check_process,
};

static const struct option settings_options[] = {
    {"process", &option_objects, offsetof(struct settings, process), .object = &process_object,
     .doc = "The process as a whole: threads, user, draining."},
    {"listeners", &option_objects, offsetof(struct settings, listeners), .object = &listener_object,
     .flags = OPTION_LIST | OPTION_REQUIRED, .doc = "The addresses that clients connect to."},
    {"upstreams", &option_objects, offsetof(struct settings, upstreams), .object = &upstream_object,
     .flags = OPTION_MAP, .doc = "Named groups of servers."},
    {"stores", &option_objects, offsetof(struct settings, stores), .object = &cache_store_object,
     .flags = OPTION_MAP, .doc = "Where the middleware `cache` keeps responses."},
    {"routes", &option_objects, offsetof(struct settings, routes), .object = &route_object,
     .flags = OPTION_LIST,
     .doc = "Which requests go where; the first that matches, as written, wins."},
    {"access_log", &option_objects, offsetof(struct settings, logs), .object = &access_log_object,
     .flags = OPTION_LIST, .doc = "Where each exchange is recorded; none when absent."},
    {"metrics", &option_bool, offsetof(struct settings, metrics), .preset = "on",
     .doc = "Count exchanges by route and listener; `off` is for measuring what that costs."},
    {"tracing", &option_objects, offsetof(struct settings, tracing), .object = &tracing_object,
     .flags = OPTION_POINTER,
     .doc = "Which exchanges have their decisions written down; none when absent."},
    {"analytics", &option_objects, offsetof(struct settings, analytics),
     .object = &analytics_object, .flags = OPTION_POINTER,
     .doc = "Who asks for what, over hours, days and months; nothing is recorded when absent."},
    {"admin", &option_objects, offsetof(struct settings, admin), .object = &admin_object,
     .flags = OPTION_POINTER, .doc = "The REST API and the dashboard; none when absent."},
    {NULL},
};

static bool
check_names(struct config_bind *b, const struct settings *s)
{
    const struct listener_config *l = s->listeners.at;
    struct slice *names = arena_calloc(config_bind_arena(b), s->listeners.n + 1, sizeof(*names));
    const struct route *r = s->routes.at;
    bool good = names != NULL;

    for (size_t i = 0; names && i < s->listeners.n; i++) {
        names[i] = l[i].name;
        for (size_t j = 0; j < i; j++)
            if (slice_eq(l[i].name, l[j].name))
                good = config_bind_error(b, &l[i].name, NULL, "two listeners have the name `%.*s`",
                                         SLICE_ARG(l[i].name));
    }
    for (size_t i = 0; names && i < s->routes.n; i++) {
        bool known = r[i].listener.n == 0;

        for (size_t j = 0; j < s->listeners.n && !known; j++)
            known = slice_eq(names[j], r[i].listener);
        if (!known)
            good = config_bind_error(
                b, &r[i].listener,
                config_suggest(config_bind_arena(b), r[i].listener, names, s->listeners.n),
                "there is no listener `%.*s`", SLICE_ARG(r[i].listener));
    }
    return good;
}

static bool
check_admin_listeners(struct config_bind *b, const struct settings *s)
{
    const struct listener_config *l = s->listeners.at, *a = s->admin->listen.at;

    for (size_t i = 0; i < s->admin->listen.n; i++)
        for (size_t j = 0; j < s->listeners.n; j++)
            if (address_eq(&a[i].address, &l[j].address))
                return config_bind_error(b, &a[i].address_text, "give the API one of its own",
                                         "clients are served on `%.*s`",
                                         SLICE_ARG(a[i].address_text));
    return true;
}

static bool
check_settings(struct config_bind *b, void *object)
{
    struct settings *s = object;
    const struct listener_config *l = s->listeners.at;

    for (size_t i = 0; i < s->listeners.n; i++)
        for (size_t j = 0; j < i; j++)
            if (address_eq(&l[i].address, &l[j].address))
                return config_bind_error(b, &l[i].address_text, NULL, "`%.*s` is listened on twice",
                                         SLICE_ARG(l[i].address_text));
    if (s->admin && !check_admin_listeners(b, s))
        return false;
    if (s->listeners.n == 0)
        return config_bind_error(b, &s->listeners, "add one, such as `listeners: [\":8080\"]`",
                                 "there is no listener");
    return check_names(b, s);
}

const struct option_object settings_object = {
    .name = "maitred",
    .doc = "The top level of a configuration file.",
    .size = sizeof(struct settings),
    .options = settings_options,
    .check = check_settings,
};
