/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/shape_pace.c - see shape.h.
 *
 * The table needs no memory of who is gone: a place whose pace lies a burst in the past says
 * nothing any more, and belongs to whoever comes next.  That a place changes hands between being
 * found and being used would need its owner to have been silent for that long; then a newcomer
 * pays for one piece that is not its own.
 */
#include "middleware/shape.h"

#include "base/check.h"

enum { SETS = 4096, WAYS = 8 };

struct place {
    _Atomic uint64_t hash;
    pace             pace;
};

static struct place table[SETS][WAYS];
static _Atomic uint64_t crowded;

/* ------------------------------------------------------------------ one */

static uint64_t
cost_ns(const struct pace_rate *rate, uint64_t n)
{
    return n * UINT64_C(1000000000) / rate->bytes_per_s;
}

/* What was not used for longer than a burst is lost. */
static uint64_t
oldest_ns(const struct pace_rate *rate, uint64_t now_us)
{
    uint64_t now_ns = now_us * 1000;

    return now_ns > rate->burst_ns ? now_ns - rate->burst_ns : 0;
}

uint64_t
pace_take(pace *p, const struct pace_rate *rate, uint64_t n, uint64_t now_us)
{
    uint64_t oldest = oldest_ns(rate, now_us), cost = cost_ns(rate, n), begin;
    uint64_t due = atomic_load_explicit(p, memory_order_relaxed);

    do
        begin = due > oldest ? due : oldest;
    while (!atomic_compare_exchange_weak_explicit(p, &due, begin + cost, memory_order_relaxed,
                                                  memory_order_relaxed));
    return (begin + 999) / 1000;
}

/* ------------------------------------------------------------------ many */

static bool
is_free(const struct place *place, uint64_t oldest)
{
    return atomic_load_explicit(&place->pace, memory_order_relaxed) <= oldest;
}

/* NULL: all places that could be its own are in use by others. */
static struct place *
find(uint64_t hash, uint64_t oldest)
{
    struct place *set = table[hash % SETS];

    for (size_t i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&set[i].hash, memory_order_relaxed) == hash)
            return &set[i];
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t before = atomic_load_explicit(&set[i].hash, memory_order_relaxed);

        if (is_free(&set[i], oldest) &&
            atomic_compare_exchange_strong_explicit(&set[i].hash, &before, hash,
                                                    memory_order_relaxed, memory_order_relaxed))
            return &set[i];
    }
    return NULL;
}

uint64_t
pace_take_of(uint64_t hash, pace *own, const struct pace_rate *rate, uint64_t n, uint64_t now_us)
{
    struct place *place = find(hash, oldest_ns(rate, now_us));

    if (!place)
        atomic_fetch_add_explicit(&crowded, 1, memory_order_relaxed);
    return pace_take(place ? &place->pace : own, rate, n, now_us);
}

uint64_t
pace_crowded(void)
{
    return atomic_load_explicit(&crowded, memory_order_relaxed);
}
