/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/guard.c - one guard of all its parts: what is counted when an exchange comes and goes.
 *
 * How many are in flight is counted by each worker for itself.  Only where a limit is configured
 * they are counted once more in a place that all share: a limit that each worker compared with a
 * sum would be exceeded by as many as there are workers.
 */
#include "upstream/breaker.h"
#include "upstream/budget.h"
#include "upstream/concurrency.h"

#include "base/check.h"

#include <stdlib.h>

#define RELAXED memory_order_relaxed

/* Written by one worker each. */
struct guard_line {
    _Atomic uint64_t inflight, retries, refused;
} __attribute__((aligned(64)));

struct guard {
    _Atomic uint64_t   inflight __attribute__((aligned(64))); /* of those that count in limits */
    _Atomic uint64_t   pending;
    _Atomic uint64_t   connections;
    unsigned           workers;
    struct recent      budget __attribute__((aligned(64)));
    struct breaker     breaker;
    struct concurrency concurrency;
    _Atomic uint32_t   learned; /* the limit that was last in force; 0: none was asked for */
    struct guard_line  lines[]; /* one for each worker */
};

struct guard *
guard_new(unsigned workers)
{
    size_t size = sizeof(struct guard) + workers * sizeof(struct guard_line);
    struct guard *g = aligned_alloc(_Alignof(struct guard), size);

    if (!g)
        return NULL;
    memset(g, 0, size);
    g->workers = workers;
    if (recent_init(&g->budget, workers) && breaker_init(&g->breaker, workers) &&
        concurrency_init(&g->concurrency, workers))
        return g;
    guard_free(g);
    return NULL;
}

void
guard_free(struct guard *g)
{
    if (!g)
        return;
    recent_free(&g->budget);
    breaker_free(&g->breaker);
    concurrency_free(&g->concurrency);
    free(g);
}

/* By the one worker that writes it. */
static void
count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, RELAXED) + by, RELAXED);
}

/* One more, unless that would be more than the limit; how many there are then, or 0. */
static uint64_t
admit(_Atomic uint64_t *counter, uint64_t limit)
{
    uint64_t n = atomic_load_explicit(counter, RELAXED);

    do {
        if (n >= limit)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(counter, &n, n + 1, RELAXED, RELAXED));
    return n + 1;
}

static bool
refuse(struct guard_refusal *why, const void *limit, const char *name)
{
    *why = (struct guard_refusal){REASON_SERVERS_BUSY, limit, name, 1};
    return false;
}

/* ------------------------------------------------------------------ exchanges */

/* The lower one of the configured limit and the learned one. */
static uint64_t
limit_of(const struct guard *g, const struct guard_options *o, struct guard_refusal *why)
{
    uint64_t limit = UINT64_MAX;

    if (o->breaker && o->breaker->requests) {
        limit = (uint64_t) o->breaker->requests;
        refuse(why, &o->breaker->requests, "breaker.requests");
    }
    if (o->concurrency && concurrency_limit(&g->concurrency, o->concurrency) < limit) {
        limit = concurrency_limit(&g->concurrency, o->concurrency);
        refuse(why, &o->concurrency->max, "concurrency");
    }
    return limit;
}

static bool
enter_limits(struct guard *g, const struct guard_options *o, struct guard_pass *pass,
             struct guard_refusal *why)
{
    uint64_t limit = limit_of(g, o, why), inflight;

    if (limit == UINT64_MAX)
        return true;
    inflight = admit(&g->inflight, limit);
    if (!inflight)
        return false;
    pass->limited = true;
    if (o->concurrency)
        concurrency_enter(&g->concurrency, (uint32_t) inflight);
    return true;
}

static void
leave_limits(struct guard *g, const struct guard_pass *pass)
{
    if (pass->limited)
        atomic_fetch_sub_explicit(&g->inflight, 1, RELAXED);
}

/* After the limits: a probe that they refuse would find out nothing. */
static bool
enter_breaker(struct guard *g, const struct guard_options *o, uint64_t now_us,
              struct guard_pass *pass, struct guard_refusal *why)
{
    struct breaker_pass mine;
    unsigned retry_after_s;

    if (!o->breaker)
        return true;
    if (!breaker_enter(&g->breaker, o->breaker, now_us, &mine, &retry_after_s)) {
        *why = (struct guard_refusal){REASON_CIRCUIT_OPEN, &o->breaker->error_rate,
                                      "breaker.error_rate", retry_after_s};
        leave_limits(g, pass);
        return false;
    }
    pass->probe = mine.probe;
    pass->epoch = mine.epoch;
    return true;
}

bool
guard_enter(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us,
            struct guard_pass *pass, struct guard_refusal *why)
{
    uint32_t learned = o->concurrency ? concurrency_limit(&g->concurrency, o->concurrency) : 0;

    *pass = (struct guard_pass){0};
    if (atomic_load_explicit(&g->learned, RELAXED) != learned)
        atomic_store_explicit(&g->learned, learned, RELAXED);
    if (!enter_limits(g, o, pass, why) || !enter_breaker(g, o, now_us, pass, why)) {
        count(&g->lines[worker].refused, 1);
        return false;
    }
    *why = (struct guard_refusal){0};
    pass->counted = true;
    count(&g->lines[worker].inflight, 1);
    budget_request(&g->budget, worker, now_us);
    return true;
}

static enum breaker_verdict
verdict_of(bool failed, uint64_t took_us)
{
    if (failed)
        return BREAKER_FAILED;
    return took_us ? BREAKER_ANSWERED : BREAKER_UNKNOWN;
}

void
guard_leave(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us,
            const struct guard_pass *pass, bool failed, uint64_t took_us)
{
    struct breaker_pass mine = {.probe = pass->probe, .epoch = pass->epoch};

    if (!pass->counted)
        return;
    count(&g->lines[worker].inflight, (uint64_t) -1);
    leave_limits(g, pass);
    if (o->breaker)
        breaker_leave(&g->breaker, o->breaker, worker, now_us, &mine,
                      verdict_of(failed, took_us));
    if (o->concurrency)
        concurrency_leave(&g->concurrency, o->concurrency, worker, now_us, failed, took_us);
}

/* ------------------------------------------------------------------ what is rarer */

bool
guard_pend(struct guard *g, const struct guard_options *o, struct guard_refusal *why)
{
    if (admit(&g->pending, o->breaker && o->breaker->pending ? (uint64_t) o->breaker->pending
                                                             : UINT64_MAX))
        return true;
    return refuse(why, &o->breaker->pending, "breaker.pending");
}

void
guard_unpend(struct guard *g)
{
    CHECK(atomic_fetch_sub_explicit(&g->pending, 1, RELAXED) > 0);
}

bool
guard_connect(struct guard *g, const struct guard_options *o, struct guard_refusal *why)
{
    if (admit(&g->connections, o->breaker && o->breaker->connections
                                   ? (uint64_t) o->breaker->connections
                                   : UINT64_MAX))
        return true;
    return refuse(why, &o->breaker->connections, "breaker.connections");
}

void
guard_disconnect(struct guard *g)
{
    CHECK(atomic_fetch_sub_explicit(&g->connections, 1, RELAXED) > 0);
}

bool
guard_retry(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us)
{
    if (!budget_retry(&g->budget, o->retries, worker, now_us))
        return false;
    count(&g->lines[worker].retries, 1);
    return true;
}

void
guard_look(struct guard *g, struct guard_state *state)
{
    *state = (struct guard_state){
        .breaker = breaker_words(&g->breaker),
        .pending = atomic_load_explicit(&g->pending, RELAXED),
        .connections = atomic_load_explicit(&g->connections, RELAXED),
        .limit = atomic_load_explicit(&g->learned, RELAXED),
    };
    for (unsigned w = 0; w < g->workers; w++) {
        state->inflight += atomic_load_explicit(&g->lines[w].inflight, RELAXED);
        state->retries += atomic_load_explicit(&g->lines[w].retries, RELAXED);
        state->refused += atomic_load_explicit(&g->lines[w].refused, RELAXED);
    }
}
