/* SPDX-License-Identifier: Apache-2.0 */
/* base/histogram.c - adding and asking log-linear histograms. */
#include "base/histogram.h"

/* The least value of a bucket. */
static uint64_t
floor_of(unsigned bucket)
{
    unsigned power = bucket / 4 + 1;

    return bucket < 4 ? bucket : (uint64_t) (4 + bucket % 4) << (power - 2);
}

uint64_t
histogram_limit(unsigned bucket)
{
    return bucket + 1 < HISTOGRAM_BUCKETS ? floor_of(bucket + 1) : UINT64_MAX;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    h->buckets[histogram_bucket(value)]++;
}

void
histogram_merge(struct histogram *into, const struct histogram *h)
{
    into->count += h->count;
    into->sum += h->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += h->buckets[i];
}

void
histogram_since(struct histogram *now, const struct histogram *before)
{
    now->count -= before->count;
    now->sum -= before->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        now->buckets[i] -= before->buckets[i];
}

/* The last bucket has no end: its beginning stands for it. */
static uint64_t
middle_of(unsigned bucket)
{
    uint64_t least = floor_of(bucket);

    if (bucket + 1 == HISTOGRAM_BUCKETS)
        return least;
    return least + (floor_of(bucket + 1) - 1 - least) / 2;
}

/* Nearest rank: the least value that is not below `part` of all. */
uint64_t
histogram_percentile(const struct histogram *h, double part)
{
    double wanted = part * (double) h->count;
    uint64_t below = 0;

    if (h->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->buckets[i];
        if (below > 0 && (double) below >= wanted)
            return middle_of(i);
    }
    return middle_of(HISTOGRAM_BUCKETS - 1);
}
