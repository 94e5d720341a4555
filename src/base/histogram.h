/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/histogram.h - how values are distributed, in little memory.
 *
 * Log-linear: four buckets for each power of two (as HdrHistogram with two significant bits), so
 * that a percentile is at most an eighth off, and any two histograms can be added.  Values are
 * whole numbers: microseconds, bytes.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

/* Values of 2^41 and above (25 days, 2 TiB) fall into the last. */
enum { HISTOGRAM_BUCKETS = 160 };

struct histogram {
    uint64_t count, sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value. */
static inline unsigned
histogram_bucket(uint64_t value)
{
    unsigned power, bucket;

    if (value < 4)
        return (unsigned) value;
    power = 63 - (unsigned) __builtin_clzll(value);
    bucket = (power - 1) * 4 + (unsigned) (value >> (power - 2) & 3);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The least value of the next bucket; UINT64_MAX: there is none. */
uint64_t histogram_limit(unsigned bucket);

void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *h);
/* What was added to `now` since `before`, which is an earlier state of the same. */
void histogram_since(struct histogram *now, const struct histogram *before);
/* part: 0..1; the middle of the bucket it falls into; 0 without values. */
uint64_t histogram_percentile(const struct histogram *h, double part);

#endif
