/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/top.c - buckets of counters, and a filter in front of them. */
#include "analytics/top.h"

#include "base/check.h"
#include "base/map.h"

#include <stdlib.h>

static size_t
stride_of(const struct top_shape *shape)
{
    return (sizeof(struct top_entry) + shape->text + 7) & ~(size_t) 7;
}

size_t
top_bytes(const struct top_shape *shape)
{
    return shape->entries / TOP_WAYS * sizeof(struct top_group) +
           shape->entries * (2 * sizeof(uint64_t) + stride_of(shape)) +
           shape->cells * sizeof(uint32_t);
}

void
top_init(struct top *t, const struct top_shape *shape, void *memory)
{
    char *at = memory;

    CHECK(shape->entries >= TOP_WAYS && (shape->entries & (shape->entries - 1)) == 0);
    CHECK((shape->cells & (shape->cells - 1)) == 0 && shape->text <= UINT16_MAX);
    CHECK(shape->cells == 0 || shape->cells >= shape->entries / TOP_WAYS);
    *t = (struct top){.shape = *shape, .stride = stride_of(shape)};
    t->buckets_mask = shape->entries / TOP_WAYS - 1;
    t->each_mask = shape->cells ? shape->cells / (t->buckets_mask + 1) - 1 : 0;
    t->cells_log2 = shape->cells ? (unsigned) __builtin_ctzll(shape->cells) : 0;
    t->groups = (void *) at;
    at += shape->entries / TOP_WAYS * sizeof(*t->groups);
    t->hashes = (void *) at;
    at += shape->entries * sizeof(*t->hashes);
    t->ranks = (void *) at;
    at += shape->entries * sizeof(*t->ranks);
    t->entries = at;
    at += shape->entries * t->stride;
    t->filter = shape->cells ? (void *) at : NULL;
}

void
top_clear(struct top *t)
{
    memset(t->groups, 0, t->shape.entries / TOP_WAYS * sizeof(*t->groups));
    memset(t->hashes, 0, t->shape.entries * sizeof(*t->hashes));
    memset(t->ranks, 0, t->shape.entries * sizeof(*t->ranks));
    if (t->filter)
        memset(t->filter, 0, t->shape.cells * sizeof(*t->filter));
    t->last = 0;
    t->filtered = t->unseen = 0;
}

static struct top_entry *
entry_at(const struct top *t, size_t i)
{
    return (void *) (t->entries + i * t->stride);
}

/* Never 0, which marks a free entry. */
static uint64_t
hash_of(struct slice key)
{
    uint64_t hash = hash_bytes(key);

    return hash ? hash : 1;
}

static size_t
bucket_of(const struct top *t, uint64_t hash)
{
    return (size_t) (hash & t->buckets_mask);
}

/* Each bucket has cells of its own: while it has room, nothing was ever counted in them, so that
 * few keys are counted exactly. */
static uint32_t *
cell_of(const struct top *t, uint64_t hash)
{
    return &t->filter[bucket_of(t, hash) * (t->each_mask + 1) + (hash >> 32 & t->each_mask)];
}

#define ONES UINT64_C(0x0101010101010101)

/* Never 0, which marks a free entry. */
static uint64_t
tag_of(uint64_t hash)
{
    return 0x80 | hash >> 57;
}

static void
set_tag(struct top *t, size_t i, uint64_t hash)
{
    uint64_t *word = &t->groups[i / TOP_WAYS].tags[i % TOP_WAYS / 8];
    unsigned shift = i % 8 * 8;

    *word = (*word & ~(UINT64_C(0xFF) << shift)) | tag_of(hash) << shift;
}

/* The index of the entry of this hash, or SIZE_MAX.  64 bits with a secret seed are the key.  A
 * byte of `same` that has its upper bit set is likely to be an equal tag. */
static size_t
find(const struct top *t, uint64_t hash)
{
    const size_t bucket = bucket_of(t, hash);
    const uint64_t wanted = tag_of(hash) * ONES;

    for (size_t word = 0; word < TOP_WAYS / 8; word++) {
        uint64_t other = t->groups[bucket].tags[word] ^ wanted;
        uint64_t same = (other - ONES) & ~other & ONES * 0x80;

        for (; same; same &= same - 1) {
            size_t i = bucket * TOP_WAYS + word * 8 + (size_t) __builtin_ctzll(same) / 8;

            if (t->hashes[i] == hash)
                return i;
        }
    }
    return SIZE_MAX;
}

/* The smallest counter of the bucket; a free one has rank 0. */
static size_t
find_weakest(struct top *t, uint64_t hash)
{
    size_t bucket = bucket_of(t, hash), first = bucket * TOP_WAYS, weakest = first;

    for (size_t i = first + 1; i < first + TOP_WAYS; i++)
        if (t->ranks[i] < t->ranks[weakest])
            weakest = i;
    t->groups[bucket].floor = t->ranks[weakest];
    return weakest;
}

static void
count(struct top_counts *sum, const struct top_counts *more)
{
    sum->requests += more->requests;
    sum->errors += more->errors;
    sum->bytes += more->bytes;
    sum->took_us += more->took_us;
}

static void
place(struct top *t, size_t i, uint64_t hash, struct slice key, const struct top_counts *counts,
      uint64_t within)
{
    struct top_entry *e = entry_at(t, i);

    CHECK(key.n <= t->shape.text);
    t->hashes[i] = hash;
    set_tag(t, i, hash);
    e->counts = *counts;
    e->within = within;
    e->round = t->round;
    e->n = (uint16_t) key.n;
    if (key.n)
        memcpy(e->text, key.at, key.n);
}

/* ------------------------------------------------------------------ counting */

/* A key that leaves the table may come back: its cell remembers what it had at most. */
static void
evict(struct top *t, size_t i)
{
    uint32_t *cell = cell_of(t, t->hashes[i]);
    uint32_t rank = t->ranks[i] < UINT32_MAX ? (uint32_t) t->ranks[i] : UINT32_MAX;

    if (rank <= *cell)
        return;
    t->filtered += rank - *cell;
    *cell = rank;
}

/* Most keys of a scan end here: counters only grow, so that what was once the smallest one is a
 * floor for all that follow. */
static bool
is_filtered(struct top *t, uint64_t hash, uint64_t requests, uint64_t floor)
{
    uint32_t *cell = cell_of(t, hash);

    if (*cell >= floor)
        return false;
    t->filtered += requests;
    *cell += (uint32_t) requests;
    return true;
}

static size_t
admit(struct top *t, uint64_t hash, struct slice key, const struct top_counts *counts)
{
    struct top_counts counted = *counts;
    uint64_t before, others = t->filtered >> t->cells_log2;
    size_t i;

    if (is_filtered(t, hash, counts->requests, t->groups[bucket_of(t, hash)].floor))
        return t->last;
    i = find_weakest(t, hash);
    if (is_filtered(t, hash, counts->requests, t->ranks[i]))
        return t->last;
    before = *cell_of(t, hash);
    if (t->hashes[i])
        evict(t, i);
    if (before > others)
        counted.requests += before - others;
    place(t, i, hash, key, &counted, before);
    t->ranks[i] = before + counts->requests;
    return i;
}

uint64_t
top_hint(const struct top *t, struct slice key)
{
    uint64_t hash = hash_of(key);
    size_t first = bucket_of(t, hash) * TOP_WAYS;

    __builtin_prefetch(&t->groups[first / TOP_WAYS]);
    __builtin_prefetch(&t->hashes[first]);
    __builtin_prefetch(&t->hashes[first + TOP_WAYS / 2]);
    __builtin_prefetch(&t->ranks[first], 1);
    __builtin_prefetch(cell_of(t, hash), 1);
    return hash;
}

void
top_add_hinted(struct top *t, struct slice key, uint64_t hint, const struct top_counts *counts)
{
    size_t i = find(t, hint);

    if (i == SIZE_MAX) {
        t->last = admit(t, hint, key, counts);
        return;
    }
    count(&entry_at(t, i)->counts, counts);
    t->ranks[i] += counts->requests;
    t->last = i;
}

void
top_add(struct top *t, struct slice key, const struct top_counts *counts)
{
    size_t i = t->last;

    if (!t->hashes[i] || !slice_eq(top_key(entry_at(t, i)), key)) {
        top_add_hinted(t, key, hash_of(key), counts);
        return;
    }
    count(&entry_at(t, i)->counts, counts);
    t->ranks[i] += counts->requests;
}

/* ------------------------------------------------------------------ merging */

void
top_merge_begin(struct top *t, uint64_t unseen)
{
    t->round++;
    t->theirs = unseen;
    t->left_out = 0;
}

static void
put_up(uint64_t *bound, uint64_t to)
{
    if (to > *bound)
        *bound = to;
}

/* An entry goes.  One that was met in this round does not come again in it; another may, and is
 * then a key that was not seen. */
static void
leave(struct top *t, const struct top_entry *e)
{
    uint64_t most = e->counts.requests + e->within;

    put_up(e->round == t->round ? &t->left_out : &t->unseen, most);
}

void
top_merge(struct top *t, struct slice key, const struct top_counts *counts, uint64_t within)
{
    uint64_t hash = hash_of(key);
    size_t i = find(t, hash);
    struct top_entry *e;

    if (i != SIZE_MAX) {
        e = entry_at(t, i);
        count(&e->counts, counts);
        e->within += within;
        e->round = t->round;
        t->ranks[i] += counts->requests;
        return;
    }
    within += t->unseen;
    i = find_weakest(t, hash);
    if (t->hashes[i] && t->ranks[i] >= counts->requests) {
        put_up(&t->left_out, counts->requests + within);
        return;
    }
    if (t->hashes[i])
        leave(t, entry_at(t, i));
    place(t, i, hash, key, counts, within);
    t->ranks[i] = counts->requests;
}

void
top_merge_end(struct top *t)
{
    for (size_t i = 0; t->theirs > 0 && i < t->shape.entries; i++)
        if (t->hashes[i] && entry_at(t, i)->round != t->round)
            entry_at(t, i)->within += t->theirs;
    t->unseen += t->theirs;
    put_up(&t->unseen, t->left_out);
    t->theirs = t->left_out = 0;
}

/* ------------------------------------------------------------------ telling */

/* The most frequent first; the same number: by key, so that lists do not jump. */
static int
compare(const void *a, const void *b)
{
    const struct top_entry *one = *(const struct top_entry *const *) a;
    const struct top_entry *two = *(const struct top_entry *const *) b;

    if (one->counts.requests != two->counts.requests)
        return one->counts.requests < two->counts.requests ? 1 : -1;
    return slice_compare(top_key(one), top_key(two));
}

size_t
top_list(const struct top *t, const struct top_entry **out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->shape.entries; i++)
        if (t->hashes[i])
            out[n++] = entry_at(t, i);
    qsort(out, n, sizeof(*out), compare);
    return n;
}

uint64_t
top_unseen(const struct top *t, const struct top_entry *const *list, size_t n, size_t most)
{
    uint64_t unseen = t->unseen;

    for (size_t i = 0; i < t->shape.cells; i++)
        if (t->filter[i] > unseen)
            unseen = t->filter[i];
    for (size_t i = most; i < n; i++)
        if (list[i]->counts.requests + list[i]->within > unseen)
            unseen = list[i]->counts.requests + list[i]->within;
    return unseen;
}
