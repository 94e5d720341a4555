/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/trial.h - a new configuration on trial: kept when somebody confirms it in time and
 * nothing got worse, else the one before returns by itself.
 *
 *     errors < 1%, p99 < +20%, requests > 10/s
 *
 * A guard is a list of conditions, all of which must hold, once enough was seen to judge: 100
 * requests (1,000 for p999), or 5 seconds for a rate, after the change and, where a condition
 * compares, before it.  Numbers are of the time since the change.
 *
 *     condition  subject ("<" | ">" | "<=" | ">=") ("+" | "-")? number unit
 *     subject    errors (5xx and what broke off, part of requests) | client_errors (4xx)
 *                | p50 | p90 | p99 | p999 (of the time from head to end) | requests (a second)
 *                each of them also of one route: errors(shop)
 *     unit       % | us | ms | s | /s
 *
 * With a sign it is compared with the same length of time before the change: "p99 < +20%" and
 * "requests > -30%" by part of what was then, "p99 < +5ms" by a difference.  Of shares, percents
 * are added: "errors < +1%" lets 0.5 % become 1.5 %.
 *
 * Pure: no clock, no metrics of its own; both come in.
 */
#ifndef CONTROL_TRIAL_H
#define CONTROL_TRIAL_H

#include "base/arena.h"
#include "observe/metrics.h"

enum { GUARD_CONDITIONS_MAX = 16, GUARD_REQUESTS_MIN = 100, GUARD_RATE_US = 5000000 };

struct guard_condition;

struct guard {
    struct guard_condition *conditions;
    size_t                  n;
};

/* False: wrong, with a sentence that says where. */
bool guard_parse(struct slice text, struct arena *arena, struct guard *out, char why[200]);

/* What was counted in some stretch of time. */
struct guard_sample {
    uint64_t         requests, errors, client_errors, took_us;
    struct histogram durations;
};
/* The sample of a route, or of all when it is absent; false: no such route. */
typedef bool guard_read_f(void *arg, struct slice route, bool before, struct guard_sample *out);

enum guard_verdict {
    GUARD_TOO_EARLY, /* of some condition; none is broken.  why: "p99: 37 of 100 requests seen" */
    GUARD_HOLDS,     /* why: "errors 0.2 %, p99 61 ms" */
    GUARD_BROKEN,    /* why: "p99 is 84 ms, 31 % above the 64 ms before (wanted: p99 < +20%)" */
};
/* why is always filled. */
enum guard_verdict guard_judge(const struct guard *g, guard_read_f *read, void *arg,
                               char why[200]);

#endif
