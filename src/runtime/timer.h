/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/timer.h - many timers that mostly never fire.
 *
 * A hierarchical wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987): set and
 * clear are O(1).  Ticks are 1.024 ms; a timer fires in the first tick at or after its time.
 */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include "base/list.h"

#include <stdint.h>

enum { TIMER_LEVELS = 6, TIMER_SLOTS = 64, TIMER_TICK_SHIFT = 10 };

struct timer {
    struct list link; /* zeroed: not set */
    uint64_t    tick;
    void      (*fire)(struct timer *t);
    uint8_t     level, slot;
};

struct timers {
    uint64_t    now_tick;
    uint64_t    used[TIMER_LEVELS]; /* bit: the slot is not empty */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
    size_t      count;
};

#define TIMER_NEVER UINT64_MAX

void timers_init(struct timers *w, uint64_t now_us);
/* fire is called from timers_run().  Sets it anew when it is set already. */
void timer_set(struct timers *w, struct timer *t, uint64_t at_us);
void timer_clear(struct timers *w, struct timer *t);
/* Fires what is due. */
void timers_run(struct timers *w, uint64_t now_us);
/* No timer fires before this time (it may be early, never late); TIMER_NEVER when there is none. */
uint64_t timers_next_us(const struct timers *w);

static inline bool
timer_is_set(const struct timer *t)
{
    return t->link.next != NULL;
}

#endif
