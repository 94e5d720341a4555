/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/supervisor.c - start the worker process, serve its requests, pass signals on, start it
 * again; and have another supervisor take over (handover.h).
 *
 * Nothing from the network ever gets here, so there is little that could go wrong: one poll() over
 * the channel, a signalfd, the link of an upgrade and the control socket.
 */
#include "main/supervisor.h"

#include "base/clock.h"
#include "main/channel.h"
#include "main/control.h"
#include "main/files.h"
#include "main/handover.h"
#include "main/notify.h"
#include "main/pid_file.h"
#include "observe/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 5000 };

struct supervisor {
    const struct run_options *options;
    pid_t worker;
    int channel;
    int signals;
    struct channel_news news;
    bool ready; /* this worker has served */
    bool ever_ready;
    bool                      ending;
    bool                      leaving;    /* another one serves; ours lets its exchanges finish */
    bool                      hurried;    /* while leaving: it has been asked to end already */
    unsigned                  backoff_ms;
    uint64_t                  watchdog_us;
    struct handover            upgrade;
    int                       control;    /* listens; -1: there is none */
    int                       asker;      /* waits for the outcome of an upgrade; -1: nobody does */
};

static void
raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int
open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* In the new process. */
static _Noreturn void
be_worker(struct supervisor *s, int channel, pid_t parent)
{
    close(s->signals);
    if (s->control >= 0)
        close(s->control);
    if (s->news.overrides >= 0)
        close(s->news.overrides);
    sockets_leave();
    handover_leave();
    /* Without its supervisor a worker drains and ends. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    exit(worker_run(s->options, channel, s->watchdog_us / 4));
}

static bool
start_worker(struct supervisor *s)
{
    pid_t self = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    fflush(NULL);
    s->worker = fork();
    if (s->worker == 0) {
        close(pair[0]);
        be_worker(s, pair[1], self);
    }
    close(pair[1]);
    if (s->worker < 0) {
        close(pair[0]);
        return false;
    }
    s->channel = pair[0];
    s->ready = false;
    return true;
}

static void
write_pid_file(const struct supervisor *s)
{
    const char *path = s->options->pid_file;

    if (path && !pid_file_write(path))
        log_error("cannot write the pid file %s: %s", path, err_sentence(err_from_errno(errno)));
}

/* ------------------------------------------------------------------ upgrades */

/* Why there is no upgrade, as the API tells it. */
static struct control_upgrade
refusal(const char *why)
{
    struct control_upgrade u = {.state = UPGRADE_FAILED};

    snprintf(u.why, sizeof(u.why), "%s", why);
    return u;
}

static void
upgrade_failed(struct supervisor *s, const char *why)
{
    log_answer(LOG_LEVEL_ERROR, "not upgraded: %s; this process goes on serving", why);
    notify_status("Not upgraded: %s", why);
    control_answer(s->asker, "failed %s", why);
    s->asker = -1;
    s->news.upgraded = refusal(why);
    handover_over(&s->upgrade);
    write_pid_file(s); /* it may have come as far as that */
}

static bool
start_next(struct supervisor *s, unsigned within_s, char why[HANDOVER_WHY_BYTES])
{
    struct handover_legacy legacy = {
        .tickets = s->news.tickets, .control = s->control, .overrides = s->news.overrides};
    bool good = handover_start(&s->upgrade, &legacy, within_s, why);

    explicit_bzero(&legacy, sizeof(legacy));
    return good;
}

/* within_s: 0 is the preset.  asker: who waits for the outcome, or -1.  Under way, or why not. */
static struct control_upgrade
try_upgrade(struct supervisor *s, unsigned within_s, int asker)
{
    char why[HANDOVER_WHY_BYTES];

    if (s->upgrade.state != HANDOVER_NONE || s->leaving || !s->ready || s->ending) {
        const char *busy = s->upgrade.state == HANDOVER_TRYING ? "an upgrade is under way already"
                           : s->leaving                       ? "another process serves already"
                                                              : "this process is not serving";

        log_answer(LOG_LEVEL_ERROR, "not upgraded: %s", busy);
        control_answer(asker, "failed %s", busy);
        return refusal(busy);
    }
    s->asker = asker;
    if (!start_next(s, within_s ? within_s : HANDOVER_WITHIN_S, why)) {
        upgrade_failed(s, why);
        return refusal(why);
    }
    notify_status("Upgrading");
    s->news.upgraded = (struct control_upgrade){.state = UPGRADE_RUNNING, .pid = s->upgrade.pid};
    return s->news.upgraded;
}

/* The new process serves. */
static void
leave(struct supervisor *s)
{
    pid_t next = s->upgrade.pid;

    s->upgrade.state = HANDOVER_DONE;
    s->news.upgraded.state = UPGRADE_DONE;
    s->leaving = true;
    sockets_lend(true);
    handover_release();
    kill(s->worker, SIGUSR2);
    notify_main(next);
    log_answer(LOG_LEVEL_INFO, "upgraded: process %d serves, this one lets its exchanges finish",
               (int) next);
    control_answer(s->asker, "ok %d", (int) next);
    s->asker = -1;
}

/* The new process died by violence while we were still here. */
static void
serve_again(struct supervisor *s)
{
    log_error("the process that had taken over has died: this one serves again");
    s->news.upgraded = refusal("the new process has died after it had taken over");
    s->leaving = s->hurried = false;
    sockets_lend(false);
    close(s->channel); /* that worker lets its exchanges finish, and needs nothing for it */
    files_use_kept();
    if (!start_worker(s))
        return;
    write_pid_file(s);
    notify_main(getpid());
}

/* It needs no one who stands by: it has ended in good order, or found a successor of its own. */
static void
stand_down(struct supervisor *s)
{
    handover_over(&s->upgrade);
    sockets_close_all();
}

static void
on_next_ended(struct supervisor *s, int how)
{
    char why[HANDOVER_WHY_BYTES];
    bool good = WIFEXITED(how) && WEXITSTATUS(how) == 0;

    if (s->upgrade.state == HANDOVER_TRYING) {
        handover_explain(how, why);
        upgrade_failed(s, why);
    } else if (good || s->hurried) {
        stand_down(s);
    } else {
        handover_over(&s->upgrade);
        serve_again(s);
    }
}

static void
read_link(struct supervisor *s)
{
    switch (handover_listen(&s->upgrade)) {
    case HANDOVER_READY:
        if (s->upgrade.state == HANDOVER_TRYING)
            leave(s);
        break;
    case HANDOVER_RELEASE:
        if (s->upgrade.state == HANDOVER_DONE)
            stand_down(s);
        break;
    case HANDOVER_GONE: poll(NULL, 0, 1); break; /* it is about to end */
    case HANDOVER_NOTHING: break;
    }
}

static void
check_deadline(struct supervisor *s)
{
    pid_t next = s->upgrade.pid;

    if (s->upgrade.state != HANDOVER_TRYING || clock_monotonic_us() < s->upgrade.deadline_us)
        return;
    kill(next, SIGKILL);
    upgrade_failed(s, "the new process was not ready in time");
}

static void
read_control(struct supervisor *s)
{
    char order[CONTROL_BYTES];
    int asker = control_accept(s->control, order);
    struct slice rest = slice_str(order);
    uint64_t within_s;

    if (asker < 0)
        return;
    if (slice_eq(slice_cut(&rest, ' '), SLICE("upgrade")) &&
        slice_to_u64(rest, UINT32_MAX, &within_s))
        (void) try_upgrade(s, (unsigned) within_s, asker);
    else
        control_answer(asker, "failed that is no order that this version knows");
}

/* ------------------------------------------------------------------ signals */

static void
end(struct supervisor *s)
{
    /* A second one does not wait. */
    bool again = s->ending || s->hurried;

    kill(s->worker, again ? SIGKILL : SIGTERM);
    if (s->leaving) {
        s->hurried = true;
        return;
    }
    s->ending = true;
    notify_stopping();
    if (s->upgrade.state == HANDOVER_TRYING) {
        kill(s->upgrade.pid, SIGKILL);
        upgrade_failed(s, "this process was told to end");
    }
    handover_release();
    /* Who has connected without a word yet hears of it; the worker accepts the rest. */
    sockets_close_all();
}

/* What a signal of ours becomes. */
static void
pass_on(struct supervisor *s, uint32_t number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT: end(s); break;
    case SIGHUP:
        if (!s->leaving)
            notify_reloading();
        kill(s->worker, SIGHUP);
        break;
    case SIGUSR1: kill(s->worker, SIGUSR1); break;
    case SIGUSR2: (void) try_upgrade(s, 0, -1); break;
    default: break;
    }
}

static void
read_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == (ssize_t) sizeof(info))
        pass_on(s, info.ssi_signo);
}

/* ------------------------------------------------------------------ the worker's life */

static void
wait_before_next(struct supervisor *s)
{
    if (s->ready)
        s->backoff_ms = BACKOFF_FIRST_MS;
    else if (s->backoff_ms < BACKOFF_MAX_MS)
        s->backoff_ms *= 2;
    if (!s->ready)
        poll(NULL, 0, (int) s->backoff_ms);
}

/* The worker has ended. True: start another; else *status is what we end with. */
static bool
on_end(struct supervisor *s, int how, int *status)
{
    close(s->channel);
    s->worker = -1;
    if (s->leaving) {
        *status = 0;
        return false;
    }
    if (WIFEXITED(how) && (s->ending || !s->ever_ready || WEXITSTATUS(how) == 0)) {
        *status = WEXITSTATUS(how);
        return false;
    }
    if (s->ending || !s->ever_ready) {
        *status = s->ending ? 0 : 1;
        return false;
    }
    if (WIFSIGNALED(how))
        log_error("the worker process was ended by a signal; starting another signal=%d",
                  WTERMSIG(how));
    else
        log_error("the worker process ended; starting another status=%d", WEXITSTATUS(how));
    wait_before_next(s);
    files_use_kept();
    return true;
}

static void
on_ready(struct supervisor *s)
{
    s->ready = true;
    notify_ready(s->news.status);
    if (s->ever_ready)
        return;
    s->ever_ready = true;
    if (s->news.upgraded.state == UPGRADE_RUNNING)
        s->news.upgraded.state = UPGRADE_DONE;
    write_pid_file(s);
    handover_say_ready();
}

static void
answer_upgrade(struct supervisor *s)
{
    struct control_upgrade now = try_upgrade(s, s->news.within_s, -1);

    channel_answer_upgrade(s->channel, &now);
}

static void
read_channel(struct supervisor *s)
{
    struct channel_news *news = &s->news;

    news->ready = news->loaded = news->refused = news->alive = news->upgrade = false;
    (void) channel_serve(s->channel, news);
    if (news->upgrade)
        answer_upgrade(s);
    else if (news->ready)
        on_ready(s);
    else if (s->leaving)
        return;
    else if (news->loaded && s->ready)
        notify_ready(news->status);
    else if (news->refused)
        notify_ready("Configuration unchanged: the new one has errors");
    else if (news->alive && s->watchdog_us)
        notify_watchdog();
}

/* Children that have ended.  False: so do we, with *status. */
static bool
reap(struct supervisor *s, int *status)
{
    pid_t pid;
    int how;

    while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
        if (pid == s->worker) {
            if (!on_end(s, how, status) || !start_worker(s))
                return false;
        } else if (s->upgrade.state != HANDOVER_NONE && pid == s->upgrade.pid) {
            on_next_ended(s, how);
        }
    }
    return true;
}

static int
patience_ms(const struct supervisor *s)
{
    uint64_t now_us = clock_monotonic_us();

    if (s->upgrade.state != HANDOVER_TRYING)
        return -1;
    return s->upgrade.deadline_us <= now_us
               ? 0
               : (int) ((s->upgrade.deadline_us - now_us) / 1000) + 1;
}

static int
supervise(struct supervisor *s)
{
    int status = 1;

    while (s->worker > 0) {
        struct pollfd fds[4] = {
            {s->signals, POLLIN, 0},
            {s->channel, POLLIN, 0},
            {s->upgrade.state == HANDOVER_NONE ? -1 : s->upgrade.link, POLLIN, 0},
            {s->leaving ? -1 : s->control, POLLIN, 0},
        };

        if (poll(fds, countof(fds), patience_ms(s)) < 0 && errno != EINTR)
            return 1;
        if (fds[1].revents & POLLIN)
            read_channel(s);
        else if (fds[1].revents)
            poll(NULL, 0, 1); /* it is about to end */
        if (fds[2].revents)
            read_link(s);
        if (fds[0].revents)
            read_signals(s);
        if (fds[3].revents)
            read_control(s);
        check_deadline(s);
        if (!reap(s, &status))
            return status;
    }
    return status;
}

/* ------------------------------------------------------------------ start */

/* False after a message. */
static bool
open_control(struct supervisor *s, const struct handover_legacy *legacy)
{
    const char *path = s->options->control;

    s->control = legacy->control;
    if (s->control >= 0 || !path)
        return true;
    s->control = control_open(path);
    if (s->control >= 0)
        return true;
    fprintf(stderr, "maitred: cannot listen on the control socket %s: %s\n", path,
            err_sentence(err_from_errno(-s->control)));
    return false;
}

static void
clean_up(struct supervisor *s)
{
    if (s->options->control && s->ever_ready && !s->leaving)
        unlink(s->options->control);
    if (s->options->pid_file)
        pid_file_remove(s->options->pid_file);
    handover_release();
    sockets_close_all();
}

int
supervisor_run(const struct run_options *options)
{
    struct supervisor s = {.options = options, .backoff_ms = BACKOFF_FIRST_MS, .asker = -1};
    struct handover_legacy legacy;
    int status = 1;

    raise_limits();
    files_allow_below(options->source.path);
    handover_over(&s.upgrade);
    s.watchdog_us = notify_watchdog_us();
    if (!handover_inherit(&legacy) || !open_control(&s, &legacy))
        return 1;
    s.news.tickets = legacy.tickets;
    s.news.overrides = legacy.overrides;
    /* Until this process is ready, its own upgrade is the one under way. */
    if (legacy.upgrade)
        s.news.upgraded = (struct control_upgrade){.state = UPGRADE_RUNNING, .pid = getpid()};
    s.signals = open_signals();
    if (s.signals < 0 || !start_worker(&s))
        fprintf(stderr, "maitred: cannot start the worker process: %s\n",
                err_sentence(err_from_errno(errno)));
    else
        status = supervise(&s);
    clean_up(&s);
    return status;
}
