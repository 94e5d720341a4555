/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/terminal.h - a screen and its keys, for a program that owns the whole terminal for a
 * while.
 *
 * Plain ANSI sequences that every terminal of the last thirty years knows.  While it is open,
 * signals come as events, so that whatever ends the program leaves the terminal as it was.  With a
 * loop, on its thread's own stack.
 */
#ifndef MAIN_CLIENT_TERMINAL_H
#define MAIN_CLIENT_TERMINAL_H

#include "base/text.h"
#include "runtime/sock.h"

#include <termios.h>

/* Bytes stand for themselves. */
enum terminal_event {
    TERMINAL_NOTHING = 0, /* time has passed, or something else has happened */
    TERMINAL_UP = 256,
    TERMINAL_DOWN,
    TERMINAL_PAGE_UP,
    TERMINAL_PAGE_DOWN,
    TERMINAL_HOME,
    TERMINAL_RESIZED, /* or in the foreground again: draw everything */
    TERMINAL_ENDED,   /* a signal, or the terminal is gone */
};

struct terminal {
    int            fd;      /* keys */
    struct termios before;  /* how it was */
    struct sock    keys, signals;
    struct io      keys_io, signals_io;
    char           typed[64];
    size_t         n;
    bool           open;
};

/* False after saying on standard error why not: standard input and output must be a terminal, and
 * TERM name one that can move its cursor. */
bool terminal_open(struct terminal *t, const char *command);
/* As it was.  Nothing when it is not open. */
void terminal_close(struct terminal *t);
/* 80 x 24 when nobody knows. */
void terminal_size(size_t *columns, size_t *rows);
/* The next event; turns the loop at most until that time (monotonic). */
int terminal_next(struct terminal *t, uint64_t until_us);
/* One screen in one piece, so that it does not flicker. */
void terminal_write(struct slice screen);

#endif
