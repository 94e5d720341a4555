/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/worker.c - the worker process: a control thread, and a thread for each core that serves.
 *
 * The control thread has a loop too.  On it run, as fibers, the life of the process (start,
 * signals, reload, end) and the look-ups of names.  A reload builds a new snapshot aside and hands
 * it to every worker through its mailbox; what fails before that changes nothing.
 */
#include "base/map.h"
#include "main/channel.h"
#include "main/privileges.h"
#include "main/supervisor.h"
#include "observe/log.h"
#include "observe/sink.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

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
    FLUSH_US = 1000000,
    KEEP_US = 60000000, /* how often the keys of tickets are looked after */
    DESCRIPTORS_KEPT = 64,
};

struct worker {
    struct process *process;
    pthread_t thread;
    unsigned number;
    struct edge *edge;
    struct timer flush;
    bool joined;
};

struct process {
    const struct run_options *options;
    struct loop loop; /* of the control thread */
    int                       channel;
    struct config_source      reader; /* by way of the supervisor, which may read what we may not */
    struct app_source         source;
    struct app               *app;
    unsigned                  n;
    struct worker             workers[WORKERS_MAX];
    uint64_t                  max_connections;
    int                       status;
    struct sock               signals;
    bool                      ending;
    bool                      retiring;    /* another process serves from now on */
    uint64_t                  drain_us;    /* monotonic: when draining ends; 0: has not begun */
    uint64_t                  alive_us;    /* how often we say that all threads turn; 0: never */
    uint64_t                  tickets;     /* generation of the keys that the supervisor has */
    atomic_uint               joined;
    /* Of the hand-over that is under way: */
    struct app               *next;
    int                      *fds; /* SOCKETS_MAX for each listener */
    struct fiber             *waiter;
    bool                      handed_over;
};

static __thread struct worker *worker_current;

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

    worker_current = w;
    if (loop_init(&loop, p->options->io, w->number) != OK)
        return NULL;
    w->edge = edge_new(w->number, p->max_connections);
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

/* ------------------------------------------------------------------ loading */

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

static void
print_report(const struct config_report *report)
{
    struct text t;

    text_init(&t, 1024 * 1024);
    config_report_print(report, &t);
    if (t.n)
        fwrite(t.at, 1, t.n, stderr);
    text_free(&t);
}

static struct app *
load(struct process *p)
{
    struct config_report report;
    struct app *a;

    config_report_init(&report);
    a = app_load(&p->source, &report);
    if (a && !app_open_logs(a, &report)) {
        app_free(a);
        a = NULL;
    }
    print_report(&report);
    config_report_free(&report);
    return a;
}

static bool
had_listener(const struct app *a, const union address *address)
{
    const struct listener_config *l = a ? a->snapshot.listeners.at : NULL;

    for (size_t i = 0; a && i < a->snapshot.listeners.n; i++)
        if (address_eq(&l[i].address, address))
            return true;
    return false;
}

static void
close_fds(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Descriptors for the listeners that are new; -1 for those that are there, and behind the last. */
static bool
get_listeners(struct process *p, struct app *a)
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
            log_error("cannot listen on %.*s: %s", SLICE_ARG(l[i].address_text), strerror(error));
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

static void
adopted(void *arg)
{
    struct process *p = arg;

    p->handed_over = true;
    fiber_resume(p->waiter);
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

static struct loop *control_loop;

/* The last exchange of an old snapshot has ended, on whatever thread. */
static void
on_unused(struct snapshot *s)
{
    struct disposal *d = calloc(1, sizeof(*d));

    CHECK(d != NULL);
    d->app = container_of(s, struct app, snapshot);
    d->message.run = dispose;
    loop_post(control_loop, &d->message);
}

static void
release_app(struct app *a)
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
static bool
hand_over(struct process *p, struct app *a)
{
    struct app *old = p->app;

    a->snapshot.unused = on_unused;
    log_set_level((enum log_level) a->settings->process.log_level);
    p->next = a;
    p->waiter = fiber_self();
    p->handed_over = false;
    if (!workers_each(adopt, adopted, p))
        return false;
    while (!p->handed_over)
        fiber_suspend();
    p->app = a;
    free(take(&p->fds));
    upstreams_served();
    channel_tell(p->channel, CHANNEL_LOADED, NULL, NULL);
    if (old) {
        forget_listeners(p, old, a);
        app_retire(old, a);
        release_app(old);
    }
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

static void
reload(struct process *p)
{
    struct app *a = load(p);

    if (!a || !get_listeners(p, a)) {
        if (a)
            app_free(a);
        log_answer(LOG_LEVEL_ERROR, "configuration unchanged: the new one has errors");
        channel_tell(p->channel, CHANNEL_REFUSED, NULL, NULL);
        return;
    }
    warn_of_restart(&p->app->settings->process, &a->settings->process);
    app_apply(a);
    if (hand_over(p, a))
        log_answer(LOG_LEVEL_INFO, "configuration loaded routes=%zu upstreams=%zu listeners=%zu",
                   a->settings->routes.n, a->n_upstreams, a->snapshot.listeners.n);
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

/* 0, or the exit status. */
static int
start(struct process *p)
{
    struct app *a = load(p);

    if (!a)
        return EXIT_CONFIGURATION;
    recall_tickets(p);
    p->n = p->options->workers ? p->options->workers : a->settings->process.worker_count;
    p->max_connections = connection_limit(&a->settings->process);
    upstreams_init(p->n);
    if (!get_listeners(p, a) || !privileges_drop(a->settings->process.user)) {
        app_free(a);
        return 1;
    }
    app_apply(a);
    for (uint64_t until_us = loop_now_us() + SETTLE_US;
         !upstreams_settled() && loop_now_us() < until_us;)
        fiber_sleep_until(loop_now_us() + POLL_US);
    if (!start_threads(p) || !hand_over(p, a))
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
on_all(void *arg)
{
    struct process *p = arg;

    p->handed_over = true;
    fiber_resume(p->waiter);
}

static void
on_every_worker(struct process *p, void (*run)(void *))
{
    p->handed_over = false;
    p->waiter = fiber_self();
    if (!workers_each(run, on_all, p))
        return;
    while (!p->handed_over)
        fiber_suspend();
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
    on_every_worker(p, drain);
    wait_until_empty(p, p->drain_us);
    if (!is_empty(p)) {
        log_warning("ending: cutting what is left after process.drain");
        on_every_worker(p, cut);
        wait_until_empty(p, loop_now_us() + 2000000);
    }
    upstreams_stop_all();
    on_every_worker(p, stop);
    for (unsigned i = 0; i < p->n; i++)
        pthread_join(p->workers[i].thread, NULL);
    release_app(take(&p->app));
}

static void
handle_signal(struct process *p, uint32_t number)
{
    switch (number) {
    case SIGHUP:
        if (!p->retiring)
            reload(p);
        break;
    case SIGUSR1: sink_reopen_all(); break;
    case SIGUSR2:
        p->retiring = true;
        begin_draining(p);
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
    p->reader = config_source_system;
    p->reader.read = read_by_supervisor;
    p->reader.folder = list_by_supervisor;
    p->reader.arg = p;
    p->source = options->source;
    p->source.reader = &p->reader;
    hash_seed(random_u64());
    if (loop_init(&p->loop, NULL, WORKERS_MAX - 1) != OK)
        return 1;
    control_loop = &p->loop;
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
