/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/worker.c - the worker process: a control thread, and a thread for each core that serves.
 *
 * The control thread has a loop too.  On it run, as fibers, the life of the process (start,
 * signals, reload, end), the look-ups of names, and the control room.
 */
#include "base/map.h"
#include "control/room.h"
#include "main/privileges.h"
#include "main/process.h"
#include "observe/log.h"
#include "observe/sink.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    SETTLE_US = 2000000,
    POLL_US = 20000,
    KEEP_US = 60000000, /* how often the keys of tickets are looked after */
    DESCRIPTORS_KEPT = 64,
};

__thread struct worker *worker_current;

/* ------------------------------------------------------------------ a worker's thread */

static void
flush_logs(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, flush);

    edge_flush_logs(w->edge);
    timer_set(&loop_self()->timers, t, loop_now_us() + FLUSH_US);
}

static void *
serve(void *arg)
{
    struct worker *w = arg;
    struct process *p = w->process;
    struct loop loop;
    char name[16];

    snprintf(name, sizeof(name), "worker-%u", w->number);
    pthread_setname_np(pthread_self(), name);
    worker_current = w;
    if (loop_init(&loop, p->options->io, w->number) != OK)
        return NULL;
    w->edge = edge_new(w->number, p->max_connections, UINT64_MAX);
    w->flush.fire = flush_logs;
    if (w->edge) {
        workers_join(&loop);
        w->joined = true;
        atomic_fetch_add(&p->joined, 1);
        loop_run(&loop);
        timer_clear(&loop.timers, &w->flush);
        edge_free(take(&w->edge));
    }
    loop_exit(&loop);
    return NULL;
}

static bool
start_threads(struct process *p)
{
    sigset_t all, before;
    bool good = true;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < p->n && good; i++) {
        p->workers[i] = (struct worker){.process = p, .number = i};
        good = pthread_create(&p->workers[i].thread, NULL, serve, &p->workers[i]) == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int i = 0; good && i < 500 && atomic_load(&p->joined) < p->n; i++)
        fiber_sleep_until(loop_now_us() + 2000);
    return good && atomic_load(&p->joined) == p->n;
}

/* ------------------------------------------------------------------ start and end */

static uint64_t
connection_limit(const struct process_config *config)
{
    struct rlimit limit;
    uint64_t most = 1024;

    /* Each client may need a server's connection. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2 * DESCRIPTORS_KEPT)
        most = (limit.rlim_cur - DESCRIPTORS_KEPT) / 2;
    if (config->max_connections && (uint64_t) config->max_connections < most)
        most = (uint64_t) config->max_connections;
    return most;
}

static void
say_ready(struct process *p)
{
    const struct listener_config *l = p->app->snapshot.listeners.at;
    char status[200];
    struct text t;

    text_init(&t, 64 * 1024);
    for (size_t i = 0; i < p->app->snapshot.listeners.n; i++)
        text_printf(&t, "%s%.*s", i ? ", " : "", SLICE_ARG(l[i].address_text));
    log_info("ready: listening on %.*s workers=%u io=%s", (int) t.n, t.at, p->n,
             p->options->io ? p->options->io->name : loop_epoll.name);
    snprintf(status, sizeof(status), "Serving on %.*s", (int) t.n, t.at);
    text_free(&t);
    if (p->options->greeting)
        fputs(p->options->greeting, stdout);
    fflush(stdout);
    channel_tell(p->channel, CHANNEL_READY, NULL, status);
}

/* The supervisor keeps the keys of tickets for the process that comes next. */
static void
keep_tickets(struct process *p)
{
    struct tls_tickets now;

    tls_tickets_save(&now);
    if (now.generation != p->tickets)
        channel_keep_tickets(p->channel, &now);
    p->tickets = now.generation;
    explicit_bzero(&now, sizeof(now));
}

static void
recall_tickets(struct process *p)
{
    struct tls_tickets earlier;

    channel_recall(p->channel, &earlier);
    tls_tickets_restore(&earlier);
    explicit_bzero(&earlier, sizeof(earlier));
    keep_tickets(p);
}

/* Rights are dropped on the way; what the API had changed is over the files afterwards.  False
 * after reporting. */
static bool
make_serving(struct process *p, struct app **a, struct config_report *report)
{
    if (!privileges_drop((*a)->settings->process.user))
        return false;
    *a = control_restore(*a);
    if (!process_listen(p, *a, report))
        return false;
    app_apply(*a);
    for (uint64_t until_us = loop_now_us() + SETTLE_US;
         !upstreams_settled() && loop_now_us() < until_us;)
        fiber_sleep_until(loop_now_us() + POLL_US);
    return true;
}

static struct app *
load(struct process *p, struct config_report *report)
{
    struct app *a = app_load(&p->source, report);

    if (a && !app_open_logs(a, report)) {
        app_free(a);
        return NULL;
    }
    return a;
}

static void
prepare(struct process *p, const struct app *a)
{
    recall_tickets(p);
    p->n = p->options->workers ? p->options->workers : a->settings->process.worker_count;
    p->max_connections = connection_limit(&a->settings->process);
    upstreams_init(p->n);
    process_start_control(p);
}

/* 0, or the exit status. */
static int
start(struct process *p)
{
    struct config_report report;
    struct app *a;
    bool good;

    config_report_init(&report);
    a = load(p, &report);
    if (a)
        prepare(p, a);
    good = a && make_serving(p, &a, &report);
    config_report_tell(&report);
    config_report_free(&report);
    if (!a)
        return EXIT_CONFIGURATION;
    if (!good) {
        app_free(a);
        return 1;
    }
    if (!start_threads(p) || !process_hand_over(p, a))
        return 1;
    say_ready(p);
    return 0;
}

static void
drain(void *arg)
{
    (void) arg;
    if (worker_current)
        edge_drain(worker_current->edge);
}

static void
retire(void *arg)
{
    (void) arg;
    if (worker_current)
        edge_retire(worker_current->edge);
}

static void
cut(void *arg)
{
    (void) arg;
    if (worker_current)
        edge_cut(worker_current->edge);
}

static void
stop(void *arg)
{
    (void) arg;
    if (!worker_current)
        return;
    timer_clear(&loop_self()->timers, &worker_current->flush);
    edge_flush_logs(worker_current->edge);
    upstreams_close_idle();
    workers_leave(loop_self());
    loop_stop(loop_self());
}

static void
on_every_worker(struct process *p, void (*run)(void *))
{
    (void) workers_meet(run, p);
}

static bool
is_empty(const struct process *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->workers[i].edge && !edge_is_empty(p->workers[i].edge))
            return false;
    return true;
}

static void
wait_until_empty(struct process *p, uint64_t until_us)
{
    while (!is_empty(p) && loop_now_us() < until_us)
        fiber_sleep_until(loop_now_us() + POLL_US);
}

static void
begin_draining(struct process *p)
{
    if (p->drain_us == 0)
        p->drain_us = loop_now_us() + p->app->settings->process.drain_us;
}

static void
end(struct process *p)
{
    log_info("ending: waiting for exchanges in flight");
    begin_draining(p);
    control_retire();
    on_every_worker(p, drain);
    wait_until_empty(p, p->drain_us);
    if (!is_empty(p)) {
        log_warning("ending: cutting what is left after process.drain");
        on_every_worker(p, cut);
        wait_until_empty(p, loop_now_us() + 2000000);
    }
    control_flush();
    upstreams_stop_all();
    on_every_worker(p, stop);
    for (unsigned i = 0; i < p->n; i++)
        pthread_join(p->workers[i].thread, NULL);
    control_stop();
    process_release(take(&p->app));
}

static void
handle_signal(struct process *p, uint32_t number)
{
    switch (number) {
    case SIGHUP:
        if (!p->retiring)
            process_reload(p);
        break;
    case SIGUSR1: sink_reopen_all(); break;
    case SIGUSR2:
        p->retiring = true;
        begin_draining(p);
        control_retire();
        on_every_worker(p, retire);
        break;
    case SIGTERM: p->ending = true; break;
    default: break;
    }
}

static bool
open_signals(struct process *p)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return false;
    sock_init(&p->signals, fd);
    p->signals.flags = SOCK_LEVEL;
    return true;
}

static void
read_signals(struct process *p)
{
    struct signalfd_siginfo info;

    while (!p->ending && read(p->signals.fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
        handle_signal(p, info.ssi_signo);
}

/* In the control thread's loop, when every worker has been in its own. */
static void
say_alive(void *arg)
{
    struct process *p = arg;

    channel_tell(p->channel, CHANNEL_ALIVE, NULL, NULL);
}

static void
pass(void *arg)
{
    (void) arg;
}

/* Until it is told to end, or nobody is left for whom it had to stay. */
static void
attend(struct process *p)
{
    uint64_t every_us = p->alive_us ? p->alive_us : KEEP_US, next_us = loop_now_us();

    while (!p->ending) {
        uint64_t until_us = p->retiring ? loop_now_us() + POLL_US : next_us;
        enum err e = sock_wait(&p->signals, IO_READABLE, until_us);

        if (e == OK)
            read_signals(p);
        else if (e != ERR_TIMEOUT)
            break;
        if (loop_now_us() >= next_us) {
            next_us = loop_now_us() + every_us;
            keep_tickets(p);
            if (p->alive_us)
                (void) workers_each(pass, say_alive, p);
        }
        if (p->retiring && (is_empty(p) || loop_now_us() >= p->drain_us))
            p->ending = true;
    }
}

static void
live(void *arg)
{
    struct process *p = arg;

    p->status = open_signals(p) ? start(p) : 1;
    if (p->status == 0) {
        attend(p);
        end(p);
    }
    loop_stop(&p->loop);
}

int
worker_run(const struct run_options *options, int channel, uint64_t alive_us)
{
    struct process *p = calloc(1, sizeof(*p));
    int status;

    if (!p)
        return 1;
    p->options = options;
    p->channel = channel;
    p->alive_us = alive_us;
    process_read_with(p);
    hash_seed(random_u64());
    if (loop_init(&p->loop, NULL, WORKERS_MAX - 1) != OK)
        return 1;
    if (!fiber_start("control", live, p))
        return 1;
    loop_run(&p->loop);
    /* Old snapshots come back by mail. */
    for (int i = 0; i < 3; i++)
        loop_once(&p->loop, loop_now_us() + 1000);
    dns_exit();
    upstreams_exit();
    sink_drain_all(2000);
    status = p->status;
    if (p->signals.fd > 0)
        sock_close(&p->signals);
    loop_exit(&p->loop);
    offload_exit();
    free(p);
    return status;
}
