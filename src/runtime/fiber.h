/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/fiber.h - small stacks that a worker switches in and out of in nanoseconds.
 *
 * Code on a fiber is written top to bottom and blocks: it suspends itself, and whoever completes
 * what it waits for resumes it.  A fiber never leaves the thread that started it.
 *
 * Memory   struct fiber lies at the top of its own stack; stacks come from a pool of the thread,
 *          have a guard page below, and go back to the kernel after a burst (fiber_pool_trim).
 * Cancel   sticky: once cancelled, every wait of the fiber returns ERR_CANCELLED until
 *          fiber_uncancel().
 */
#ifndef RUNTIME_FIBER_H
#define RUNTIME_FIBER_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define FIBER_STACK_BYTES (64u * 1024u)

struct fiber;
struct io;

typedef void fiber_run_f(void *arg);

/* Public so that gdb and the loop can look; fields are fiber.c's. */
struct fiber {
    void        *sp;      /* saved while it is suspended */
    fiber_run_f *run;
    void        *arg;
    struct io   *waits;   /* the operation it waits for, NULL when
                           * not in a wait that can be cancelled */
    enum err     cancelled;
    bool         queued;  /* in the ready list */
    struct list  ready;
    struct list  all;     /* of this thread, for gdb and for the pool */
    const char  *name;    /* what it does, for gdb */
    void        *stack;   /* lowest usable byte */
    size_t       stack_bytes;
    void        *sanitizer; /* the sanitizer's own handle */
    unsigned     generation; /* Valgrind's number of the stack */
};

/* One per thread. Returns false when out of memory. */
bool fiber_thread_init(void);
void fiber_thread_exit(void);

/*
 * Starts run(arg) on a fiber of its own.  It runs the next time the loop looks at its ready list;
 * from the loop's own context with fiber_start_now() it runs at once until its first wait.  NULL
 * when out of memory or descriptors of mappings.
 */
struct fiber *fiber_start(const char *name, fiber_run_f *run, void *arg);
bool fiber_start_now(const char *name, fiber_run_f *run, void *arg);

/* The running fiber; NULL in the loop's own context. */
struct fiber *fiber_self(void);
/* Back to the loop, until somebody resumes this fiber. */
void fiber_suspend(void);
/* Makes a suspended fiber ready; it runs from the loop.  Same thread only. */
void fiber_resume(struct fiber *f);
/* Switches to it at once; from the loop's own context only. */
void fiber_run_now(struct fiber *f);
/* Runs all that are ready; from the loop's own context. */
void fiber_run_ready(void);
bool fiber_any_ready(void);

/* The wait it is in, and all later ones, return `why` (ERR_CANCELLED mostly). */
void fiber_cancel(struct fiber *f, enum err why);
void fiber_uncancel(struct fiber *f);

/* Stacks that were not needed since the last call are unmapped. */
void fiber_pool_trim(void);
/* Stacks that wait to be used again. */
size_t fiber_pool_idle(void);
/* How many fibers this thread has running or suspended. */
size_t fiber_count(void);

#endif
