/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/program.c - start a program, wait for its end, keep the beginning of what it writes.
 *
 * Only the start blocks, and is offloaded; the waiting is the loop's, so that programs that hang
 * use up no thread.  Both ends of the wait, what is on the pipe and the end of the process, hang in
 * one epoll descriptor, for a fiber waits for one thing at a time: the pipe alone may stay open in
 * the hands of a grandchild.
 */
#include "runtime/program.h"

#include "runtime/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STRAYS = 256 };

struct running {
    struct sock           sock; /* the epoll descriptor */
    const struct program *program;
    struct program_end   *end;
    pid_t                 pid;  /* 0: it does not run */
    int                   pipe[2], process; /* -1: closed */
};

/* ------------------------------------------------------------------ the dead */

/* Killed, and not yet seen to be dead; the next run looks after them. */
static _Atomic pid_t strays[STRAYS];

static void
bury(void)
{
    for (size_t i = 0; i < STRAYS; i++) {
        pid_t pid = strays[i];

        if (pid && waitpid(pid, NULL, WNOHANG) != 0)
            strays[i] = 0;
    }
}

static void
kill_group(pid_t pid)
{
    kill(-pid, SIGKILL);
    for (size_t i = 0; i < STRAYS; i++) {
        pid_t none = 0;

        if (atomic_compare_exchange_strong(&strays[i], &none, pid))
            return;
    }
}

/* ------------------------------------------------------------------ the start */

/* On a thread of the pool: the caller stands still until the program runs. */
static void
spawn(void *arg)
{
    struct running *r = arg;
    const struct program *p = r->program;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, r->pipe[1], 1);
    if (p->errors)
        posix_spawn_file_actions_adddup2(&files, r->pipe[1], 2);
    else
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    r->end->error = posix_spawn(&r->pid, p->argv[0], &files, &how, p->argv,
                                p->env ? p->env : environ);
    if (r->end->error)
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

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
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
    if (r->end->error)
        return r->end->error;
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
    struct program_end *end = r->end;
    char scrap[4096];
    ssize_t n = 0;

    for (int i = 0; i < 16 && r->pipe[0] >= 0; i++) {
        size_t kept, room = PROGRAM_SAID_MAX - end->n;

        n = read(r->pipe[0], scrap, sizeof(scrap));
        if (n <= 0)
            break;
        kept = (size_t) n < room ? (size_t) n : room;
        memcpy(end->said + end->n, scrap, kept);
        end->n += kept;
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
        ended = waitpid(r->pid, &r->end->status, WNOHANG);
        read_output(r);
        if (ended == 0)
            continue;
        r->pid = 0;
        return ended > 0 ? OK : ERR_IO;
    }
}

static void
running_free(struct sock *sock)
{
    free(container_of(sock, struct running, sock));
}

static void
finish(struct running *r)
{
    if (r->pid)
        kill_group(r->pid);
    close_fd(&r->pipe[0]);
    close_fd(&r->pipe[1]);
    close_fd(&r->process);
    r->sock.release = running_free;
    if (r->sock.fd >= 0)
        sock_close(&r->sock);
    else
        running_free(&r->sock);
}

enum err
program_run(const struct program *p, uint64_t deadline_us, struct program_end *end)
{
    struct running *r = calloc(1, sizeof(*r));
    enum err e = ERR_IO;

    *end = (struct program_end){.error = r ? 0 : ENOMEM};
    bury();
    if (!r)
        return ERR_IO;
    r->program = p;
    r->end = end;
    r->sock.fd = r->pipe[0] = r->pipe[1] = r->process = -1;
    end->error = start(r);
    if (end->error == 0)
        e = wait_for_end(r, deadline_us);
    finish(r);
    return e;
}

struct slice
program_line(const struct program_end *end)
{
    struct slice said = slice_of(end->said, end->n);
    size_t line = slice_find(said, '\n');

    return slice_trim(slice_first(said, line == SLICE_NOT_FOUND ? said.n : line));
}
