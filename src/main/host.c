/* SPDX-License-Identifier: Apache-2.0 */
/* main/host.c - what the control room may ask of the process (control/host.h). */
#include "control/admin.h"
#include "control/room.h"
#include "main/figures.h"
#include "main/process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct process *the_process;

static struct config_document *
host_read(struct config_report *report)
{
    const struct app_source *from = &the_process->source;

    return config_document_open(from->path, "command line", from->text, &settings_object,
                                from->reader, report);
}

static struct app *
host_prepare(const struct config_document *d, struct config_report *report)
{
    return app_prepare(d, the_process->source.reader, report);
}

static bool
host_apply(struct app *a, struct config_report *report)
{
    bool good = process_serve(the_process, a, report);

    figures_reloaded(good);
    return good;
}

static struct app *
host_current(void)
{
    return the_process->app;
}

static const struct snapshot *
host_snapshot(const struct app *a)
{
    return &a->snapshot;
}

static const struct admin_config *
host_admin(const struct app *a)
{
    return a->settings->admin;
}

static const struct option_list *
host_upstreams(const struct app *a)
{
    return &a->settings->upstreams;
}

/* Unix sockets and the like may have been left to us by several sockets: one is enough. */
static int
host_listen(const union address *address, int backlog)
{
    int fds[SOCKETS_MAX];
    unsigned found;
    int error = channel_listen(the_process->channel, address, backlog, 1, fds, &found);

    if (error)
        return -error;
    for (unsigned i = 1; i < found; i++)
        close(fds[i]);
    return fds[0];
}

static void
host_forget(const union address *address)
{
    channel_tell(the_process->channel, CHANNEL_FORGET, address, NULL);
}

struct edge_visit {
    void (*visit)(struct edge *e, void *arg);
    void  *arg;
};

static void
visit_edge(void *arg)
{
    const struct edge_visit *v = arg;

    if (worker_current)
        v->visit(worker_current->edge, v->arg);
}

static bool
host_each_edge(void (*visit)(struct edge *e, void *arg), void *arg)
{
    struct edge_visit v = {visit, arg};

    return workers_meet(visit_edge, &v);
}

static bool
host_keep(struct slice text)
{
    int fd = memfd_create("overrides", MFD_CLOEXEC);
    bool good = fd >= 0 && write(fd, text.at, text.n) == (ssize_t) text.n &&
                channel_keep(the_process->channel, fd);

    if (fd >= 0)
        close(fd);
    return good;
}

static void
host_recall(struct text *out)
{
    int fd = channel_overrides(the_process->channel);

    if (fd < 0)
        return;
    if (lseek(fd, 0, SEEK_SET) == 0)
        (void) config_read_descriptor(fd, out);
    close(fd);
}

static bool
host_upgrade(unsigned within_s, struct control_upgrade *now)
{
    int error = channel_upgrade(the_process->channel, within_s, now);

    if (error && error != EBUSY)
        snprintf(now->why, sizeof(now->why), "this process is not in charge any more");
    return !error;
}

static bool
host_upgraded(struct control_upgrade *last)
{
    return channel_upgraded(the_process->channel, last) == 0;
}

static struct control_host host = {
    .read = host_read,
    .prepare = host_prepare,
    .open = app_open_logs,
    .apply = host_apply,
    .drop = app_free,
    .current = host_current,
    .snapshot = host_snapshot,
    .admin = host_admin,
    .upstreams = host_upstreams,
    .listen = host_listen,
    .forget = host_forget,
    .each_edge = host_each_edge,
    .keep = host_keep,
    .recall = host_recall,
    .upgrade = host_upgrade,
    .upgraded = host_upgraded,
};

void
process_start_control(struct process *p)
{
    the_process = p;
    host.source = p->source.reader;
    host.workers = p->n;
    host.owner = getuid();
    host.path = p->source.path ? slice_str(p->source.path) : (struct slice){NULL, 0};
    control_start(&host);
}
