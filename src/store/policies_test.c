/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/policies_test.c - how often the queues hit, beside other policies on the same traces.
 *
 * Traces: objects asked for by a Zipf distribution, with scans of things that nobody asks for twice
 * in between, and a cache for a tenth of the objects.  MAITRED_FULL=1 prints the whole table.
 */
#include "base/clock.h"
#include "base/test.h"
#include "store/queues.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ simple policies */

static bool
nobody_stays(const struct place *p)
{
    (void) p;
    return false;
}

/* One object of the trace in the simulated cache. */
struct item {
    struct place place;
    bool         in, visited;
};

struct cache {
    struct queues queues;
    struct list   line; /* of the simple ones, the newest in front */
    struct list  *hand; /* of SIEVE */
    struct ghost *ghosts;
    struct tiny  *tiny; /* of W-TinyLFU */
};

struct policy {
    const char   *name;
    void        (*insert)(struct cache *c, struct item *i);
    void        (*hit)(struct cache *c, struct item *i);
    struct item *(*victim)(struct cache *c);
};

static void
s3_insert(struct cache *c, struct item *i)
{
    queues_insert(&c->queues, &i->place);
}

static void
s3_hit(struct cache *c, struct item *i)
{
    (void) c;
    queues_hit(&i->place);
}

static struct item *
s3_victim(struct cache *c)
{
    return container_of(queues_victim(&c->queues, nobody_stays), struct item, place);
}

static void
line_insert(struct cache *c, struct item *i)
{
    i->visited = false;
    list_push(&c->line, &i->place.link);
}

static void
no_hit(struct cache *c, struct item *i)
{
    (void) c;
    (void) i;
}

static void
lru_hit(struct cache *c, struct item *i)
{
    list_remove(&i->place.link);
    list_push(&c->line, &i->place.link);
}

static struct item *
line_victim(struct cache *c)
{
    return list_entry(list_pop_last(&c->line), struct item, place.link);
}

static void
visit(struct cache *c, struct item *i)
{
    (void) c;
    i->visited = true;
}

/* CLOCK: a second chance at the end of the line. */
static struct item *
clock_victim(struct cache *c)
{
    for (;;) {
        struct item *i = line_victim(c);

        if (!i->visited)
            return i;
        line_insert(c, i);
    }
}

/* Zhang et al., "SIEVE is simpler than LRU", NSDI 2024. */
static struct item *
sieve_victim(struct cache *c)
{
    struct item *i;

    for (;;) {
        if (c->hand == &c->line)
            c->hand = c->line.prev;
        i = list_entry(c->hand, struct item, place.link);
        c->hand = c->hand->prev;
        if (!i->visited)
            break;
        i->visited = false;
    }
    list_remove(&i->place.link);
    return i;
}

/* ------------------------------------------------------------------ W-TinyLFU */

/*
 * Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017: a
 * window of 1 % before a segmented LRU, which the more frequent of two enters; frequencies in a
 * sketch of small counters that are halved now and then.
 */
enum { SKETCH_ROWS = 4, SKETCH_ROOM = 1 << 16, SKETCH_MAX = 15 };
enum segment { WINDOW, PROBATION, PROTECTED, SEGMENTS };

struct tiny {
    struct list lists[SEGMENTS];
    size_t      count[SEGMENTS], room[SEGMENTS];
    uint8_t     sketch[SKETCH_ROWS][SKETCH_ROOM];
    size_t      added, period;
};

static struct tiny *
tiny_new(size_t room)
{
    struct tiny *t = calloc(1, sizeof(*t));

    for (unsigned i = 0; i < SEGMENTS; i++)
        list_init(&t->lists[i]);
    t->room[WINDOW] = room / 100 + 1;
    t->room[PROTECTED] = (room - t->room[WINDOW]) * 8 / 10;
    t->room[PROBATION] = room;
    t->period = room * 10;
    return t;
}

static uint8_t *
counter(struct tiny *t, unsigned row, uint32_t fingerprint)
{
    uint64_t mixed = (fingerprint + row * UINT64_C(0x9E3779B97F4A7C15)) *
                     UINT64_C(0xD6E8FEB86659FD93);

    return &t->sketch[row][mixed >> 48];
}

static unsigned
frequency(struct tiny *t, uint32_t fingerprint)
{
    unsigned least = SKETCH_MAX;

    for (unsigned row = 0; row < SKETCH_ROWS; row++)
        if (*counter(t, row, fingerprint) < least)
            least = *counter(t, row, fingerprint);
    return least;
}

static void
count(struct tiny *t, uint32_t fingerprint)
{
    for (unsigned row = 0; row < SKETCH_ROWS; row++)
        if (*counter(t, row, fingerprint) < SKETCH_MAX)
            ++*counter(t, row, fingerprint);
    if (++t->added % t->period)
        return;
    for (size_t i = 0; i < sizeof(t->sketch); i++)
        ((uint8_t *) t->sketch)[i] /= 2;
}

static void
tiny_leave(struct tiny *t, struct item *i)
{
    list_remove(&i->place.link);
    t->count[i->place.queue]--;
}

static void
tiny_enter(struct tiny *t, enum segment which, struct item *i)
{
    i->place.queue = (uint8_t) which;
    list_push(&t->lists[which], &i->place.link);
    t->count[which]++;
}

static struct item *
last_of(struct tiny *t, enum segment which)
{
    return list_entry(t->lists[which].prev, struct item, place.link);
}

static void
tiny_insert(struct cache *c, struct item *i)
{
    struct tiny *t = c->tiny;

    count(t, i->place.fingerprint);
    tiny_enter(t, WINDOW, i);
    /* Only while the cache is not full yet. */
    if (t->count[WINDOW] > t->room[WINDOW]) {
        i = last_of(t, WINDOW);
        tiny_leave(t, i);
        tiny_enter(t, PROBATION, i);
    }
}

static void
tiny_hit(struct cache *c, struct item *i)
{
    struct tiny *t = c->tiny;
    enum segment to = i->place.queue == WINDOW ? WINDOW : PROTECTED;

    count(t, i->place.fingerprint);
    tiny_leave(t, i);
    tiny_enter(t, to, i);
    if (t->count[PROTECTED] > t->room[PROTECTED]) {
        i = last_of(t, PROTECTED);
        tiny_leave(t, i);
        tiny_enter(t, PROBATION, i);
    }
}

static struct item *
tiny_victim(struct cache *c)
{
    struct tiny *t = c->tiny;
    struct item *comes, *goes;

    if (t->count[WINDOW] < t->room[WINDOW] || !t->count[PROBATION]) {
        goes = last_of(t, t->count[PROBATION] ? PROBATION : WINDOW);
        tiny_leave(t, goes);
        return goes;
    }
    comes = last_of(t, WINDOW);
    goes = last_of(t, PROBATION);
    if (frequency(t, comes->place.fingerprint) <= frequency(t, goes->place.fingerprint)) {
        tiny_leave(t, comes);
        return comes;
    }
    tiny_leave(t, goes);
    tiny_leave(t, comes);
    tiny_enter(t, PROBATION, comes);
    return goes;
}

static const struct policy policies[] = {
    {"S3-FIFO", s3_insert, s3_hit, s3_victim},
    {"LRU", line_insert, lru_hit, line_victim},
    {"FIFO", line_insert, no_hit, line_victim},
    {"CLOCK", line_insert, visit, clock_victim},
    {"SIEVE", line_insert, visit, sieve_victim},
    {"W-TinyLFU", tiny_insert, tiny_hit, tiny_victim},
};

/* ------------------------------------------------------------------ traces */

/* Of a million requests, `scanned` are for things that nobody asks for twice, in runs. */
struct trace {
    const char *name;
    uint32_t    objects, requests, scanned;
    double      skew;
};

static const struct trace traces[] = {
    {"zipf 0.9", 50000, 500000, 0, 0.9},
    {"zipf 0.9, 20 % scans", 50000, 500000, 200000, 0.9},
    {"zipf 0.9, 50 % scans", 50000, 500000, 500000, 0.9},
    {"zipf 0.7, 20 % scans", 50000, 500000, 200000, 0.7},
    {"zipf 1.1, 20 % scans", 50000, 500000, 200000, 1.1},
};

enum { SCAN_RUN = 2000, WARM_SHARE = 5 };

/* (1 - x) to the power of s, x at most a half: the binomial series, without a library for it. */
static double
power(double x, double s)
{
    double term = 1, sum = 1;

    for (int k = 0; k < 60; k++)
        sum += term *= (s - k) / (k + 1) * -x;
    return sum;
}

/* Sums of 1/i^skew. */
static double *
cumulated(const struct trace *t)
{
    double *sums = malloc(t->objects * sizeof(*sums)), weight = 1, sum = 1;

    sums[0] = 1;
    for (uint32_t i = 1; i < t->objects; i++) {
        weight *= power(1.0 / (i + 1), t->skew);
        sums[i] = sum += weight;
    }
    return sums;
}

static uint32_t
draw(const struct trace *t, const double *sums, struct dice *dice)
{
    double x = (double) (dice_next(dice) >> 11) * 0x1p-53 * sums[t->objects - 1];
    uint32_t low = 0, high = t->objects - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (sums[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The whole trace as numbers of objects. */
static uint32_t *
make_trace(const struct trace *t)
{
    uint32_t *numbers = malloc(t->requests * sizeof(*numbers)), fresh = t->objects;
    double *sums = cumulated(t);
    struct dice dice;

    dice_init(&dice, 42);
    for (uint32_t i = 0; i < t->requests; i++) {
        /* A run begins so often that it makes up its share. */
        bool scans = (uint64_t) (i / SCAN_RUN * 7919 % 1000) * 1000 < t->scanned;

        numbers[i] = scans ? fresh++ : draw(t, sums, &dice);
    }
    free(sums);
    return numbers;
}

/* Share of hits among all requests but the first fifth. */
static double
replay(const struct policy *p, const struct trace *t, const uint32_t *numbers)
{
    uint32_t room = t->objects / 10, used = 0, hits = 0, counted = 0;
    struct item *items = calloc(t->objects + t->requests, sizeof(*items));
    struct cache c = {.hand = &c.line, .ghosts = calloc(16384, sizeof(struct ghost))};

    list_init(&c.line);
    queues_init(&c.queues);
    queues_set_ghosts(&c.queues, c.ghosts, 16384);
    c.tiny = tiny_new(room);
    for (uint32_t i = 0; i < t->requests; i++) {
        struct item *item = &items[numbers[i]];

        counted += i >= t->requests / WARM_SHARE;
        hits += item->in && i >= t->requests / WARM_SHARE;
        if (item->in) {
            p->hit(&c, item);
            continue;
        }
        if (used < room)
            used++;
        else
            p->victim(&c)->in = false;
        item->place = (struct place){.fingerprint = numbers[i] + 1, .units = 1};
        item->in = true;
        p->insert(&c, item);
    }
    free(c.ghosts);
    free(c.tiny);
    free(items);
    return (double) hits * 100 / counted;
}

TEST(more_hits_than_lru_by_five_points)
{
    size_t traces_n = getenv("MAITRED_FULL") ? countof(traces) : 2;
    double hits[countof(policies)];

    for (size_t i = 0; i < traces_n; i++) {
        uint32_t *numbers = make_trace(&traces[i]);

        printf("# %s:", traces[i].name);
        for (size_t k = 0; k < countof(policies); k++) {
            hits[k] = replay(&policies[k], &traces[i], numbers);
            printf(" %s %.1f", policies[k].name, hits[k]);
        }
        printf("\n");
        free(numbers);
        EXPECT(hits[0] >= hits[1] + 5);
    }
}
