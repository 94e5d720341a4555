/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/process.h - private: the worker process, for the files that make it.
 *
 *     worker.c   its life: start, signals, end; the threads that serve
 *     serving.c  one configuration takes another's place
 *     host.c     what the control room may ask of it
 *
 * Threads  control thread, but for worker_current.
 */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include "main/channel.h"
#include "main/supervisor.h"

#include "runtime/quiesce.h"

enum { FLUSH_US = 1000000 };

struct worker {
    struct process *process;
    pthread_t thread;
    unsigned number;
    struct edge *edge;
    struct timer flush;
    bool joined;
};

struct process {
    const struct run_options *options;
    struct loop loop; /* of the control thread */
    int                       channel;
    struct config_source      reader; /* by way of the supervisor, which may read what we may not */
    struct app_source         source;
    struct app               *app;
    unsigned                  n;
    struct worker             workers[WORKERS_MAX];
    uint64_t                  max_connections;
    int                       status;
    struct sock               signals;
    bool                      ending;
    bool                      retiring;    /* another process serves from now on */
    uint64_t                  drain_us;    /* monotonic: when draining ends; 0: has not begun */
    uint64_t                  alive_us;    /* how often we say that all threads turn; 0: never */
    uint64_t                  tickets;     /* generation of the keys that the supervisor has */
    atomic_uint               joined;
    /* Of the hand-over that is under way: */
    struct app               *next;
    int                      *fds; /* SOCKETS_MAX for each listener */
};

/* The worker that this thread is; NULL: none. */
extern __thread struct worker *worker_current;

/* ------------------------------------------------------------------ serving.c */

/* From which the configuration is read: by way of the supervisor. */
void process_read_with(struct process *p);
/* The listening descriptors that a configuration needs beside those that are there.  False after
 * reporting. */
bool process_listen(struct process *p, struct app *a, struct config_report *report);
/* Waits until every worker serves it.  False: out of memory. */
bool process_hand_over(struct process *p, struct app *a);
/* Opens what it needs, and hands it over; the app is gone when that cannot be. */
bool process_serve(struct process *p, struct app *a, struct config_report *report);
/* SIGHUP. */
void process_reload(struct process *p);
/* One that is not served any more; it goes when the last exchange has left it. */
void process_release(struct app *a);

/* ------------------------------------------------------------------ host.c */

void process_start_control(struct process *p);

#endif
