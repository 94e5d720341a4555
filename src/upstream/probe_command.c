/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_command.c - a check by a program of the operator's: exit status 0 passes, and the
 * first line that it writes says why not.
 *
 * It is started without a shell, in a process group of its own, which is killed as a whole at the
 * time-out.  Only the start blocks, and is offloaded; the waiting is the loop's, so that programs
 * that hang use up no thread.  Both ends of the wait, a line on the pipe and the end of the
 * process, hang in one epoll descriptor, for a fiber waits for one thing at a time: the pipe alone
 * may stay open in the hands of a grandchild.
 */
#include "upstream/probe_talk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_KEPT = 256, STRAYS = 256, ENV_MAX = 4096 };

struct running {
    struct sock  sock;   /* the epoll descriptor */
    const struct health_config *config;
    char       **argv, **env;
    struct arena arena;
    pid_t        pid;
    int          error;  /* of starting it */
    int          pipe[2], process; /* -1: closed */
    char         output[OUTPUT_KEPT];
    size_t       n;
};

/* Killed, and not yet seen to be dead; the next probe looks after them. */
static pid_t strays[STRAYS];

static void
bury(void)
{
    for (size_t i = 0; i < STRAYS; i++)
        if (strays[i] && waitpid(strays[i], NULL, WNOHANG) != 0)
            strays[i] = 0;
}

static void
kill_group(pid_t pid)
{
    kill(-pid, SIGKILL);
    for (size_t i = 0; i < STRAYS; i++)
        if (!strays[i]) {
            strays[i] = pid;
            return;
        }
}

/* ------------------------------------------------------------------ the start */

static bool
is_ours(const char *variable)
{
    return strncmp(variable, "MAITRED_SERVER=", 15) == 0 ||
           strncmp(variable, "MAITRED_UPSTREAM=", 17) == 0;
}

/* Our own environment, and what it is about. */
static bool
make_environment(struct running *r, const struct server *server)
{
    struct slice about[] = {
        arena_printf(&r->arena, "MAITRED_SERVER=%.*s", SLICE_ARG(server->text)),
        arena_printf(&r->arena, "MAITRED_UPSTREAM=%.*s", SLICE_ARG(server->upstream->name)),
    };
    size_t n = 0;

    r->env = arena_calloc(&r->arena, ENV_MAX, sizeof(char *));
    if (!r->env || !about[0].at || !about[1].at)
        return false;
    for (char **e = environ; *e && n < ENV_MAX - countof(about) - 1; e++)
        if (!is_ours(*e))
            r->env[n++] = *e;
    for (size_t i = 0; i < countof(about); i++)
        r->env[n++] = (char *) about[i].at;
    return true;
}

/* Texts of the configuration end in a zero byte. */
static bool
make_arguments(struct running *r)
{
    const struct slice *words = r->config->command.at;

    r->argv = arena_calloc(&r->arena, r->config->command.n + 1, sizeof(char *));
    for (size_t i = 0; r->argv && i < r->config->command.n; i++)
        r->argv[i] = (char *) words[i].at;
    return r->argv != NULL;
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
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    r->error = posix_spawn(&r->pid, r->argv[0], &files, &how, r->argv, r->env);
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
    int both = epoll_create1(EPOLL_CLOEXEC);

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
    r->error = watch(both, r->process);
    return r->error ? r->error : watch(both, r->pipe[0]);
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
        kept = (size_t) n < OUTPUT_KEPT - r->n ? (size_t) n : OUTPUT_KEPT - r->n;
        memcpy(r->output + r->n, scrap, kept);
        r->n += kept;
    }
    if (n == 0)
        close_fd(&r->pipe[0]);
}

/* How it ended, as waitpid() says. */
static enum err
wait_for_end(struct running *r, uint64_t deadline_us, int *how)
{
    for (;;) {
        enum err e = sock_wait(&r->sock, IO_READABLE, deadline_us);
        pid_t ended;

        if (e != OK)
            return e;
        ended = waitpid(r->pid, how, WNOHANG);
        read_output(r);
        if (ended == 0)
            continue;
        r->pid = 0;
        return ended > 0 ? OK : ERR_IO;
    }
}

static void
judge(struct running *r, int how, struct probe_answer *answer)
{
    struct slice said = slice_of(r->output, r->n);
    size_t end = slice_find(said, '\n');

    said = slice_trim(slice_first(said, end == SLICE_NOT_FOUND ? said.n : end));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        probe_pass(answer);
    else if (said.n)
        probe_fail(answer, "%.*s", SLICE_ARG(said));
    else if (WIFSIGNALED(how))
        probe_fail(answer, "the command was ended by signal %d", WTERMSIG(how));
    else
        probe_fail(answer, "the command ended with status %d", WEXITSTATUS(how));
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

static bool
check_command(struct config_bind *b, struct health_config *h)
{
    const struct slice *words = h->command.at;

    if (h->command.n == 0)
        return config_bind_error(b, h, "add `command: [/path/to/program, ...]`",
                                 "a check by command needs a command");
    if (!slice_starts(words[0], SLICE("/")))
        return config_bind_error(b, &h->command, "write its whole path; there is no shell",
                                 "`%.*s` is not the path of a program", SLICE_ARG(words[0]));
    return true;
}

static void
run_command(const struct health_config *config, const struct server *server, uint64_t deadline_us,
            struct probe_answer *answer)
{
    struct running *r = calloc(1, sizeof(*r));
    int how = 0, error;
    enum err e;

    bury();
    if (!r) {
        probe_fail_with(answer, "starting the command", ERR_NO_MEMORY);
        return;
    }
    r->config = config;
    r->sock.fd = r->pipe[0] = r->pipe[1] = r->process = -1;
    arena_init(&r->arena, NULL, 0, 2 * ENV_MAX * sizeof(char *));
    error = make_arguments(r) && make_environment(r, server) ? start(r) : ENOMEM;
    if (error) {
        probe_fail(answer, "cannot start the command: %s", strerror(error));
        answer->undecided = error != ENOENT && error != EACCES && error != ENOEXEC;
    } else if ((e = wait_for_end(r, deadline_us, &how)) != OK) {
        probe_fail_with(answer, "waiting for the command to end", e);
    } else {
        judge(r, how, answer);
    }
    finish(r);
}

const struct probe_kind probe_command = {
    .name = "command",
    .takes = PROBE_COMMAND,
    .rise = 2,
    .fall = 3,
    .check = check_command,
    .run = run_command,
};
