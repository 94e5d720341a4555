/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan.h - what another configuration would change, said before it does.
 *
 * Two snapshots are compared in meaning: listeners, hosts, routes (added, gone, changed, moved, now
 * unreachable), limits, upstreams and their servers.  Then requests that were seen lately
 * (exchange/recorded.h) are put to both, and those for which route, middleware or upstream come out
 * differently are told.
 *
 * Threads  control thread.
 */
#ifndef CONTROL_PLAN_H
#define CONTROL_PLAN_H

#include "control/host.h"

/*
 * JSON:
 *   "changes"   [{"kind": added|removed|changed|moved|unreachable, "what": "route", "host",
 *               "server", "middleware", ..., "name", "about" (what a route without a name takes),
 *               "path" (of the option in it), "before", "after" (texts as they were written, cut;
 *               null: not set), "where": "site.yaml:12:5"}]
 *   "counts"    {"added": N, ...} of all changes; 2,000 of them are listed
 *   "replayed"  recent requests that were put to both; "differing": how many would be treated
 *               differently
 *   "different" [{"method", "url", "count", "before": outcome, "after": outcome}], one for each way
 *               in which they differ, with the first such request;
 *               outcome: {"route", "middleware": [names], "to", "says"} or {"route": null, "why"}
 *   "warnings"  [sentences]
 *
 * before, after: made ready, neither is changed.  The documents may be NULL: then less is told of
 * what is added and removed.
 */
void plan_write(const struct control_host *host, const struct app *before, const struct app *after,
                const struct config_document *old, const struct config_document *now,
                struct text *out);
/* The same for people, as `maitred plan` prints it; from that JSON.  source: the file that was sent
 * as the body of the request; NULL: none.  False: that is no plan. */
bool plan_print(struct slice json, const char *source, struct text *out);

#endif
