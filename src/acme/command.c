/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/command.c - start a program, wait for its end, keep the first line that it writes.
 *
 * It has a process group of its own, which is killed as a whole at the deadline.  Only the start is
 * offloaded; the waiting is the loop's.  What it writes and its end hang in one epoll descriptor,
 * for a fiber waits for one thing at a time.
 */
#include "acme/command.h"

#include "base/arena.h"
#include "runtime/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_MAX = 200, ARGUMENTS_MAX = 3, ARENA_BYTES_MAX = 64 * 1024 };

struct running {
    struct sock  sock; /* the epoll descriptor */
    struct arena arena;
    char       **argv;
    pid_t        pid;   /* 0: it does not run */
    int          error; /* of starting it */
    int          pipe[2], process; /* -1: closed */
    int          how;   /* it ended, as waitpid() says */
    char         said[SAID_MAX];
    size_t       n;
};

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ------------------------------------------------------------------ the start */

static bool
make_arguments(struct running *r, const struct option_list *words, const struct slice *more)
{
    const struct slice *word = words->at;
    size_t n = words->n;

    r->argv = arena_calloc(&r->arena, n + ARGUMENTS_MAX + 1, sizeof(char *));
    if (!r->argv)
        return false;
    for (size_t i = 0; i < n; i++)
        r->argv[i] = (char *) word[i].at;
    for (size_t i = 0; i < ARGUMENTS_MAX; i++) {
        r->argv[n + i] = (char *) arena_copy(&r->arena, more[i]).at;
        if (!r->argv[n + i])
            return false;
    }
    return true;
}

/* On a thread of the pool: the caller stands still until the program runs. */
static void
spawn(void *arg)
{
    struct running *r = arg;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, r->pipe[1], 1);
    posix_spawn_file_actions_adddup2(&files, r->pipe[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    r->error = posix_spawn(&r->pid, r->argv[0], &files, &how, r->argv, environ);
    if (r->error)
        r->pid = 0;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
}

static int
watch(int both, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(both, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

/* 0, or an errno; a program that runs by then is in r->pid all the same. */
static int
start(struct running *r)
{
    int both = epoll_create1(EPOLL_CLOEXEC), error;

    if (both < 0)
        return errno;
    sock_init(&r->sock, both);
    r->sock.flags = SOCK_LEVEL;
    if (pipe2(r->pipe, O_CLOEXEC) != 0)
        return errno;
    offload(spawn, r);
    close_fd(&r->pipe[1]);
    if (r->error)
        return r->error;
    r->process = pidfd_open(r->pid, 0);
    if (r->process < 0 || fcntl(r->pipe[0], F_SETFL, O_NONBLOCK) != 0)
        return errno;
    error = watch(both, r->process);
    return error ? error : watch(both, r->pipe[0]);
}

/* ------------------------------------------------------------------ the wait */

/* Keeps the beginning of what it writes; the rest is read too, or it would stand still. */
static void
read_output(struct running *r)
{
    char scrap[4096];
    ssize_t n = 0;

    for (int i = 0; i < 16 && r->pipe[0] >= 0; i++) {
        size_t kept;

        n = read(r->pipe[0], scrap, sizeof(scrap));
        if (n <= 0)
            break;
        kept = (size_t) n < SAID_MAX - r->n ? (size_t) n : SAID_MAX - r->n;
        memcpy(r->said + r->n, scrap, kept);
        r->n += kept;
    }
    if (n == 0)
        close_fd(&r->pipe[0]);
}

static enum err
wait_for_end(struct running *r, uint64_t deadline_us)
{
    for (;;) {
        enum err e = sock_wait(&r->sock, IO_READABLE, deadline_us);
        pid_t ended;

        if (e != OK)
            return e;
        ended = waitpid(r->pid, &r->how, WNOHANG);
        read_output(r);
        if (ended == 0)
            continue;
        r->pid = 0;
        return ended > 0 ? OK : ERR_IO;
    }
}

/* On a thread of the pool; who was killed ends soon. */
static void
bury(void *arg)
{
    struct running *r = arg;

    (void) waitpid(r->pid, &r->how, 0);
}

static bool
judge(const struct running *r, char *why, size_t room)
{
    struct slice said = slice_of(r->said, r->n);

    said = slice_trim(slice_first(said, slice_find(said, '\n')));
    if (WIFEXITED(r->how) && WEXITSTATUS(r->how) == 0)
        return true;
    if (WIFSIGNALED(r->how))
        snprintf(why, room, "the command was ended by signal %d", WTERMSIG(r->how));
    else
        snprintf(why, room, "the command ended with status %d%s%.*s", WEXITSTATUS(r->how),
                 said.n ? ": " : "", SLICE_ARG(said));
    return false;
}

static void
running_free(struct sock *sock)
{
    struct running *r = container_of(sock, struct running, sock);

    arena_free(&r->arena);
    free(r);
}

static void
finish(struct running *r)
{
    if (r->pid) {
        kill(-r->pid, SIGKILL);
        offload(bury, r);
    }
    close_fd(&r->pipe[0]);
    close_fd(&r->pipe[1]);
    close_fd(&r->process);
    r->sock.release = running_free;
    if (r->sock.fd >= 0)
        sock_close(&r->sock);
    else
        running_free(&r->sock);
}

bool
acme_command_run(const struct option_list *words, const struct slice more[3], uint64_t deadline_us,
                 char *why, size_t room)
{
    struct running *r = calloc(1, sizeof(*r));
    bool good = false;
    int error;
    enum err e;

    if (!r) {
        snprintf(why, room, "%s", err_sentence(ERR_NO_MEMORY));
        return false;
    }
    r->sock.fd = r->pipe[0] = r->pipe[1] = r->process = -1;
    arena_init(&r->arena, NULL, 0, ARENA_BYTES_MAX);
    error = make_arguments(r, words, more) ? start(r) : ENOMEM;
    if (error)
        snprintf(why, room, "the command cannot be started: %s", strerror(error));
    else if ((e = wait_for_end(r, deadline_us)) != OK)
        snprintf(why, room, "waiting for the command to end: %s", err_sentence(e));
    else
        good = judge(r, why, room);
    finish(r);
    return good;
}
