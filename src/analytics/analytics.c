/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/analytics.c - the door: on, off, records in, answers out. */
#include "analytics/analytics.h"

#include "analytics/ask.h"
#include "base/check.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdio.h>
#include <stdlib.h>

/* The control thread's, but for `open`.  `gate` keeps questions, which are answered on other
 * threads, away from a keeper that comes or goes. */
static struct {
    pthread_rwlock_t         gate;
    struct keeper           *keeper; /* NULL: off */
    struct rings            *rings;  /* made once: a worker may be writing into one at any time */
    struct rings *_Atomic    open;   /* the same while it is on */
    char                    *folder;
    unsigned                 workers;
    struct analytics_config  config; /* as the keeper has it; database: a copy */
    bool                     stuck;  /* its thread hangs; nothing can be done any more */
} analytics = {.gate = PTHREAD_RWLOCK_INITIALIZER};

/* ------------------------------------------------------------------ records */

bool
analytics_is_on(void)
{
    return atomic_load_explicit(&analytics.open, memory_order_relaxed) != NULL;
}

void
analytics_record(unsigned worker, const struct analytics_fact *fact)
{
    struct rings *rings = atomic_load_explicit(&analytics.open, memory_order_acquire);
    struct packed *to;

    if (!rings || worker >= rings->n)
        return;
    to = ring_reserve(&rings->ring[worker], PACKED_MAX);
    if (to && ring_commit(&rings->ring[worker], packed_write(fact, to)))
        keeper_wake();
}

/* ------------------------------------------------------------------ on and off */

static bool
copy_config(const struct analytics_config *config)
{
    char *path = NULL;

    if (slice_is_present(config->database)) {
        path = strndup(config->database.at, config->database.n);
        if (!path)
            return false;
    }
    free((char *) analytics.config.database.at);
    analytics.config = *config;
    analytics.config.database = path ? slice_str(path) : (struct slice){0};
    return true;
}

static bool
same_sizes(const struct analytics_config *a, const struct analytics_config *b)
{
    return a->memory == b->memory && a->top == b->top && a->keep_us == b->keep_us;
}

static bool
turn_off(void)
{
    if (!analytics.keeper)
        return true;
    atomic_store_explicit(&analytics.open, NULL, memory_order_release);
    if (!keeper_stop(analytics.keeper)) {
        analytics.stuck = true;
        return false;
    }
    keeper_free(take(&analytics.keeper));
    return true;
}

static bool
make_rings(size_t room)
{
    if (!analytics.rings)
        analytics.rings = keeper_rings_new(analytics.workers, room);
    if (!analytics.rings)
        log_error("analytics: out of memory");
    return analytics.rings != NULL;
}

static bool
turn_on(const struct analytics_config *config)
{
    struct shares shares;

    if (!keeper_share(config->memory, config->top, analytics.workers, &shares)) {
        log_error("analytics: `memory` is too little for %u workers; nothing is counted",
                  analytics.workers);
        return false;
    }
    if (!make_rings(shares.ring) || !copy_config(config))
        return false;
    shares.ring = analytics.rings->ring[0].room;
    analytics.keeper = keeper_new(config, &shares, analytics.rings, analytics.folder);
    if (!analytics.keeper)
        return false;
    if (!keeper_start(analytics.keeper)) {
        keeper_free(take(&analytics.keeper));
        return false;
    }
    atomic_store_explicit(&analytics.open, analytics.rings, memory_order_release);
    return true;
}

static bool
change(const struct analytics_config *config)
{
    if (analytics.stuck)
        return false;
    if (!config || !config->enabled)
        return turn_off();
    if (analytics.keeper && same_sizes(config, &analytics.config)) {
        keeper_use_countries(analytics.keeper, config);
        return copy_config(config);
    }
    return turn_off() && turn_on(config);
}

/* ------------------------------------------------------------------ what may block */

/* On a thread for that, where there is a fiber that can wait. */
static void
aside(void (*work)(void *arg), void *arg)
{
    if (loop_current && fiber_self())
        offload(work, arg);
    else
        work(arg);
}

struct change {
    const struct analytics_config *config;
    bool                           good;
};

static void
do_change(void *arg)
{
    struct change *c = arg;

    pthread_rwlock_wrlock(&analytics.gate);
    c->good = change(c->config);
    pthread_rwlock_unlock(&analytics.gate);
}

bool
analytics_change(const struct analytics_config *config)
{
    struct change c = {config, false};

    aside(do_change, &c);
    return c.good;
}

bool
analytics_start(const struct analytics_config *config, const char *folder, unsigned workers)
{
    CHECK(!analytics.keeper && workers > 0);
    analytics.workers = workers;
    free(analytics.folder);
    analytics.folder = folder ? strdup(folder) : NULL;
    return analytics_change(config);
}

void
analytics_stop(void)
{
    if (!analytics_change(NULL))
        return;
    keeper_rings_free(take(&analytics.rings));
    free(take(&analytics.folder));
    free((char *) analytics.config.database.at);
    analytics.config = (struct analytics_config){0};
}

/* ------------------------------------------------------------------ questions */

typedef bool ask_f(struct keeper *k, const struct question *q, struct text *out, char why[200]);

struct asking {
    ask_f          *ask;
    struct question q;
    struct text    *out;
    char           *why;
    bool            good;
};

static void
do_ask(void *arg)
{
    struct asking *a = arg;

    pthread_rwlock_rdlock(&analytics.gate);
    if (analytics.keeper && !analytics.stuck) {
        if (a->q.top == 0 || a->q.top > analytics.keeper->top)
            a->q.top = analytics.keeper->top;
        a->good = a->ask(analytics.keeper, &a->q, a->out, a->why);
    } else {
        snprintf(a->why, 200, "analytics are off");
    }
    pthread_rwlock_unlock(&analytics.gate);
}

bool
analytics_ask(int64_t from_s, int64_t to_s, struct slice what, size_t top, struct text *out,
              char why[200])
{
    struct asking a = {ask_lists, {from_s, to_s, 0, DIMENSIONS, top}, out, why, false};

    if (slice_is_present(what)) {
        a.q.what = dimension_find(what);
        if (a.q.what == DIMENSIONS) {
            snprintf(why, 200, "there is no list `%.*s`", (int) (what.n < 40 ? what.n : 40),
                     what.at);
            return false;
        }
    }
    aside(do_ask, &a);
    return a.good;
}

bool
analytics_series(int64_t from_s, int64_t to_s, int64_t step_s, struct text *out, char why[200])
{
    struct asking a = {ask_series, {from_s, to_s, step_s, DIMENSIONS, 0}, out, why, false};

    aside(do_ask, &a);
    return a.good;
}

/* ------------------------------------------------------------------ itself */

struct state {
    bool     on, wrong;
    uint64_t records, missed, bytes;
    char     fault[200];
};

static void
do_look(void *arg)
{
    struct state *s = arg;

    pthread_rwlock_rdlock(&analytics.gate);
    s->on = analytics.keeper != NULL;
    for (unsigned i = 0; analytics.rings && i < analytics.rings->n; i++) {
        s->records += atomic_load_explicit(&analytics.rings->ring[i].taken, memory_order_relaxed);
        s->missed += atomic_load_explicit(&analytics.rings->ring[i].missed, memory_order_relaxed);
    }
    if (analytics.stuck) {
        s->wrong = true;
        snprintf(s->fault, sizeof(s->fault), "analytics: the disk does not answer");
    } else if (analytics.keeper) {
        s->bytes = keeper_memory(analytics.keeper);
        s->wrong = history_fault(analytics.keeper->history, s->fault);
    }
    pthread_rwlock_unlock(&analytics.gate);
}

void
analytics_write_status(struct text *out)
{
    struct state s = {0};

    aside(do_look, &s);
    text_printf(out, "\"analytics\":{\"on\":%s,\"records\":%llu,\"missed\":%llu,\"memory\":%llu",
                s.on ? "true" : "false", (unsigned long long) s.records,
                (unsigned long long) s.missed, (unsigned long long) s.bytes);
    text_literal(out, ",\"fault\":");
    if (s.wrong) {
        text_byte(out, '"');
        text_json(out, slice_str(s.fault));
        text_byte(out, '"');
    } else {
        text_literal(out, "null");
    }
    text_byte(out, '}');
}

bool
analytics_fault(char why[200])
{
    struct state s = {0};

    aside(do_look, &s);
    memcpy(why, s.fault, sizeof(s.fault));
    return s.wrong;
}
