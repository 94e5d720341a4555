/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/slots.h - a shard's index: from 32 bits of a key to units where objects with such bits lie.
 *
 * Eight bytes an object: a tag and a unit's number.  Linear probing with backward-shift deletion,
 * at most three quarters full.  The caller compares the keys, gives the memory, and has the lock.
 */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 32 slots are 256 bytes, 131,072 one MiB. */
enum { SLOTS_LEAST = 32, SLOTS_MOST = 131072 };

struct slots {
    uint64_t *slot; /* tag above, unit + 1 below; 0: free.  NULL: none yet */
    uint32_t  room; /* a power of two */
    uint32_t  count;
};

/* How many slots the table must be given (slots_move) before the next slots_put(); 0: it has room.
 * More than SLOTS_MOST: it cannot grow. */
uint32_t slots_wanted(const struct slots *s);
/* Into a table of so many slots; the old one, NULL if there was none, is the caller's again. */
uint64_t *slots_move(struct slots *s, uint64_t *table, uint32_t room);

void slots_put(struct slots *s, uint32_t tag, uint32_t unit);
/* False when it is not there. */
bool slots_remove(struct slots *s, uint32_t tag, uint32_t unit);

/* for (at = slots_first(s, tag); slots_next(s, tag, &at, &unit);) all with that tag. */
uint32_t slots_first(const struct slots *s, uint32_t tag);
bool slots_next(const struct slots *s, uint32_t tag, uint32_t *at, uint32_t *unit);

#endif
