/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/program.h - a program of the operator's is run: without a shell, in a process group of
 * its own, which is killed as a whole when it takes too long.
 */
#ifndef RUNTIME_PROGRAM_H
#define RUNTIME_PROGRAM_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRAM_SAID_MAX = 256 };

/* What is to be run. */
struct program {
    char *const *argv;   /* the first is its whole path; ends with NULL */
    char *const *env;    /* ends with NULL; NULL: our own */
    bool         errors; /* what it writes to standard error is kept too */
};

/* How it went. */
struct program_end {
    int    error;    /* it could not be started: an errno; 0: it was */
    int    status;   /* as waitpid() says */
    char   said[PROGRAM_SAID_MAX]; /* the beginning of what it wrote */
    size_t n;
};

/* On a fiber; waits until it has ended.  ERR_IO: it could not be started, or its end is not known;
 * ERR_TIMEOUT, ERR_CANCELLED: it was killed. */
enum err program_run(const struct program *p, uint64_t deadline_us, struct program_end *end);
/* The first line that it wrote, trimmed; empty when it wrote nothing. */
struct slice program_line(const struct program_end *end);

#endif
