/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/supervisor.c - start the worker process, serve its requests, pass signals on, start it
 * again.
 *
 * Nothing from the network ever gets here, so there is little that could go wrong: one poll() over
 * the channel and a signalfd.
 */
#include "main/supervisor.h"

#include "main/channel.h"
#include "main/files.h"
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
    pid_t                     worker;
    int                       channel;
    int                       signals;
    bool                      ready;      /* this worker has served */
    bool                      ever_ready;
    bool                      ending;
    unsigned                  backoff_ms;
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
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
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
        close(s->signals);
        /* Without its supervisor a worker drains and ends. */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != self)
            _exit(1);
        exit(worker_run(s->options, pair[1]));
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

/* The signal that a signal of ours becomes. */
static void
pass_on(struct supervisor *s, uint32_t number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        /* A second one does not wait. */
        kill(s->worker, s->ending ? SIGKILL : SIGTERM);
        s->ending = true;
        /* Who has connected without a word yet hears of it; the worker accepts the rest. */
        channel_close_all();
        break;
    case SIGHUP:
    case SIGUSR1: kill(s->worker, (int) number); break;
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

/* The worker has ended. True: start another; else *status is what we end with. */
static bool
on_end(struct supervisor *s, int how, int *status)
{
    close(s->channel);
    s->worker = -1;
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
    if (s->ready)
        s->backoff_ms = BACKOFF_FIRST_MS;
    else if (s->backoff_ms < BACKOFF_MAX_MS)
        s->backoff_ms *= 2;
    if (!s->ready)
        poll(NULL, 0, (int) s->backoff_ms);
    files_use_kept();
    return true;
}

static bool
has_ended(struct supervisor *s, int *how)
{
    pid_t pid = waitpid(s->worker, how, WNOHANG);

    return pid == s->worker;
}

static int
supervise(struct supervisor *s)
{
    int status = 1, how;

    while (s->worker > 0) {
        struct pollfd fds[2] = {{s->signals, POLLIN, 0}, {s->channel, POLLIN, 0}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (fds[0].revents)
            read_signals(s);
        if (fds[1].revents & POLLIN)
            (void) channel_serve(s->channel, &s->ready);
        else if (fds[1].revents)
            poll(NULL, 0, 1); /* it is about to end */
        s->ever_ready |= s->ready;
        if (has_ended(s, &how) && (!on_end(s, how, &status) || !start_worker(s)))
            return status;
    }
    return status;
}

int
supervisor_run(const struct run_options *options)
{
    struct supervisor s = {.options = options, .backoff_ms = BACKOFF_FIRST_MS};
    int status = 1;

    raise_limits();
    files_allow_below(options->source.path);
    s.signals = open_signals();
    if (s.signals < 0 || !start_worker(&s))
        fprintf(stderr, "maitred: cannot start the worker process: %s\n",
                err_sentence(err_from_errno(errno)));
    else
        status = supervise(&s);
    channel_close_all();
    return status;
}
