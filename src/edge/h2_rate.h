/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_rate.h - how often something may happen: so many times at once, then at a steady rate.
 *
 * The generic cell rate algorithm (ITU-T I.371): all that is kept is the time at which the debt of
 * what has happened so far will be paid off.
 */
#ifndef EDGE_H2_RATE_H
#define EDGE_H2_RATE_H

#include "config/option.h"

struct h2_rate {
    uint64_t paid_ns; /* the same clock as now_us, in nanoseconds */
};

static inline uint64_t
h2_rate_cost_ns(const struct option_rate *limit)
{
    return limit->count ? limit->per_us * 1000 / limit->count : limit->per_us * 1000;
}

/* It happens now: was that within the limit? */
static inline bool
h2_rate_admit(struct h2_rate *r, const struct option_rate *limit, uint64_t now_us)
{
    uint64_t now_ns = now_us * 1000;

    if (r->paid_ns < now_ns)
        r->paid_ns = now_ns;
    r->paid_ns += h2_rate_cost_ns(limit);
    return r->paid_ns - now_ns <= limit->per_us * 1000;
}

/* It called for n of them: these are free. */
static inline void
h2_rate_credit(struct h2_rate *r, const struct option_rate *limit, uint64_t n)
{
    uint64_t credit_ns = n * h2_rate_cost_ns(limit);

    r->paid_ns = r->paid_ns > credit_ns ? r->paid_ns - credit_ns : 0;
}

#endif
