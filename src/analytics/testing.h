/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/testing.h - streams of keys for tests. */
#ifndef ANALYTICS_TESTING_H
#define ANALYTICS_TESTING_H

#include "base/clock.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* 1..n, the number r about 1/r as often as 1 (Zipf). */
static inline uint32_t
testing_zipf(struct dice *d, uint32_t n)
{
    double part = (double) (dice_next(d) >> 11) * 0x1p-53;
    double r = exp(part * log((double) n + 1));

    return r < n ? (uint32_t) r : n;
}

/* Figures as the issue states them, or in small. */
static inline bool
testing_full(void)
{
    const char *value = getenv("MAITRED_FULL");

    return value && *value == '1';
}

#endif
