/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/health.h - active checks: servers are asked regularly how they are.  Private to the
 * room.
 *
 *     health.c           who is checked when, and what the answers make of a server
 *     health_state.c     what a row of answers means
 *     health_options.c   what can be configured
 *     probe_http.c ...   the kinds of probes, one file each: probe.h
 *
 * Everything runs on the control thread; a probe is a fiber, what waits for its turn is a timer.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include "upstream/server.h"

extern const struct option_object health_object;

/* The upstream's set or configuration has changed: checks of servers that left end, those of new
 * ones begin, those that stay keep their state.  Without `health` in u->config all end, and nobody
 * is down any more. */
void health_follow(struct upstream *u);
void health_stop(struct upstream *u);

#define HEALTH_WHY_BYTES sizeof(((struct server *) NULL)->why)
/* What the server's last failed check said, empty when it is well.  Any thread; into out. */
struct slice health_why(const struct server *s, char out[HEALTH_WHY_BYTES]);

#endif
