/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/quiesce.h - all workers of the process, and when none of them can be looking at something
 * any more.
 *
 * Shared structures are replaced, never changed: the new one is published, and the old one freed
 * once every worker has come back to its loop, because code on a worker keeps such pointers only
 * between two waits (what it needs longer it takes a reference of).
 */
#ifndef RUNTIME_QUIESCE_H
#define RUNTIME_QUIESCE_H

#include "runtime/loop.h"

enum { WORKERS_MAX = 128 };

/* Called by each worker's thread once its loop stands, and before the loop ends. */
void workers_join(struct loop *l);
void workers_leave(struct loop *l);

/* run(arg) in the context of every worker's loop, then then(arg) in that of the calling loop (which
 * need not be a worker itself).  then may be NULL.  False when out of memory: nothing happens. */
bool workers_each(void (*run)(void *arg), void (*then)(void *arg), void *arg);
/* The same, and this fiber waits until all have run it.  Cannot be cancelled.  False when out of
 * memory: nothing happens. */
bool workers_meet(void (*run)(void *arg), void *arg);
/* The message to one worker by its number; false when there is none (then it is not sent). */
bool workers_send(unsigned number, struct message *m);
/* free_it(what) after every worker has come back to its loop. */
void workers_retire(void (*free_it)(void *what), void *what);

#endif
