/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/terminal.c - raw mode, the other screen, and back.
 *
 * The terminal is opened once more for reading: a flag such as O_NONBLOCK on standard input itself
 * would be seen by the shell too.
 */
#include "main/client/terminal.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The other screen, no cursor; and back. */
static const char enter[] = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
static const char leave[] = "\x1b[?25h\x1b[?1049l";

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

static void
watched_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < countof(watched); i++)
        sigaddset(set, watched[i]);
}

/* ------------------------------------------------------------------ the screen */

void
terminal_write(struct slice s)
{
    while (s.n) {
        ssize_t n = write(STDOUT_FILENO, s.at, s.n);
        struct pollfd wait = {.fd = STDOUT_FILENO, .events = POLLOUT};

        if (n < 0 && errno == EAGAIN)
            (void) poll(&wait, 1, 1000);
        else if (n < 0 && errno != EINTR)
            return;
        s = slice_from(s, n > 0 ? (size_t) n : 0);
    }
}

void
terminal_size(size_t *columns, size_t *rows)
{
    struct winsize size = {.ws_col = 0};

    *columns = 80;
    *rows = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)
        return;
    *columns = size.ws_col;
    *rows = size.ws_row;
}

/* Byte by byte and unseen; Ctrl-C and Ctrl-Z stay signals. */
static void
take_over(struct terminal *t)
{
    struct termios raw = t->before;

    raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(t->fd, TCSADRAIN, &raw);
    terminal_write(slice_str(enter));
}

static void
give_back(struct terminal *t)
{
    terminal_write(slice_str(leave));
    tcsetattr(t->fd, TCSADRAIN, &t->before);
}

/* ------------------------------------------------------------------ opening */

static void
on_ready(struct io *io)
{
    (void) io; /* whoever turns the loop looks */
}

static void
watch(struct sock *s, struct io *io)
{
    if (!io_in_flight(io))
        (void) io_ready(s, io, IO_READABLE, on_ready);
}

static bool
open_signals(struct terminal *t)
{
    sigset_t set;
    int fd;

    watched_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return false;
    sock_init(&t->signals, fd);
    t->signals.flags = SOCK_LEVEL;
    return true;
}

/* What moves the cursor is the same on all terminals that are still in use, where anything does. */
static bool
can_move_cursor(void)
{
    const char *kind = getenv("TERM");

    return kind && kind[0] && strcmp(kind, "dumb") != 0;
}

bool
terminal_open(struct terminal *t, const char *command)
{
    *t = (struct terminal){.fd = -1};
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && can_move_cursor())
        t->fd = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (t->fd < 0 || tcgetattr(t->fd, &t->before) != 0 || !open_signals(t)) {
        fprintf(stderr,
                "maitred %s: this needs a terminal that can move the cursor; --once does not\n",
                command);
        if (t->fd >= 0)
            close(t->fd);
        return false;
    }
    sock_init(&t->keys, t->fd);
    t->keys.flags = SOCK_LEVEL;
    t->open = true;
    take_over(t);
    return true;
}

void
terminal_close(struct terminal *t)
{
    sigset_t set;

    if (!t->open)
        return;
    t->open = false;
    give_back(t);
    io_cancel(&t->keys_io);
    io_cancel(&t->signals_io);
    sock_close(&t->keys);
    sock_close(&t->signals);
    loop_once(loop_self(), loop_now_us()); /* the loop lets go of them at the end of a round */
    watched_set(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ------------------------------------------------------------------ events */

/* Ctrl-Z: the shell gets its terminal, and we get it back when the shell lets us go on. */
static void
step_aside(struct terminal *t)
{
    give_back(t);
    raise(SIGSTOP);
    take_over(t);
}

static int
next_signal(struct terminal *t)
{
    struct signalfd_siginfo info;

    while (read(t->signals.fd, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
        if (info.ssi_signo == SIGTSTP)
            step_aside(t);
        if (info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT)
            return TERMINAL_RESIZED;
        return TERMINAL_ENDED;
    }
    return TERMINAL_NOTHING;
}

static const struct {
    const char *bytes;
    int         event;
} sequences[] = {
    {"\x1b[A", TERMINAL_UP},       {"\x1bOA", TERMINAL_UP},
    {"\x1b[B", TERMINAL_DOWN},     {"\x1bOB", TERMINAL_DOWN},
    {"\x1b[5~", TERMINAL_PAGE_UP}, {"\x1b[6~", TERMINAL_PAGE_DOWN},
    {"\x1b[H", TERMINAL_HOME},     {"\x1b[1~", TERMINAL_HOME},
};

static int
take_typed(struct terminal *t, size_t n, int event)
{
    t->n -= n;
    memmove(t->typed, t->typed + n, t->n);
    return event;
}

/* A byte, or a sequence that stands for a key.  Sequences come in one piece; what is not known is
 * dropped whole. */
static int
next_key(struct terminal *t)
{
    struct slice typed;
    ssize_t got = read(t->fd, t->typed + t->n, sizeof(t->typed) - t->n);

    if (got == 0 || (got < 0 && errno == EIO))
        return TERMINAL_ENDED;
    t->n += got > 0 ? (size_t) got : 0;
    typed = slice_of(t->typed, t->n);
    if (t->n == 0)
        return TERMINAL_NOTHING;
    if (typed.at[0] != '\x1b')
        return take_typed(t, 1, (unsigned char) typed.at[0]);
    for (size_t i = 0; i < countof(sequences); i++)
        if (slice_starts(typed, slice_str(sequences[i].bytes)))
            return take_typed(t, strlen(sequences[i].bytes), sequences[i].event);
    return take_typed(t, t->n, TERMINAL_NOTHING);
}

int
terminal_next(struct terminal *t, uint64_t until_us)
{
    int event = next_signal(t);

    if (!event)
        event = next_key(t);
    if (event)
        return event;
    watch(&t->keys, &t->keys_io);
    watch(&t->signals, &t->signals_io);
    loop_once(loop_self(), until_us);
    return TERMINAL_NOTHING;
}
