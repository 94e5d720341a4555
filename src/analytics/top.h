/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/top.h - the most frequent of very many keys, in a table that does not grow.
 *
 * Space-Saving (Metwally, Agrawal, El Abbadi 2005) keeps k counters and lets a new key take over
 * the smallest one with its count.  Under a scan, millions of keys that come once, that fills the
 * table with rubbish and gives it high counts.  So there is a filter in front (Homem and Carvalho,
 * "Finding top-k elements in data streams", 2010): a key that is not in the table counts in a cell
 * that it shares with others, and gets in when the cell has as much as the smallest counter.  Of
 * what the cell holds then, the mean of all cells is taken to be others' (as Count-Mean-Min does,
 * Deng and Rafiei 2007), the rest its own.
 *
 * The table is one of buckets, as in a processor's cache: a key can only stand in its bucket, and
 * the smallest counter is looked for there, among TOP_WAYS that lie side by side.  No heap, no
 * list, and a few lines of memory for each record.  Eight bits of each hash lie together in two
 * words, where one comparison finds them (as in Swiss tables, Kulukundis 2017).
 *
 * A table without filter collects other tables' lists (Agarwal et al., "Mergeable Summaries",
 * 2012): minutes into an hour.
 *
 * Errors   what is told of a key is at most `within` off; a key that is not there had at most
 *          `unseen`.
 * Memory   all of it given by the caller.  Threads: one at a time.
 */
#ifndef ANALYTICS_TOP_H
#define ANALYTICS_TOP_H

#include "base/slice.h"

enum { TOP_WAYS = 16 };

struct top_shape {
    size_t entries; /* a power of two, TOP_WAYS or more */
    size_t cells;   /* of the filter, a power of two, at least entries / TOP_WAYS; 0: no filter */
    size_t text;    /* bytes of a key at most, below 65536 */
};

struct top_counts {
    uint64_t requests, errors, bytes, took_us;
};

struct top_entry {
    struct top_counts counts;
    uint64_t within; /* counts.requests may be so much too high or too low */
    uint32_t round;  /* of merging, when it was last met */
    uint16_t n;
    char     text[];
};

/* What is looked at first of a bucket. */
struct top_group {
    uint64_t tags[TOP_WAYS / 8]; /* a byte for each entry; 0: free */
    uint64_t floor;              /* no entry has a lower rank */
};

struct top {
    struct top_shape shape;
    uint64_t   buckets_mask, each_mask; /* of buckets; of the cells of each bucket */
    unsigned   cells_log2;
    struct top_group *groups;
    uint64_t  *hashes;   /* 0: free */
    uint64_t  *ranks;    /* what is compared: upper bounds where there is a filter, else counts */
    uint32_t  *filter;   /* NULL: none */
    char      *entries;  /* of struct top_entry, `stride` bytes each */
    size_t     stride;
    size_t     last;     /* entry that was counted last: keys come in runs */
    uint64_t   filtered; /* sum of all cells */
    uint64_t   unseen;   /* no key that is absent had more; only merging writes it */
    uint64_t   theirs;   /* unseen of what is being merged */
    uint64_t   left_out; /* what a key of that list had at most that did not stay */
    uint32_t   round;
};

size_t top_bytes(const struct top_shape *shape);
/* memory: zeroed, aligned for any type, top_bytes() of it. */
void top_init(struct top *t, const struct top_shape *shape, void *memory);
void top_clear(struct top *t);

/* Into a table with a filter.  key: at most shape.text bytes; counts: of fewer than 2^32
 * requests. */
void top_add(struct top *t, struct slice key, const struct top_counts *counts);
/* The same in two steps: the memory that the second will need is on its way after the first, so
 * that several tables need not wait for it one after the other. */
uint64_t top_hint(const struct top *t, struct slice key);
void top_add_hinted(struct top *t, struct slice key, uint64_t hint,
                    const struct top_counts *counts);

/* Into a table without filter: another one's list, between begin and end.  unseen: the other's. */
void top_merge_begin(struct top *t, uint64_t unseen);
void top_merge(struct top *t, struct slice key, const struct top_counts *counts, uint64_t within);
void top_merge_end(struct top *t);

/* Puts all entries into out (shape.entries of them at most), the most frequent first; how many. */
size_t top_list(const struct top *t, const struct top_entry **out);
/* No key beyond the first `most` of that list had more than this. */
uint64_t top_unseen(const struct top *t, const struct top_entry *const *list, size_t n,
                    size_t most);

static inline struct slice
top_key(const struct top_entry *e)
{
    return slice_of(e->text, e->n);
}

#endif
