/* SPDX-License-Identifier: Apache-2.0 */
/* control/room.c - the admin listeners. */
#include "control/room.h"

#include "analytics/analytics.h"
#include "base/check.h"
#include "control/admin.h"
#include "control/configuration.h"
#include "control/events.h"
#include "control/operations.h"
#include "control/otlp_export.h"
#include "control/overrides.h"
#include "control/revisions.h"
#include "exchange/route_conditions.h"
#include "exchange/trace.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { STOP_LOOKS = 100, STOP_LOOK_US = 10000 };

enum { CONNECTIONS_MAX = 1024 };

/* What the admin edge serves: one route to control_terminal, and the listeners of a
 * configuration. */
struct admin_snapshot {
    struct snapshot       snapshot;
    struct route          route;
    struct option_variant use;
    struct option_list    routes;
    struct arena          arena;
    const struct admin_config *config;
};

static struct {
    const struct control_host *host;
    struct edge               *edge;
    struct admin_snapshot     *now;
    int64_t                    started_s;
    bool                       opened;    /* revisions_open() was called */
    bool                       recording; /* analytics_start() was called */
} room;

const struct control_host *
control_host(void)
{
    return room.host;
}

const struct admin_config *
control_admin(void)
{
    return room.now ? room.now->config : NULL;
}

int64_t
control_started_s(void)
{
    return room.started_s;
}

/* ------------------------------------------------------------------ its snapshot */

/* On the control thread, like everything that holds one. */
static void
free_snapshot(struct snapshot *s)
{
    struct admin_snapshot *a = container_of(s, struct admin_snapshot, snapshot);

    route_set_free(a->snapshot.routes);
    config_free(a->snapshot.config);
    arena_free(&a->arena);
    free(a);
}

static bool
make_routes(struct admin_snapshot *a)
{
    struct config_report report;
    struct route_fault fault;

    a->use = (struct option_variant){.object = &control_terminal.options};
    a->route.name = SLICE("admin");
    a->route.use = (struct option_list){&a->use, 1};
    a->routes = (struct option_list){&a->route, 1};
    if (!route_compile(&a->arena, &a->route, &fault))
        return false;
    config_report_init(&report);
    a->snapshot.routes = route_set_build(&a->routes, NULL, NULL, NULL, &report);
    config_report_free(&report);
    return a->snapshot.routes != NULL;
}

/* holder: the configuration that `config` is a part of. */
static struct admin_snapshot *
make_snapshot(struct config *holder, const struct admin_config *config)
{
    struct admin_snapshot *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    arena_init(&a->arena, NULL, 0, 1024 * 1024);
    a->snapshot.config = config_hold(holder);
    a->snapshot.refs = 1;
    a->snapshot.unused = free_snapshot;
    a->snapshot.listeners = config->listen;
    a->config = config;
    if (make_routes(a))
        return a;
    free_snapshot(&a->snapshot);
    return NULL;
}

static void
release_snapshot(struct admin_snapshot *a)
{
    if (a && atomic_fetch_sub(&a->snapshot.refs, 1) == 1)
        free_snapshot(&a->snapshot);
}

/* ------------------------------------------------------------------ its listeners */

static bool
is_listened(const struct admin_snapshot *a, const union address *address)
{
    return a && edge_listens(&a->snapshot, address);
}

/* An address that cannot be had costs the API there, and nothing else. */
static void
serve(struct admin_snapshot *a)
{
    const struct listener_config *l = a->snapshot.listeners.at;
    size_t n = a->snapshot.listeners.n;
    int *fds = calloc(n + 1, sizeof(int));

    CHECK(fds != NULL);
    for (size_t i = 0; i < n; i++) {
        fds[i] = -1;
        if (is_listened(room.now, &l[i].address))
            continue;
        fds[i] = room.host->listen(&l[i].address, (int) l[i].backlog);
        if (fds[i] < 0)
            log_error("admin: cannot listen on %.*s: %s", SLICE_ARG(l[i].address_text),
                      strerror(-fds[i]));
    }
    edge_use(room.edge, &a->snapshot, fds);
    free(fds);
}

/* True: it can be had. */
static bool
try_to_listen(const struct listener_config *l, struct control_listening *fresh)
{
    int fd;

    if (is_listened(room.now, &l->address))
        return true;
    fd = room.host->listen(&l->address, (int) l->backlog);
    if (fd < 0) {
        errno = -fd;
        return fd == -EALREADY;
    }
    close(fd); /* the supervisor keeps it */
    fresh->at[fresh->n++] = l->address;
    return true;
}

bool
control_can_listen(const struct app *app, struct control_listening *fresh,
                   struct config_report *report)
{
    const struct admin_config *config = room.host->admin(app);
    const struct listener_config *l = config ? config->listen.at : NULL;
    bool good = true;

    *fresh = (struct control_listening){.at = calloc(config ? config->listen.n + 1 : 1,
                                                     sizeof(*fresh->at))};
    CHECK(fresh->at != NULL);
    for (size_t i = 0; config && i < config->listen.n; i++) {
        if (try_to_listen(&l[i], fresh))
            continue;
        config_report_add(report, CONFIG_ERROR,
                          config_where(room.host->snapshot(app)->config, &l[i].address_text),
                          "without it nobody could take this change back by the API",
                          "cannot listen on %.*s: %s", SLICE_ARG(l[i].address_text),
                          strerror(errno));
        good = false;
    }
    return good;
}

void
control_listened(struct control_listening *fresh, bool served)
{
    for (size_t i = 0; i < fresh->n && !served; i++)
        room.host->forget(&fresh->at[i]);
    free(take(&fresh->at));
}

static void
forget_listeners(const struct admin_snapshot *old, const struct admin_snapshot *now)
{
    const struct listener_config *l = old->snapshot.listeners.at;

    for (size_t i = 0; i < old->snapshot.listeners.n; i++)
        if (!is_listened(now, &l[i].address))
            room.host->forget(&l[i].address);
}

/* No listeners: who has a connection keeps it until it ends.  With no other listener to go on
 * under, it needs the options of its own, in the configuration before. */
static void
close_listeners(void)
{
    static const int none[1];
    struct admin_snapshot *a = make_snapshot(room.now->snapshot.config, room.now->config);

    if (!a)
        return;
    a->snapshot.listeners.n = 0;
    edge_use(room.edge, &a->snapshot, none);
    forget_listeners(room.now, a);
    release_snapshot(take(&room.now));
    release_snapshot(a);
}

/* ------------------------------------------------------------------ its life */

void
control_start(const struct control_host *host)
{
    room.host = host;
    room.started_s = clock_wall_us() / 1000000;
}

static const char *
state_folder(const struct app *a)
{
    const struct admin_config *admin = room.host->admin(a);

    return admin ? admin->state.at : NULL;
}

/* Once: with the first configuration that has an API. */
static void
open_state(const struct app *a)
{
    if (!room.opened)
        (void) revisions_open(state_folder(a));
    room.opened = true;
}

struct app *
control_restore(struct app *a)
{
    if (room.host->admin(a)) {
        open_state(a);
        a = configuration_restore(a);
    }
    overrides_restore();
    return a;
}

static void
follow_observers(const struct app *a)
{
    const struct snapshot *s = room.host->snapshot(a);

    otlp_follow(s->tracing);
    if (room.recording)
        (void) analytics_change(s->analytics);
    else if (s->analytics)
        room.recording = analytics_start(s->analytics, state_folder(a), room.host->workers);
}

void
control_follow(const struct app *a)
{
    const struct admin_config *config = room.host->admin(a);
    struct admin_snapshot *now;

    follow_observers(a);
    overrides_follow();
    if (!config) {
        if (room.now)
            close_listeners();
        return;
    }
    if (!room.edge)
        room.edge = edge_new(WORKERS_MAX - 1, UINT64_MAX, CONNECTIONS_MAX);
    now = room.edge ? make_snapshot(room.host->snapshot(a)->config, config) : NULL;
    if (!now) {
        log_error("admin: out of memory: the API is as it was");
        return;
    }
    serve(now);
    if (room.now)
        forget_listeners(room.now, now);
    release_snapshot(room.now);
    room.now = now;
    open_state(a);
    configuration_follow(a);
    events_start();
}

bool
control_reload(struct slice who, struct config_report *report)
{
    return configuration_reload(who, report);
}

void
control_retire(void)
{
    if (room.edge)
        edge_retire(room.edge);
    configuration_retire();
    events_stop();
}

void
control_flush(void)
{
    otlp_stop();
}

/* A connection that has been closed is let go of with the end of the loop's round only.  Who still
 * has not left by then keeps the edge: the process ends anyway. */
static void
stop_edge(void)
{
    edge_drain(room.edge);
    edge_cut(room.edge);
    for (int i = 0; i < STOP_LOOKS && !edge_is_empty(room.edge); i++)
        (void) fiber_sleep_until(loop_now_us() + STOP_LOOK_US);
    (void) fiber_sleep_until(loop_now_us() + STOP_LOOK_US);
    if (edge_is_empty(room.edge))
        edge_free(take(&room.edge));
}

void
control_stop(void)
{
    control_retire();
    if (room.edge)
        stop_edge();
    release_snapshot(take(&room.now));
    if (room.recording)
        analytics_stop();
    room.recording = false;
    configuration_stop();
    revisions_close();
}
