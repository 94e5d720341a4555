/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/metrics.c - tables, things and their blocks.
 *
 * A block is an array of numbers: each metric has a place in it, as wide as its kind needs.  What
 * is read while a worker counts may be a moment behind, and the parts of a histogram a moment
 * apart; its count is taken from its buckets, so that these two always agree.
 */
#include "observe/metrics.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/list.h"
#include "base/map.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    METRICS_OF_TABLE = 32,
    KEY_MAX = 64 * 1024,
};

/* A table that is in use. */
struct shape {
    const struct metric_table *table;
    struct list                link;
    struct list                things; /* in the order in which they came */
    struct map                 by_key;
    unsigned                   at[METRICS_OF_TABLE]; /* place of each metric in a block */
    unsigned                   values; /* of a block */
    size_t                     n_labels;
    struct metrics            *gone; /* what things that are no more have counted; NULL: none is */
};

typedef _Atomic uint64_t block_value;

/* Most of ten thousand routes are silent: they cost no array. */
struct blocks {
    _Atomic(block_value *) of[METRICS_WORKERS];
};

struct metrics {
    struct shape                *shape;
    struct list                  link;
    _Atomic uint32_t             refs;
    _Atomic uint64_t             unheld_us; /* monotonic: since when nobody holds it */
    struct slice                 key;
    struct slice                 labels[METRIC_LABELS_MAX];
    _Atomic uint64_t             there[METRICS_WORKERS / 64]; /* which blocks are, a bit for each */
    _Atomic(struct blocks *)     blocks; /* NULL until somebody counts */
    char                         text[]; /* of the key */
};

static struct list shapes = {&shapes, &shapes};

/* ------------------------------------------------------------------ shapes */

static unsigned
width_of(const struct metric *m)
{
    unsigned n = 0;

    if (m->kind == METRIC_HISTOGRAM || m->kind == METRIC_SIZES)
        return 1 + HISTOGRAM_BUCKETS; /* the sum, and the buckets */
    while (m->split && m->split->values[n])
        n++;
    return m->split ? n : 1;
}

static struct shape *
shape_find(const struct metric_table *table)
{
    list_each (link, &shapes) {
        struct shape *s = list_entry(link, struct shape, link);

        if (s->table == table)
            return s;
    }
    return NULL;
}

static struct shape *
shape_get(const struct metric_table *table)
{
    struct shape *s = shape_find(table);

    if (s || !(s = calloc(1, sizeof(*s))))
        return s;
    CHECK(table->n <= METRICS_OF_TABLE);
    s->table = table;
    list_init(&s->things);
    for (size_t i = 0; i < table->n; i++) {
        s->at[i] = s->values;
        s->values += width_of(&table->metrics[i]);
    }
    while (s->n_labels < METRIC_LABELS_MAX && table->labels[s->n_labels])
        s->n_labels++;
    list_append(&shapes, &s->link);
    return s;
}

/* ------------------------------------------------------------------ things */

/* Lengths stand before values, so that no two lists of labels make the same key. */
static void
put_key(struct text *t, const struct slice *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t length = (uint32_t) labels[i].n;

        text_put(t, slice_of((const char *) &length, sizeof(length)));
        text_put(t, labels[i]);
    }
}

static struct metrics *
thing_new(struct shape *s, const struct slice *labels, struct slice key)
{
    struct metrics *m = calloc(1, sizeof(*m) + key.n);
    const char *at;

    if (!m)
        return NULL;
    if (key.n)
        memcpy(m->text, key.at, key.n);
    m->shape = s;
    m->key = slice_of(m->text, key.n);
    at = m->text;
    for (size_t i = 0; i < s->n_labels; i++) {
        m->labels[i] = slice_of(at + sizeof(uint32_t), labels[i].n);
        at += sizeof(uint32_t) + labels[i].n;
    }
    if (!map_put(&s->by_key, m->key, m)) {
        free(m);
        return NULL;
    }
    list_append(&s->things, &m->link);
    return m;
}

static block_value *block_of(struct metrics *m, unsigned worker);

/* The next block, of worker *i or a later one; NULL: there is none. */
static const block_value *
block_next(const struct metrics *m, unsigned *i)
{
    for (; *i < METRICS_WORKERS; *i = (*i / 64 + 1) * 64) {
        uint64_t bits = atomic_load_explicit(&m->there[*i / 64], memory_order_acquire) >> *i % 64;

        if (!bits)
            continue;
        *i += (unsigned) __builtin_ctzll(bits) + 1;
        return atomic_load_explicit(&atomic_load(&m->blocks)->of[*i - 1], memory_order_acquire);
    }
    return NULL;
}

/* Nobody counts in `from` any more, and only this thread in what is gone. */
static void
keep_counts(struct metrics *from)
{
    struct shape *s = from->shape;
    const block_value *b;
    block_value *sum;

    if (!s->gone && (s->gone = calloc(1, sizeof(*s->gone))))
        s->gone->shape = s;
    sum = s->gone ? block_of(s->gone, 0) : NULL;
    for (unsigned i = 0; sum && (b = block_next(from, &i));)
        for (unsigned v = 0; v < s->values; v++)
            atomic_fetch_add_explicit(&sum[v], b[v], memory_order_relaxed);
}

static void
thing_free(struct metrics *m)
{
    struct blocks *blocks = atomic_load(&m->blocks);

    keep_counts(m);
    list_remove(&m->link);
    map_remove(&m->shape->by_key, m->key);
    for (unsigned i = 0; blocks && i < METRICS_WORKERS; i++)
        free(atomic_load_explicit(&blocks->of[i], memory_order_relaxed));
    free(blocks);
    free(m);
}

struct metrics *
metrics_get(const struct metric_table *table, const struct slice *labels)
{
    struct shape *s = shape_get(table);
    struct metrics *m = NULL;
    struct text key;

    metrics_sweep();
    if (!s)
        return NULL;
    text_init(&key, KEY_MAX);
    put_key(&key, labels, s->n_labels);
    if (!key.full) {
        m = map_get(&s->by_key, text_slice(&key));
        if (!m)
            m = thing_new(s, labels, text_slice(&key));
    }
    text_free(&key);
    return metrics_hold(m);
}

struct metrics *
metrics_hold(struct metrics *m)
{
    if (m)
        atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

/* The time is written before the reference goes: whoever sees none sees since when. */
void
metrics_release(struct metrics *m)
{
    if (!m)
        return;
    atomic_store_explicit(&m->unheld_us, clock_monotonic_us(), memory_order_relaxed);
    CHECK(atomic_fetch_sub_explicit(&m->refs, 1, memory_order_release) > 0);
}

/* Only this thread takes the first reference, so that one without any stays so. */
void
metrics_sweep(void)
{
    uint64_t now_us = clock_monotonic_us();
    static uint64_t next_us;

    if (now_us < next_us)
        return;
    next_us = now_us + METRICS_LINGER_US / 10;
    list_each (shape, &shapes)
        list_each (link, &list_entry(shape, struct shape, link)->things) {
            struct metrics *m = list_entry(link, struct metrics, link);

            if (atomic_load_explicit(&m->refs, memory_order_acquire) == 0 &&
                now_us - atomic_load_explicit(&m->unheld_us, memory_order_relaxed) >=
                    METRICS_LINGER_US)
                thing_free(m);
        }
}

/* ------------------------------------------------------------------ counting */

/* The first of all workers to count makes the array. */
static struct blocks *
blocks_get(struct metrics *m)
{
    struct blocks *now = atomic_load(&m->blocks), *made;

    if (now || !(made = calloc(1, sizeof(*made))))
        return now;
    if (atomic_compare_exchange_strong(&m->blocks, &now, made))
        return made;
    free(made);
    return now;
}

/* By the worker that is to count in it, in memory that it shares with nobody. */
static __attribute__((noinline)) block_value *
block_new(struct metrics *m, unsigned worker)
{
    size_t bytes = m->shape->values * sizeof(block_value);
    struct blocks *blocks = blocks_get(m);
    block_value *b = blocks ? aligned_alloc(CACHE_LINE,
                                            (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)
                            : NULL;

    if (!b)
        return NULL;
    for (unsigned i = 0; i < m->shape->values; i++)
        atomic_init(&b[i], 0);
    atomic_store_explicit(&blocks->of[worker], b, memory_order_release);
    atomic_fetch_or_explicit(&m->there[worker / 64], UINT64_C(1) << worker % 64,
                             memory_order_release);
    return b;
}

static block_value *
block_of(struct metrics *m, unsigned worker)
{
    struct blocks *blocks = atomic_load_explicit(&m->blocks, memory_order_acquire);
    block_value *b = blocks ? atomic_load_explicit(&blocks->of[worker], memory_order_relaxed)
                            : NULL;

    return likely(b != NULL) ? b : block_new(m, worker);
}

void
metrics_add(struct metrics *m, unsigned worker, unsigned metric, int64_t n)
{
    metrics_add_split(m, worker, metric, 0, n);
}

void
metrics_add_split(struct metrics *m, unsigned worker, unsigned metric, unsigned value, int64_t n)
{
    block_value *b = m ? block_of(m, worker) : NULL;

    if (b)
        counter_add(&b[m->shape->at[metric] + value], (uint64_t) n);
}

void
metrics_observe(struct metrics *m, unsigned worker, unsigned metric, uint64_t us)
{
    block_value *b = m ? block_of(m, worker) : NULL;

    if (!b)
        return;
    b += m->shape->at[metric];
    counter_add(&b[0], us);
    counter_add(&b[1 + histogram_bucket(us)], 1);
}

/* ------------------------------------------------------------------ reading */

bool
metrics_is_silent(const struct metrics *m)
{
    unsigned i = 0;

    return !block_next(m, &i);
}

int64_t
metrics_read(const struct metrics *m, unsigned metric, unsigned value)
{
    const block_value *b;
    uint64_t sum = 0;

    for (unsigned i = 0; (b = block_next(m, &i));)
        sum += atomic_load_explicit(&b[m->shape->at[metric] + value], memory_order_relaxed);
    return (int64_t) sum;
}

static void
add_block(struct histogram *h, const block_value *b)
{
    h->sum += atomic_load_explicit(&b[0], memory_order_relaxed);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&b[1 + i], memory_order_relaxed);

        h->count += n;
        h->buckets[i] += n;
    }
}

void
metrics_read_histogram(const struct metrics *m, unsigned metric, struct histogram *out)
{
    const block_value *b;

    *out = (struct histogram){0};
    for (unsigned i = 0; (b = block_next(m, &i));)
        add_block(out, b + m->shape->at[metric]);
}

void
metrics_each(const struct metric_table *table,
             void (*visit)(void *arg, const struct slice *labels, const struct metrics *m),
             void *arg)
{
    struct shape *s = shape_find(table);

    if (!s)
        return;
    list_each (link, &s->things) {
        const struct metrics *m = list_entry(link, struct metrics, link);

        visit(arg, m->labels, m);
    }
}

const struct metrics *
metrics_gone(const struct metric_table *table)
{
    const struct shape *s = shape_find(table);

    return s ? s->gone : NULL;
}

void
metrics_each_table(void (*visit)(void *arg, const struct metric_table *table), void *arg)
{
    list_each (link, &shapes)
        visit(arg, list_entry(link, struct shape, link)->table);
}
