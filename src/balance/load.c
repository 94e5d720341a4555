/* SPDX-License-Identifier: Apache-2.0 */
/* balance/load.c - measurements, taken and faded. */
#include "balance/load.h"

/* A measurement loses half of what it says in 2^13 ms, which is e-fold in 11.8 s. */
enum {
    HALF_LIFE_BITS = 13,
    STEP_MS = 128, /* of fading */
    KEPT_ALL = 1 << 16,
    AVERAGE_KEPT = KEPT_ALL / 16 * 15,
    CENSUS_SHARE = 16,
    CLOCKS_DIFFER_MS = 60000,
};

/* value * 2^(-age / half-life), straight lines between the halves: at most 6 % too high. */
static uint32_t
fade(uint32_t value, uint32_t age_ms)
{
    uint32_t halves = age_ms >> HALF_LIFE_BITS, rest = age_ms & ((1u << HALF_LIFE_BITS) - 1);
    uint32_t from;

    if (halves >= 32)
        return 0;
    from = value >> halves;
    return from - (uint32_t) ((uint64_t) (from / 2) * rest >> HALF_LIFE_BITS);
}

/* Since the last observation; 0 when that is a little in the future: workers' clocks differ. */
static uint32_t
age_ms(const struct lb_target *t, uint64_t now_us)
{
    uint32_t age = (uint32_t) (now_us / 1000) -
                   atomic_load_explicit(&t->observed_ms, memory_order_relaxed);

    return age > UINT32_MAX - CLOCKS_DIFFER_MS ? 0 : age;
}

/* From the old value towards the sample; `kept` of the old one stays, of KEPT_ALL. */
static uint32_t
blend(uint32_t old_us, uint32_t took_us, uint32_t kept)
{
    return (uint32_t) (((uint64_t) old_us * kept + (uint64_t) took_us * (KEPT_ALL - kept)) /
                       KEPT_ALL);
}

/*
 * The peak goes up at once, and down by as much as the old value has faded, as in Finagle's
 * PeakEwma.  That is done in steps of time: each step rounds down, and thousands in a second would
 * round everything away.  The average keeps its old value for 15 of 16 parts, or less when that has
 * faded.
 */
void
lb_observe(struct lb_target *t, uint32_t took_us, uint64_t now_us)
{
    uint32_t average_us = atomic_load_explicit(&t->average_us, memory_order_relaxed);
    uint32_t peak_us = atomic_load_explicit(&t->peak_us, memory_order_relaxed);
    uint32_t age = age_ms(t, now_us), kept = fade(KEPT_ALL, age);

    took_us = took_us ? took_us : 1; /* 0 means not known */
    average_us = average_us ? blend(average_us, took_us, kept < AVERAGE_KEPT ? kept : AVERAGE_KEPT)
                            : took_us;
    atomic_store_explicit(&t->average_us, average_us, memory_order_relaxed);
    if (took_us < peak_us && age < STEP_MS)
        return;
    peak_us = took_us < peak_us ? blend(peak_us, took_us, kept) : took_us;
    atomic_store_explicit(&t->peak_us, peak_us, memory_order_relaxed);
    atomic_store_explicit(&t->observed_ms, (uint32_t) (now_us / 1000), memory_order_relaxed);
}

double
lb_time_load(const struct lb_set *set, const struct lb_ask *ask, size_t i, uint32_t measured_us)
{
    const struct lb_target *t = set->targets[i];
    uint32_t inflight = atomic_load_explicit(&t->inflight, memory_order_relaxed);
    double weight = lb_weight_now(set, ask, i), took_us;

    if (measured_us == 0 && inflight == 0)
        return 0;
    took_us = measured_us ? fade(measured_us, age_ms(t, ask->now_us)) : LB_UNPROVED_US;
    return took_us * (inflight + 1.0) / weight;
}

void
lb_census_init(struct lb_census *c, size_t n)
{
    uint64_t every = 1;

    while (every * 2 * CENSUS_SHARE <= n)
        every *= 2;
    *c = (struct lb_census){.mask = every - 1};
}
