/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/traffic.h - what has gone through, looked at again and again, so that it can be told what
 * it was some minutes ago.
 *
 * Threads  control thread.
 */
#ifndef CONTROL_TRAFFIC_H
#define CONTROL_TRAFFIC_H

#include "control/trial.h"
#include "edge/account.h"

struct traffic_look {
    uint64_t              at_us; /* monotonic; 0: there was none */
    struct account_sample sample;
};

/* Looks now and remembers it. */
const struct traffic_look *traffic_look(void);
/* The latest that is at least so old; the oldest there is when none is. */
const struct traffic_look *traffic_ago(uint64_t ago_us);

/* ------------------------------------------------------------------ for guards */

struct guard_samples;

/* From now on; what was before is known from traffic_ago().  NULL: out of memory. */
struct guard_samples *guard_samples_new(void);
void guard_samples_free(struct guard_samples *g);
/* Since then, or (before) as long a time until then; of a route, all that was until then. */
guard_read_f guard_samples_read; /* arg: the samples */

#endif
