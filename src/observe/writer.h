/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/writer.h - the thread that writes what sinks collect.
 *
 * Private to observe/.  One lock guards the queues of all sinks; it is held for a few instructions,
 * never across a system call that waits.  The thread sleeps in poll(): on an eventfd, by which
 * workers wake it when it has said that it sleeps, and on the descriptors that were not ready to
 * take more.
 */
#ifndef OBSERVE_WRITER_H
#define OBSERVE_WRITER_H

#include "base/list.h"
#include "observe/outlet.h"
#include "observe/sink.h"

#include <stdatomic.h>

/* Whole records, each ending in a newline. */
struct sink_chunk {
    struct list      link; /* in a tap's spare chunks or the sink's queue */
    struct sink_tap *tap;  /* whose it is */
    size_t           n;
    char             bytes[SINK_CHUNK_BYTES];
};

/* Everything but what the comment says belongs to one worker.  A cache line of its own. */
struct sink_tap {
    _Alignas(64) struct sink_chunk *chunk; /* being filled; NULL: none at hand */
    struct text                     record;
    struct sink                    *sink;
    struct list                     spare;     /* under the lock */
    size_t                          n_spare;   /* under the lock */
    size_t                          allocated; /* under the lock: chunks that exist */
};

struct sink {
    struct list      link; /* in the writer's list, in the order they were opened */
    struct list      queue;      /* under the lock: chunks handed over */
    size_t           max_chunks; /* under the lock: of one tap */
    size_t           references; /* under the lock; 0: gone when all is written */
    bool             reopen;     /* under the lock */
    _Atomic uint64_t dropped;

    /* The writer's own: */
    struct outlet      outlet;
    struct sink_chunk *current; /* taken from the queue */
    size_t             taken;   /* bytes of current that are written */
    bool               blocked; /* the descriptor would have to be waited for */
    bool               failing; /* an error was told and nothing has proved it gone */
    uint64_t           retry_us; /* when to open anew; 0: it is open */
    uint64_t           failed_us; /* the last error */
    uint64_t           give_up_us; /* when a sink without references is thrown away as it is */
    uint64_t           told_dropped, told_us;

    struct sink_tap taps[SINK_WORKERS];
};

/* Starts the thread with the first call; false when that cannot be done. */
bool writer_start(void);
void writer_lock(void);
/* Wakes the thread if it sleeps and there is news for it. */
void writer_unlock(void);
/* With the lock held: the list of all sinks. */
struct list *writer_sinks(void);
/* With the lock held: a chunk into its sink's queue. */
void writer_take(struct sink_chunk *chunk);
/* With the lock held: something else than a chunk is there for the thread to see. */
void writer_notice(void);

#endif
