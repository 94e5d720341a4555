/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/budget.h - further attempts are at most a share of the live traffic.  Private to the
 * room.
 *
 * A limit per request ("two retries") trebles the load of a group that fails, just when it can bear
 * it least; a share of all requests of the last ten seconds does not (Finagle's RetryBudget).  A
 * floor lets a group with little traffic retry as well.
 *
 * Threads   as recent.h.  When several workers ask at the same moment, each of them may get the
 *           last one.
 */
#ifndef UPSTREAM_BUDGET_H
#define UPSTREAM_BUDGET_H

#include "upstream/guard.h"
#include "upstream/recent.h"

/* A request that is not a retry. */
void budget_request(struct recent *r, unsigned worker, uint64_t now_us);
/* One more attempt?  Takes it from the budget. */
bool budget_retry(struct recent *r, const struct retries_config *config, unsigned worker,
                  uint64_t now_us);

#endif
