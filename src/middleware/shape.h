/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/shape.h - when the next bytes may leave.  Private to shape.
 *
 * A pace is one number: the time at which the next byte is due if none had been early (the
 * "theoretical arrival time" of ITU-T I.371's generic cell rate algorithm, which is a token bucket
 * without a refill).  To take bytes is to move it by what they cost; whoever moves it past the
 * present waits for the difference.  So many workers share one exactly, without a lock, and in the
 * order in which they came; and a pace that lies in the past by a whole burst is the same as one
 * that nobody ever used.
 */
#ifndef MIDDLEWARE_SHAPE_H
#define MIDDLEWARE_SHAPE_H

#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>

struct pace_rate {
    uint64_t bytes_per_s; /* 1 and more */
    uint64_t burst_ns;    /* how much time may be made up for */
};

typedef _Atomic uint64_t pace; /* ns; 0: nobody used it yet */

/* Reserves n bytes (up to 1 GiB) and tells the monotonic time, in microseconds, at which they may
 * leave; not later than now_us: at once. */
uint64_t pace_take(pace *p, const struct pace_rate *rate, uint64_t n, uint64_t now_us);
/* The same for one of many, named by a hash (not 0).  They lie in a table of fixed size that the
 * process shares; when that is full of others, `own` serves instead. */
uint64_t pace_take_of(uint64_t hash, pace *own, const struct pace_rate *rate, uint64_t n,
                      uint64_t now_us);
/* How often that table was full. */
uint64_t pace_crowded(void);

#endif
