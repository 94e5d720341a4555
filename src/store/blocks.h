/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/blocks.h - the memory of a store: one stretch of addresses, lent in runs of units.
 *
 * Buddies (Knowlton, "A Fast Storage Allocator", 1965), with the tail of what was asked for given
 * back at once: a run takes exactly the units it needs and wastes less than one of them, and still
 * falls together with its neighbours when it comes back.  Which blocks are free stands in bitmaps
 * beside the memory, so that nothing is written into what is not used.
 *
 * Bounds   addresses are reserved generously, memory is touched from below and only up to `open`,
 *          which may be moved: what lies above goes back to the kernel as it becomes free.
 * Threads  none of its own: callers hold the store's lock.
 */
#ifndef STORE_BLOCKS_H
#define STORE_BLOCKS_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCKS_UNIT = 128,
    BLOCKS_ORDERS = 14,
    BLOCKS_RUN_MAX = 1 << (BLOCKS_ORDERS - 1), /* units of the longest run, 1 MiB */
};

struct blocks {
    char       *base;
    uint32_t    reserved; /* units that there are addresses of */
    uint32_t    open;     /* units below are lent */
    uint32_t    fresh;    /* units from here on were never touched */
    uint32_t    used;     /* units that are lent, wherever they lie */
    uint32_t    listed;   /* bit: the list of that order has a block */
    struct list free[BLOCKS_ORDERS]; /* those below `open`; the links lie in the blocks */
    uint64_t   *is_free[BLOCKS_ORDERS];
    void       *maps;
    size_t      maps_bytes;
};

/* Addresses for `reserve` bytes, or fewer if the kernel grants only those, but at least `open`
 * bytes. false: not even that. */
bool blocks_init(struct blocks *b, uint64_t reserve, uint64_t open);
void blocks_exit(struct blocks *b);
/* In units; at most what was reserved. */
void blocks_set_open(struct blocks *b, uint32_t open);

/* A run of that many units (1..BLOCKS_RUN_MAX), NULL when there is none. */
void *blocks_take(struct blocks *b, uint32_t units);
/* The longest there is of at most `want` and at least `least` units. */
void *blocks_take_some(struct blocks *b, uint32_t want, uint32_t least, uint32_t *got);
/* A run, or a part of one. */
void blocks_give(struct blocks *b, void *at, uint32_t units);
/* New pages, of zeros, in place of those that lie wholly in the run: whoever was given the old ones
 * (sock_give) keeps them as they are. */
void blocks_renew(struct blocks *b, void *at, uint32_t units);

static inline uint32_t
blocks_units(size_t bytes)
{
    return (uint32_t) ((bytes + BLOCKS_UNIT - 1) / BLOCKS_UNIT);
}

static inline void *
blocks_at(const struct blocks *b, uint32_t unit)
{
    return b->base + (size_t) unit * BLOCKS_UNIT;
}

static inline uint32_t
blocks_unit_of(const struct blocks *b, const void *at)
{
    return (uint32_t) ((size_t) ((const char *) at - b->base) / BLOCKS_UNIT);
}

#endif
