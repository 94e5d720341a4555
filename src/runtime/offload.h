/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/offload.h - threads for what blocks or burns CPU, beyond the common pool of
 * runtime/loop.h.
 *
 * Work that may hang has a pool of its own, so that a disk that is gone takes only those who read
 * from it along, not names, passwords and certificates.
 */
#ifndef RUNTIME_OFFLOAD_H
#define RUNTIME_OFFLOAD_H

#include "runtime/loop.h"

/* Static, made by OFFLOAD_POOL.  Threads are started when work is waiting and nobody is idle, up to
 * `most`; they stay until the process ends, and nobody waits for their end. */
struct offload_pool {
    unsigned            most;
    pthread_mutex_t     lock; /* of what follows, and of the jobs' states */
    pthread_cond_t      wake;
    struct offload_job *first, **last;
    unsigned            waiting; /* of them */
    unsigned            started, idle;
    bool                ending;
};

#define OFFLOAD_POOL(name, threads)                                                               \
    struct offload_pool name = {                                                                  \
        .most = (threads),                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER,                                                        \
        .wake = PTHREAD_COND_INITIALIZER,                                                         \
        .last = &(name).first,                                                                    \
    }

/* offload() in that pool (NULL: the common one).  Where there is no fiber, or not a single thread
 * can be had, the work is done here and now. */
void offload_to(struct offload_pool *pool, void (*work)(void *arg), void *arg);

enum offload_state { OFFLOAD_WAITS, OFFLOAD_RUNS, OFFLOAD_DONE, OFFLOAD_LATE };

/* Work that somebody waits for until a deadline only.  It lies in its owner's memory. */
struct offload_job {
    void               (*work)(void *arg);
    /* After ERR_TIMEOUT: now it is over, and the job with all it uses is the caller's again.  Any
     * thread, maybe before offload_until() returns. */
    void               (*late)(void *arg);
    void                *arg;
    /* offload.c's: */
    struct message       back; /* how it returns to its loop */
    struct offload_job  *next;
    struct loop         *loop;
    struct fiber        *fiber;
    enum offload_state   state;
    bool                 arrived;
};

/* pool: NULL is the common one.  OK: it is done.  ERR_TIMEOUT: late() is called, or was.  Cannot be
 * cancelled. */
enum err offload_until(struct offload_pool *pool, struct offload_job *job, uint64_t deadline_us);

#endif
