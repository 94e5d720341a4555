/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/serving.c - one configuration takes another's place.
 *
 * A new snapshot is built aside and handed to every worker through its mailbox; what fails before
 * that changes nothing.  Exchanges keep the one that they began in, and the last to leave it sends
 * it back.
 */
#include "base/map.h"
#include "control/configuration.h"
#include "control/room.h"
#include "main/figures.h"
#include "main/process.h"
#include "observe/log.h"
#include "runtime/fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ reading */

static int
read_by_supervisor(void *arg, const char *path, struct text *out)
{
    struct process *p = arg;
    int fd = channel_read(p->channel, path), error;

    if (fd < 0)
        return -fd;
    error = config_read_descriptor(fd, out);
    close(fd);
    return error;
}

static int
list_by_supervisor(void *arg, const char *path, struct text *out, int *watch)
{
    struct process *p = arg;
    int fds[2];
    int error = channel_folder(p->channel, path, fds);

    if (error)
        return error;
    error = config_read_descriptor(fds[0], out);
    close(fds[0]);
    if (error)
        close(fds[1]);
    else
        *watch = fds[1];
    return error;
}

void
process_read_with(struct process *p)
{
    p->reader = config_source_system;
    p->reader.read = read_by_supervisor;
    p->reader.folder = list_by_supervisor;
    p->reader.arg = p;
    p->source = p->options->source;
    p->source.reader = &p->reader;
}

static bool
had_listener(const struct app *a, const union address *address)
{
    return a && edge_listens(&a->snapshot, address);
}

static void
close_fds(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Descriptors for the listeners that are new; -1 for those that are there, and behind the last. */
bool
process_listen(struct process *p, struct app *a, struct config_report *report)
{
    const struct listener_config *l = a->snapshot.listeners.at;
    size_t n = a->snapshot.listeners.n;

    p->fds = calloc(n * SOCKETS_MAX + 1, sizeof(int));
    if (!p->fds)
        return false;
    memset(p->fds, 0xFF, n * SOCKETS_MAX * sizeof(int));
    for (size_t i = 0; i < n; i++) {
        unsigned found;
        int error;

        if (had_listener(p->app, &l[i].address))
            continue;
        error = channel_listen(p->channel, &l[i].address, (int) l[i].backlog, p->n,
                               &p->fds[i * SOCKETS_MAX], &found);
        if (error) {
            config_report_add(report, CONFIG_ERROR,
                              config_where(a->snapshot.config, &l[i].address_text), NULL,
                              "cannot listen on %.*s: %s", SLICE_ARG(l[i].address_text),
                              strerror(error));
            close_fds(p->fds, n * SOCKETS_MAX);
            free(take(&p->fds));
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ handing over */

/* An upgrade may have left more sockets than there are workers now: each takes its share. */
static void
adopt_rest(const struct process *p, struct edge *e, const struct listener_config *l, size_t n,
           unsigned worker)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned s = worker + p->n; s < SOCKETS_MAX && p->fds[i * SOCKETS_MAX + s] >= 0;
             s += p->n)
            edge_listen(e, &l[i].address, p->fds[i * SOCKETS_MAX + s]);
}

/* In the context of each worker. */
static void
adopt(void *arg)
{
    struct process *p = arg;
    struct worker *w = worker_current;
    size_t n = p->next->snapshot.listeners.n;
    int *mine;

    if (!w)
        return;
    mine = calloc(n + 1, sizeof(int));
    CHECK(mine != NULL);
    for (size_t i = 0; i < n; i++)
        mine[i] = p->fds[i * SOCKETS_MAX + w->number];
    edge_use(w->edge, &p->next->snapshot, mine);
    adopt_rest(p, w->edge, p->next->snapshot.listeners.at, n, w->number);
    free(mine);
    if (p->next->snapshot.logs.n && !timer_is_set(&w->flush))
        timer_set(&loop_self()->timers, &w->flush, loop_now_us() + FLUSH_US);
}

struct disposal {
    struct message message;
    struct app    *app;
};

static void
dispose(struct message *m)
{
    struct disposal *d = container_of(m, struct disposal, message);

    app_free(d->app);
    free(d);
}

/* The last exchange of an old snapshot has ended, on whatever thread. */
static void
on_unused(struct snapshot *s)
{
    struct disposal *d = calloc(1, sizeof(*d));

    CHECK(d != NULL);
    d->app = container_of(s, struct app, snapshot);
    d->message.run = dispose;
    loop_post(d->app->home, &d->message);
}

void
process_release(struct app *a)
{
    if (a && atomic_fetch_sub(&a->snapshot.refs, 1) == 1)
        on_unused(&a->snapshot);
}

static void
forget_listeners(struct process *p, const struct app *old, const struct app *now)
{
    const struct listener_config *l = old->snapshot.listeners.at;

    for (size_t i = 0; i < old->snapshot.listeners.n; i++)
        if (!had_listener(now, &l[i].address))
            channel_tell(p->channel, CHANNEL_FORGET, &l[i].address, NULL);
}

/* Waits until every worker serves the new snapshot. */
bool
process_hand_over(struct process *p, struct app *a)
{
    struct app *old = p->app;

    a->snapshot.unused = on_unused;
    a->home = &p->loop;
    log_set_level((enum log_level) a->settings->process.log_level);
    p->next = a;
    if (!workers_meet(adopt, p))
        return false;
    p->app = a;
    free(take(&p->fds));
    upstreams_served();
    channel_tell(p->channel, CHANNEL_LOADED, NULL, NULL);
    if (old) {
        forget_listeners(p, old, a);
        app_retire(old, a);
        process_release(old);
    }
    control_follow(a);
    return true;
}

/* What is read at start only must not look as if it had been changed. */
static void
warn_of_restart(const struct process_config *old, const struct process_config *now)
{
    if (!slice_eq(old->workers, now->workers) || !slice_eq(old->user, now->user) ||
        old->max_connections != now->max_connections)
        log_answer(LOG_LEVEL_WARNING,
                   "process.workers, user and max_connections take effect at the next start");
}

/* Serves it; the app is gone when that cannot be. */
bool
process_serve(struct process *p, struct app *a, struct config_report *report)
{
    if (!app_open_logs(a, report) || !process_listen(p, a, report)) {
        app_free(a);
        return false;
    }
    warn_of_restart(&p->app->settings->process, &a->settings->process);
    app_apply(a);
    if (!process_hand_over(p, a))
        return false;
    log_answer(LOG_LEVEL_INFO, "configuration loaded routes=%zu upstreams=%zu listeners=%zu",
               a->settings->routes.n, a->n_upstreams, a->snapshot.listeners.n);
    return true;
}

/* SIGHUP.  Where there is an API, what it has changed stays over the files. */
void
process_reload(struct process *p)
{
    struct config_report report;
    struct app *a;
    bool good;

    config_report_init(&report);
    if (p->app->settings->admin) {
        good = control_reload(SLICE("signal"), &report);
    } else {
        configuration_lock();
        configuration_forget();
        a = app_load(&p->source, &report);
        good = a && process_serve(p, a, &report);
        configuration_unlock();
    }
    config_report_tell(&report);
    config_report_free(&report);
    figures_reloaded(good);
    if (good)
        return;
    log_answer(LOG_LEVEL_ERROR, "configuration unchanged: the new one has errors");
    channel_tell(p->channel, CHANNEL_REFUSED, NULL, NULL);
}
