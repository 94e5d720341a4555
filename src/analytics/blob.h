/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/blob.h - tallies and lists as bytes, for the disk.
 *
 * A version, then numbers as varints of seven bits (the low ones first), then a checksum of eight
 * bytes.  What is sparse is written sparsely: a minute with ten visitors takes some 200 bytes.
 *
 *     tally  version, count of numbers, numbers, two histograms, visitors
 *            histogram: sum, n, then n times: buckets skipped, count
 *            visitors: n, then n times: registers skipped, value; or n = 2^14: all, one byte each
 *     lists  version, then for each: 1 + dimension, unseen, n, then n times: bytes of the key, key,
 *            requests, within, errors, bytes, took; at the end 0
 *
 * Reading trusts nothing: wrong bytes give false, and what was merged before them stays.
 */
#ifndef ANALYTICS_BLOB_H
#define ANALYTICS_BLOB_H

#include "analytics/period.h"
#include "base/text.h"

/* The most a tally takes, and lists of `most` entries each. */
size_t blob_tally_max(void);
size_t blob_lists_max(size_t most);

void blob_write_tally(const struct tally *t, struct text *out);
/* The first `most` of each list. */
void blob_write_lists(struct period *p, size_t most, struct text *out);

/* Added to what is there.  False: these are not the bytes that were written. */
bool blob_merge_tally(struct slice bytes, struct tally *into);
/* into: without filters.  only: this list, or DIMENSIONS: all. */
bool blob_merge_lists(struct slice bytes, enum dimension only, struct period *into);

/* For the fuzz target: appends the checksum that makes bytes right. */
void blob_seal(struct text *out);

#endif
