/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/queues.h - what is driven out when memory is needed: S3-FIFO (Yang et al., "FIFO queues are
 * all you need for cache eviction", SOSP 2023).
 *
 * New objects enter a small queue, a tenth of all.  Whoever was asked for again when it comes to
 * its end moves to the main queue, the others leave, so that a scan of things that nobody wants
 * twice passes by quickly and drives out nothing.  Of those that left, a fingerprint stays for a
 * while (the ghosts): who comes back then goes to the main queue at once.  A hit costs one store
 * into a counter of two bits, no lock, no list.
 *
 * Tried     hits of Zipf(0.9) with a fifth of scans, a cache for a tenth of the objects
 *           (policies_test.c has more): S3-FIFO 53.7 %, W-TinyLFU 53.5, SIEVE 52.8, CLOCK 44.5,
 *           LRU 43.7, FIFO 41.5.  W-TinyLFU must change lists at each hit.
 *
 * Threads   queues_hit() anywhere; the rest under the store's lock.
 */
#ifndef STORE_QUEUES_H
#define STORE_QUEUES_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdint.h>

enum { QUEUES_HITS_MAX = 3 };

enum queue { QUEUE_NONE, QUEUE_SMALL, QUEUE_MAIN, QUEUES };

/* Part of an object. Zeroed: in no queue. */
struct place {
    struct list     link;
    uint32_t        fingerprint; /* of its key */
    uint32_t        units;       /* what it would set free */
    uint8_t         queue;       /* enum queue */
    _Atomic uint8_t hits;        /* since it was last looked at, at most QUEUES_HITS_MAX */
};

struct ghost {
    uint32_t fingerprint;
    uint32_t left_at; /* how many had left before */
};

struct queues {
    struct list   lists[QUEUES]; /* the newest in front */
    uint64_t      units[QUEUES];
    uint64_t      count[QUEUES];
    struct ghost *ghosts;   /* sets of GHOSTS_WAYS; NULL: none are kept */
    uint32_t      ghosts_n; /* a power of two */
    uint32_t      left;     /* how many have left so far */
};

void queues_init(struct queues *q);
/* Zeroed memory for ghosts, a power of two of them, at least four; it stays the caller's. NULL, 0:
 * none. */
void queues_set_ghosts(struct queues *q, struct ghost *ghosts, uint32_t n);

/* It is asked for. */
static inline void
queues_hit(struct place *p)
{
    uint8_t hits = atomic_load_explicit(&p->hits, memory_order_relaxed);

    if (hits < QUEUES_HITS_MAX)
        atomic_store_explicit(&p->hits, hits + 1, memory_order_relaxed);
}

/* fingerprint and units are set. */
void queues_insert(struct queues *q, struct place *p);
/* It comes in place of another one, which was worth what it was worth. */
void queues_inherit(struct place *p, const struct place *before);
/* Nothing when it is in no queue. */
void queues_remove(struct queues *q, struct place *p);
/* The next that has to go, in no queue any more; NULL: none, or only such as must stay. */
struct place *queues_victim(struct queues *q, bool (*must_stay)(const struct place *p));

#endif
