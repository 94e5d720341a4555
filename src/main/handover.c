/* SPDX-License-Identifier: Apache-2.0 */
/* main/handover.c - both ends of an upgrade in place: starting the next process, and being it. */
#include "main/handover.h"

#include "base/clock.h"
#include "config/config.h"
#include "main/sockets.h"
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE   "MAITRED_HANDOVER" /* descriptors of the memory file and of the link */
#define FIRST_LINE "maitred-handover 1"

enum { LISTEN_FIRST = 3, LISTEN_MOST = 1000, LEGACY_MAX = 16 << 20, ARGUMENTS_MAX = 1 << 20 };

enum link_kind { LINK_DROP = 1, LINK_READY, LINK_RELEASE };

struct link_message {
    uint32_t      kind;
    union address address; /* LINK_DROP */
};

static int link_back = -1; /* to the process before */

/* ------------------------------------------------------------------ the program */

/* argv as it was, in `memory`; NULL when it cannot be read. */
static char **
get_arguments(struct text *memory)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char **argv, *p;
    size_t n = 0;

    text_init(memory, ARGUMENTS_MAX);
    if (fd < 0 || config_read_descriptor(fd, memory) != 0 || memory->n == 0) {
        close(fd);
        return NULL;
    }
    close(fd);
    text_byte(memory, '\0');
    argv = calloc(memory->n + 1, sizeof(*argv));
    for (p = memory->at; argv && p < memory->at + memory->n - 1; p += strlen(p) + 1)
        argv[n++] = p;
    return argv;
}

static bool
is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

/* "name" along PATH, as the shell found it. */
static bool
search_path(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    struct slice rest = slice_str(path ? path : "");

    while (slice_is_present(rest)) {
        struct slice folder = slice_cut(&rest, ':');

        if (folder.n && snprintf(out, PATH_MAX, "%.*s/%s", SLICE_ARG(folder), name) < PATH_MAX &&
            is_program(out))
            return true;
    }
    return false;
}

/* The file that starting us again would run: by the name that we were started with, so that a file
 * that was replaced, or a link that was turned, is the new one. */
static bool
find_program(const char *name, char out[PATH_MAX])
{
    const struct slice deleted = SLICE_INIT(" (deleted)");
    ssize_t n;

    if (strchr(name, '/') ? snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && is_program(out)
                          : search_path(name, out))
        return true;
    n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n < 0)
        return false;
    out[n] = '\0';
    if (slice_ends(slice_of(out, (size_t) n), deleted))
        out[(size_t) n - deleted.n] = '\0';
    return is_program(out);
}

/* ------------------------------------------------------------------ what is left to the next */

static void
write_socket(void *arg, int fd, enum sockets_origin origin)
{
    text_printf(arg, "%s %d\n", origin == SOCKETS_OURS ? "socket" : "activated", fd);
}

/* Stays open in the program that is started. */
static void
let_through(void *arg, int fd, enum sockets_origin origin)
{
    (void) arg;
    (void) origin;
    fcntl(fd, F_SETFD, 0);
}

/* A memory file that says all; -1. */
static int
write_legacy(const struct handover_legacy *legacy)
{
    const struct tls_tickets *tickets = &legacy->tickets;
    struct text t;
    int fd;

    text_init(&t, LEGACY_MAX);
    text_literal(&t, FIRST_LINE "\n");
    sockets_each(write_socket, &t);
    if (legacy->control >= 0)
        text_printf(&t, "control %d\n", legacy->control);
    if (legacy->overrides >= 0)
        text_printf(&t, "overrides %d\n", legacy->overrides);
    if (tickets->generation) {
        text_printf(&t, "tickets %llu %llu ", (unsigned long long) tickets->generation,
                    (unsigned long long) tickets->next_us);
        for (size_t i = 0; i < sizeof(tickets->keys); i++)
            text_printf(&t, "%02x", tickets->keys[i]);
        text_byte(&t, '\n');
    }
    fd = t.full ? -1 : memfd_create("handover", MFD_CLOEXEC);
    if (fd >= 0 &&
        (write(fd, t.at, t.n) != (ssize_t) t.n || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    explicit_bzero(t.at, t.n);
    text_free(&t);
    return fd;
}

/* In the child: becomes the program. */
static _Noreturn void
become(const char *path, char **argv, const struct handover_legacy *legacy, int file, int link)
{
    char value[64];
    sigset_t none;

    sockets_each(let_through, NULL);
    let_through(NULL, file, SOCKETS_OURS);
    let_through(NULL, link, SOCKETS_OURS);
    if (legacy->control >= 0)
        let_through(NULL, legacy->control, SOCKETS_OURS);
    if (legacy->overrides >= 0)
        let_through(NULL, legacy->overrides, SOCKETS_OURS);
    snprintf(value, sizeof(value), "%d %d", file, link);
    setenv(VARIABLE, value, 1);
    if (getenv("WATCHDOG_PID")) {
        snprintf(value, sizeof(value), "%d", (int) getpid());
        setenv("WATCHDOG_PID", value, 1);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(path, argv);
    _exit(127);
}

static bool
start_program(struct handover *u, const char *path, char **argv,
              const struct handover_legacy *legacy, int file)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    fflush(NULL);
    u->pid = fork();
    if (u->pid == 0)
        become(path, argv, legacy, file, pair[1]);
    close(pair[1]);
    u->link = pair[0];
    if (u->pid < 0)
        close(pair[0]);
    return u->pid > 0;
}

bool
handover_start(struct handover *u, const struct handover_legacy *legacy, unsigned within_s,
               char why[HANDOVER_WHY_BYTES])
{
    struct text arguments;
    char **argv = get_arguments(&arguments), path[PATH_MAX];
    bool good = false;
    int file = -1;

    if (getpid() == 1)
        snprintf(why, HANDOVER_WHY_BYTES,
                 "process 1 cannot be replaced, its end is the container's: replace the container");
    else if (!argv || !find_program(argv[0], path))
        snprintf(why, HANDOVER_WHY_BYTES, "the program's file is not there any more");
    else if ((file = write_legacy(legacy)) < 0 || !start_program(u, path, argv, legacy, file))
        snprintf(why, HANDOVER_WHY_BYTES, "the program cannot be started: %s",
                 err_sentence(err_from_errno(errno)));
    else
        good = true;
    if (good) {
        u->state = HANDOVER_TRYING;
        u->deadline_us = clock_monotonic_us() + within_s * UINT64_C(1000000);
        log_answer(LOG_LEVEL_INFO, "upgrading: process %d starts program=%s", (int) u->pid, path);
    }
    if (file >= 0)
        close(file);
    free(argv);
    text_free(&arguments);
    return good;
}

/* ------------------------------------------------------------------ the old one listens */

enum handover_word
handover_listen(struct handover *u)
{
    struct link_message m;
    ssize_t n = recv(u->link, &m, sizeof(m), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HANDOVER_NOTHING;
    if (n != (ssize_t) sizeof(m))
        return HANDOVER_GONE;
    switch (m.kind) {
    case LINK_DROP: sockets_forget(&m.address); return HANDOVER_NOTHING;
    case LINK_READY: return HANDOVER_READY;
    case LINK_RELEASE: return HANDOVER_RELEASE;
    }
    return HANDOVER_NOTHING; /* a later version's word */
}

void
handover_explain(int how, char why[HANDOVER_WHY_BYTES])
{
    if (WIFSIGNALED(how))
        snprintf(why, HANDOVER_WHY_BYTES, "the new process was ended by signal %d", WTERMSIG(how));
    else if (WEXITSTATUS(how) == 127)
        snprintf(why, HANDOVER_WHY_BYTES, "the new program cannot be executed");
    else if (WEXITSTATUS(how) == 2)
        snprintf(why, HANDOVER_WHY_BYTES,
                 "the new program refuses the configuration; its messages say why");
    else
        snprintf(why, HANDOVER_WHY_BYTES,
                 "the new process ended before it was ready, with status %d", WEXITSTATUS(how));
}

void
handover_over(struct handover *u)
{
    if (u->state != HANDOVER_NONE)
        close(u->link);
    *u = (struct handover){.state = HANDOVER_NONE, .pid = -1, .link = -1};
}

/* ------------------------------------------------------------------ being the new one */

static void
say(enum link_kind kind, const union address *address)
{
    struct link_message m = {.kind = kind};

    if (address)
        m.address = *address;
    if (link_back >= 0)
        (void) !send(link_back, &m, sizeof(m), MSG_NOSIGNAL);
}

static void
say_drop(const union address *address)
{
    say(LINK_DROP, address);
}

static bool
read_number(struct slice *rest, uint64_t max, uint64_t *value)
{
    return slice_to_u64(slice_cut(rest, ' '), max, value);
}

static bool
read_tickets(struct slice rest, struct tls_tickets *out)
{
    struct tls_tickets t;

    if (!read_number(&rest, UINT64_MAX, &t.generation) ||
        !read_number(&rest, UINT64_MAX, &t.next_us) || rest.n != 2 * sizeof(t.keys))
        return false;
    for (size_t i = 0; i < sizeof(t.keys); i++) {
        uint64_t byte;

        if (!slice_hex_to_u64(slice_of(rest.at + 2 * i, 2), &byte))
            return false;
        t.keys[i] = (unsigned char) byte;
    }
    *out = t;
    return true;
}

/* It is for this process, not for those that it starts. */
static int
keep_in(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

/* Lines of another version's that are not known are left alone. */
static bool
read_line(struct slice line, struct handover_legacy *legacy)
{
    struct slice word = slice_cut(&line, ' ');
    uint64_t fd;

    if (slice_eq(word, SLICE("tickets"))) {
        (void) read_tickets(line, &legacy->tickets);
        return true;
    }
    if (!slice_to_u64(line, INT_MAX, &fd))
        return true;
    if (slice_eq(word, SLICE("socket")))
        return sockets_adopt((int) fd, SOCKETS_OURS);
    if (slice_eq(word, SLICE("activated")))
        return sockets_adopt((int) fd, SOCKETS_ACTIVATED);
    if (slice_eq(word, SLICE("control")))
        legacy->control = keep_in((int) fd);
    if (slice_eq(word, SLICE("overrides")))
        legacy->overrides = keep_in((int) fd);
    return true;
}

static bool
read_legacy(int fd, struct handover_legacy *legacy)
{
    struct text t;
    struct slice rest;
    bool good;

    text_init(&t, LEGACY_MAX);
    good = config_read_descriptor(fd, &t) == 0;
    rest = text_slice(&t);
    good = good && slice_eq(slice_cut(&rest, '\n'), SLICE(FIRST_LINE));
    while (good && slice_is_present(rest) && rest.n)
        good = read_line(slice_cut(&rest, '\n'), legacy);
    if (t.n)
        explicit_bzero(t.at, t.n);
    text_free(&t);
    close(fd);
    return good;
}

/* From the process before. */
static bool
inherit_handover(const char *value, struct handover_legacy *legacy)
{
    struct slice rest = slice_str(value);
    uint64_t fd, link;

    if (!read_number(&rest, INT_MAX, &fd) || !slice_to_u64(rest, INT_MAX, &link))
        return false;
    /* Until we are ready they are the other one's: should we fail, files of Unix sockets stay. */
    sockets_lend(true);
    link_back = (int) link;
    fcntl(link_back, F_SETFD, FD_CLOEXEC);
    return read_legacy((int) fd, legacy);
}

/* From a service manager: sd_listen_fds(3).  Which listener's they are their addresses tell. */
static void
inherit_activated(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    struct slice rest = slice_str(names ? names : "");
    uint64_t who, n;

    if (!pid || !count || !slice_to_u64(slice_str(pid), INT_MAX, &who) || (pid_t) who != getpid() ||
        !slice_to_u64(slice_str(count), LISTEN_MOST, &n))
        return;
    for (uint64_t i = 0; i < n; i++) {
        struct slice name = slice_cut(&rest, ':');

        if (!sockets_adopt(LISTEN_FIRST + (int) i, SOCKETS_ACTIVATED))
            log_warning("inherited descriptor %d is no listening stream socket: closed name=%.*s",
                        LISTEN_FIRST + (int) i, SLICE_ARG(name));
    }
}

bool
handover_inherit(struct handover_legacy *legacy)
{
    const char *value = getenv(VARIABLE);
    bool good = true;

    *legacy = (struct handover_legacy){.control = -1, .overrides = -1};
    if (value)
        good = legacy->upgrade = inherit_handover(value, legacy);
    else
        inherit_activated();
    if (!good)
        log_error("cannot take over from the process before: its version says other things");
    /* They are for this process, not for those that it starts. */
    unsetenv(VARIABLE);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return good;
}

void
handover_say_ready(void)
{
    sockets_lend(false);
    sockets_forget_unwanted(say_drop);
    say(LINK_READY, NULL);
}

void
handover_drop(const union address *address)
{
    sockets_forget(address);
    say_drop(address);
}

void
handover_release(void)
{
    say(LINK_RELEASE, NULL);
    handover_leave();
}

void
handover_leave(void)
{
    if (link_back >= 0)
        close(link_back);
    link_back = -1;
}
