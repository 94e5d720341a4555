/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/recent.h - how often something happened lately, and how often it went one way.  Private
 * to the room.
 *
 * A window of time is cut into ten slots, and each worker has ten of them in lines of its own, so
 * that counting costs nobody else anything; only who asks for the sum looks at all.  The sum covers
 * nine whole slots and the current one.
 *
 * Threads   recent_add() with a worker's number only by that worker; the rest by anybody.  A sum
 *           that is taken while others count may miss what they count at that moment.
 */
#ifndef UPSTREAM_RECENT_H
#define UPSTREAM_RECENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RECENT_SLOTS = 10 };

struct recent_slot {
    _Atomic uint64_t tag; /* which stretch of time it counts, and since which forgetting */
    _Atomic uint32_t all, some;
};

struct recent_line {
    struct recent_slot slots[RECENT_SLOTS];
} __attribute__((aligned(64)));

struct recent {
    unsigned            workers;
    _Atomic uint16_t    epoch; /* grows each time that everything is forgotten */
    struct recent_line *lines; /* one for each worker */
};

struct recent_sum {
    uint64_t all, some;
};

/* False when out of memory. */
bool recent_init(struct recent *r, unsigned workers);
void recent_free(struct recent *r);
/* window_us: at least RECENT_SLOTS.  With another window than before, what was counted is gone. */
void recent_add(struct recent *r, unsigned worker, uint64_t window_us, uint64_t now_us,
                uint32_t all, uint32_t some);
struct recent_sum recent_sum(const struct recent *r, uint64_t window_us, uint64_t now_us);
void recent_forget(struct recent *r);

#endif
