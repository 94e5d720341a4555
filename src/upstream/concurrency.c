/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/concurrency.c - the limit that follows latency. */
#include "upstream/concurrency.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

#define RELAXED memory_order_relaxed

enum {
    START = 20,             /* the limit as long as nothing is known */
    WINDOW_US = 100000,     /* between two looks, or as long as an answer takes */
    WINDOW_MAX_US = 5000000,
    SAMPLES = 10,           /* fewer say too little: the window goes on ... */
    PATIENCE_US = 1000000,  /* ... for at most so long */
    MEASURE_US = 30000000,  /* after so long the best latency is measured anew, ... */
    UNSURE_US = 1000000,    /* ... or after so long when the last time showed a much better one */
    LOST_SHARE = 10,        /* one in so many without an answer is too much load as well */
};

static const struct option concurrency_options[] = {
    {"max", &option_int, offsetof(struct concurrency_config, max), .preset = "1000", .min = 1,
     .max = 1000000, .doc = "The limit is never above this."},
    {"min", &option_int, offsetof(struct concurrency_config, min), .preset = "4", .min = 1,
     .max = 1000000, .doc = "The limit is never below this."},
    {"tolerance", &option_percent, offsetof(struct concurrency_config, tolerance),
     .preset = "150%", .min = 1000000, .max = 10000000,
     .doc = "Up to how much of its best latency the group may take before the limit falls: `150%` "
            "is half as much again."},
    {NULL},
};

static bool
check_concurrency(struct config_bind *b, void *object)
{
    const struct concurrency_config *c = object;

    if (c->min > c->max)
        return config_bind_error(b, &c->min, NULL, "`min` %lld is above `max` %lld",
                                 (long long) c->min, (long long) c->max);
    return true;
}

const struct option_object concurrency_object = {
    .name = "concurrency",
    .doc = "A limit of exchanges in flight to the group that is learned from its latency: what "
           "is above it gets 503 at once instead of making everybody wait.",
    .size = sizeof(struct concurrency_config),
    .options = concurrency_options,
    .shorthand = "max",
    .check = check_concurrency,
};

bool
concurrency_init(struct concurrency *c, unsigned workers)
{
    size_t size = workers * sizeof(c->lines[0]);

    *c = (struct concurrency){.workers = workers, .learned = START, .measure_after_us = UNSURE_US};
    c->lines = aligned_alloc(_Alignof(struct concurrency_line), size);
    if (c->lines)
        memset(c->lines, 0, size);
    return c->lines != NULL;
}

void
concurrency_free(struct concurrency *c)
{
    free(take(&c->lines));
}

static double
within(const struct concurrency_config *config, double limit)
{
    return fmin(fmax(limit, (double) config->min), (double) config->max);
}

uint32_t
concurrency_limit(const struct concurrency *c, const struct concurrency_config *config)
{
    uint32_t limit = atomic_load_explicit(&c->limit, RELAXED);

    return (uint32_t) within(config, limit ? limit : START);
}

/* Most of the time it only reads: two that write at once lose the lesser one at worst. */
void
concurrency_enter(struct concurrency *c, uint32_t inflight)
{
    if (inflight > atomic_load_explicit(&c->peak, RELAXED))
        atomic_store_explicit(&c->peak, inflight, RELAXED);
}

/* ------------------------------------------------------------------ learning */

static struct concurrency_counts
counts_of(const struct concurrency *c)
{
    struct concurrency_counts sum = {0};

    for (unsigned w = 0; w < c->workers; w++) {
        sum.answers += atomic_load_explicit(&c->lines[w].answers, RELAXED);
        sum.took_us += atomic_load_explicit(&c->lines[w].took_us, RELAXED);
        sum.lost += atomic_load_explicit(&c->lines[w].lost, RELAXED);
    }
    return sum;
}

static void
go_on(struct concurrency *c, enum concurrency_phase phase, uint64_t now_us)
{
    c->phase = phase;
    c->phase_us = now_us;
}

/* What the latency at its best is, as long as the group is not at its limit: lower values are
 * believed soon, higher ones slowly, for they may be a queue that is building up. */
static void
follow_best(struct concurrency *c, double took_us, bool busy)
{
    if (c->best_us == 0)
        c->best_us = took_us;
    else if (took_us < c->best_us)
        c->best_us += (took_us - c->best_us) / 2;
    else if (!busy)
        c->best_us += (took_us - c->best_us) / 64;
}

static void
follow(struct concurrency *c, const struct concurrency_config *config,
       const struct concurrency_counts *w, bool busy)
{
    double took_us = w->answers ? (double) w->took_us / (double) w->answers : 0;
    double tolerated_us, gradient;

    if (w->lost * LOST_SHARE > w->answers + w->lost) {
        c->learned = within(config, c->learned * 0.9);
        return;
    }
    if (took_us == 0)
        return;
    follow_best(c, took_us, busy);
    tolerated_us = c->best_us * (double) config->tolerance / 1e6;
    gradient = fmax(0.5, fmin(1, tolerated_us / took_us));
    /* A limit that nobody reaches is not known to be borne: it may fall, but not rise. */
    if (busy || gradient < 1)
        c->learned = within(config, c->learned * gradient + (busy ? sqrt(c->learned) / 2 : 0));
}

/* From a limit that is far too high, without_queue() does not get below the capacity at once. */
static void
measure(struct concurrency *c, const struct concurrency_counts *w)
{
    double took_us = (double) w->took_us / (double) (w->answers ? w->answers : 1);

    if (w->answers < SAMPLES)
        return;
    c->measure_after_us = took_us < c->best_us * 0.9 ? UNSURE_US : MEASURE_US;
    c->best_us = took_us;
}

/* One window's counts. */
static void
learn(struct concurrency *c, const struct concurrency_config *config, uint64_t now_us,
      const struct concurrency_counts *w, uint32_t peak)
{
    bool busy = (double) peak * 2 >= c->learned;

    switch (c->phase) {
    case CONCURRENCY_FOLLOWING:
        follow(c, config, w, busy);
        if (!busy) /* what it takes now is its best */
            c->phase_us = now_us;
        else if (now_us - c->phase_us >= c->measure_after_us)
            go_on(c, CONCURRENCY_DRAINING, now_us);
        break;
    case CONCURRENCY_DRAINING: go_on(c, CONCURRENCY_MEASURING, now_us); break;
    case CONCURRENCY_MEASURING:
        measure(c, w);
        go_on(c, CONCURRENCY_FOLLOWING, now_us);
        break;
    }
}

/* So many that none of them queues: where the limit has settled, latency is `tolerance` times the
 * best and so is the number in flight; a third more for what the root adds. */
static double
without_queue(const struct concurrency *c, const struct concurrency_config *config)
{
    return c->learned / ((double) config->tolerance / 1e6 * 4 / 3);
}

static uint64_t
next_look(const struct concurrency *c, const struct concurrency_counts *w)
{
    double took_us = w->answers ? (double) w->took_us / (double) w->answers : c->best_us;

    return (uint64_t) fmin(fmax(took_us, WINDOW_US), WINDOW_MAX_US);
}

/* When it is time for the next look. */
static uint64_t
look(struct concurrency *c, const struct concurrency_config *config, uint64_t now_us)
{
    struct concurrency_counts sum = counts_of(c), w = sum;
    double limit;

    if (!c->window_us)
        c->window_us = c->phase_us = now_us;
    w.answers -= c->before.answers;
    w.took_us -= c->before.took_us;
    w.lost -= c->before.lost;
    if (w.answers + w.lost < SAMPLES && now_us - c->window_us < PATIENCE_US)
        return now_us + WINDOW_US;
    c->before = sum;
    c->window_us = now_us;
    learn(c, config, now_us, &w, atomic_exchange_explicit(&c->peak, 0, RELAXED));
    limit = c->phase == CONCURRENCY_FOLLOWING ? c->learned : without_queue(c, config);
    atomic_store_explicit(&c->limit, (uint32_t) within(config, limit), RELAXED);
    return now_us + next_look(c, &w);
}

/* Who wins the exchange of due_us looks alone: what the fields of the last one say was published
 * with the due_us that is now taken. */
void
concurrency_leave(struct concurrency *c, const struct concurrency_config *config, unsigned worker,
                  uint64_t now_us, bool failed, uint64_t took_us)
{
    struct concurrency_line *l = &c->lines[worker];
    uint64_t due_us = atomic_load_explicit(&c->due_us, RELAXED);

    if (took_us && !failed) {
        atomic_store_explicit(&l->answers, l->answers + 1, RELAXED);
        atomic_store_explicit(&l->took_us, l->took_us + took_us, RELAXED);
    } else if (failed && !took_us) {
        atomic_store_explicit(&l->lost, l->lost + 1, RELAXED);
    }
    if (now_us < due_us || !atomic_compare_exchange_strong(&c->due_us, &due_us, UINT64_MAX))
        return;
    atomic_store(&c->due_us, look(c, config, now_us));
}
