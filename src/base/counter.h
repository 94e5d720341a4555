/* SPDX-License-Identifier: Apache-2.0 */
/* base/counter.h - counters that one thread writes and any reads: an addition, without a lock. */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* By the only writer; a negative n is written as its two's complement. */
static inline void
counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
