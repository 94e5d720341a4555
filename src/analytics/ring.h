/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/ring.h - records from one thread to another, without a lock and without waiting.
 *
 * One producer, one consumer (Lamport, "Proving the Correctness of Multiprocess Programs", 1977).
 * Records of any length lie one behind the other, each in one piece: where one does not fit before
 * the end, the rest is skipped.  Each side remembers what it last saw of the other's position, so
 * that the line it stands in rarely travels between the cores.
 */
#ifndef ANALYTICS_RING_H
#define ANALYTICS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_LINE = 64, RING_HEAD = 8 };

struct ring {
    /* The producer's. */
    _Alignas(RING_LINE) _Atomic uint64_t written; /* bytes, ever */
    uint64_t         seen_read;
    uint64_t         begun; /* where the record that is being written starts */
    _Atomic uint64_t taken, missed; /* records */
    _Atomic bool     rung;  /* the consumer was told that there is much to do */
    /* The consumer's. */
    _Alignas(RING_LINE) _Atomic uint64_t read;
    /* Nobody's. */
    _Alignas(RING_LINE) char *bytes;
    uint64_t room; /* a power of two */
};

/* False: out of memory. */
bool ring_init(struct ring *r, size_t room);
void ring_free(struct ring *r);

/* Producer: room for up to n bytes, aligned to 8, in one piece; NULL: there is none (counted as
 * missed).  n: at most a quarter of the ring.  Without a commit nothing happened. */
void *ring_reserve(struct ring *r, size_t n);
/* n: what was written, at most what was reserved.  True when the ring has become half full and the
 * consumer should be told. */
bool ring_commit(struct ring *r, size_t n);

/* Consumer: the oldest record, or NULL; it stays until it is released. */
const void *ring_peek(struct ring *r);
void ring_release(struct ring *r);
/* Before a round of taking: from now on half a ring is news again. */
void ring_listen(struct ring *r);

#endif
