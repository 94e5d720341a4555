/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/load.h - how busy a target is, and when to count them all again.  Private to the room.
 *
 * Who is only warming up has a part of its weight: lb_fits() already leaves it out of most
 * questions, which keeps its share while everybody is idle; under load an empty newcomer would
 * still win each question that it is part of, so its load counts against that part of the weight.
 */
#ifndef BALANCE_LOAD_H
#define BALANCE_LOAD_H

#include "balance/policy.h"

/* Who has work in hand but never answered counts as slower than anybody who did. */
#define LB_UNPROVED_US 1e12

/* weight * share: at most 32 bits. */
static inline uint32_t
lb_weight_now(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    uint16_t share = atomic_load_explicit(&set->targets[i]->share, memory_order_relaxed);

    return set->weights[i] * (ask->any_share ? LB_SHARE_FULL : share);
}

/* What `inflight` counts for: with the one to be placed, but an idle one is as good as any other
 * idle one, whatever its weight: otherwise light load would all go to the heaviest. */
static inline uint64_t
lb_work(uint32_t inflight)
{
    return inflight ? inflight + 1ull : 0;
}

/* Time that work for it would wait, by what answers took, for its weight.  `measured_us` is 0 when
 * it never answered: then it gets one piece of work at once, and more when that is answered. */
double lb_time_load(const struct lb_set *set, const struct lb_ask *ask, size_t i,
                    uint32_t measured_us);

/*
 * Counting all targets costs O(n), so it is done once in n/16 picks, which keeps a pick at O(1),
 * and after 100 ms when there are few picks.  Groups below 32 are counted each time.
 */
struct lb_census {
    _Atomic uint64_t picks;
    _Atomic uint64_t counted_us;
    uint64_t         mask; /* a census when none of these bits of `picks` is set */
};

void lb_census_init(struct lb_census *c, size_t n);

/* True when it is time to count; *since is how many picks ago the last one was. */
static inline bool
lb_census_due(struct lb_census *c, uint64_t now_us, uint64_t *since)
{
    uint64_t picks = atomic_fetch_add_explicit(&c->picks, 1, memory_order_relaxed);
    uint64_t counted_us = atomic_load_explicit(&c->counted_us, memory_order_relaxed);

    *since = picks & c->mask;
    /* Another worker's clock may be a little ahead. */
    if (*since && (now_us < counted_us || now_us - counted_us < 100000))
        return false;
    atomic_store_explicit(&c->counted_us, now_us, memory_order_relaxed);
    return true;
}

#endif
