/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/supervisor.h - the process that is started: it keeps listening sockets and starts the worker
 * process, again whenever that dies.
 */
#ifndef MAIN_SUPERVISOR_H
#define MAIN_SUPERVISOR_H

#include "main/app.h"

struct run_options {
    struct app_source      source;
    const struct loop_ops *io;      /* NULL: the best */
    unsigned               workers; /* 0: as configured */
    const char            *greeting; /* printed once it serves; may be NULL */
};

/* Until it is told to end; the exit status. */
int supervisor_run(const struct run_options *options);

/* worker.c: the worker process; never returns to the supervisor's code. The exit status. */
int worker_run(const struct run_options *options, int channel);

enum { EXIT_CONFIGURATION = 2 };

#endif
