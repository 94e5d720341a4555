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
    const char            *pid_file; /* NULL: none */
    const char            *control;  /* path of the control socket; NULL: none */
};

/* Until it is told to end; the exit status. */
int supervisor_run(const struct run_options *options);

/* worker.c: the worker process; never returns to the supervisor's code.  alive_us: how often it
 * says that all of its threads turn; 0: never.  The exit status. */
int worker_run(const struct run_options *options, int channel, uint64_t alive_us);

enum { EXIT_CONFIGURATION = 2 };

#endif
