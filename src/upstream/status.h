/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/status.h - which upstreams there are, for readers on workers.  Private to the room. */
#ifndef UPSTREAM_STATUS_H
#define UPSTREAM_STATUS_H

#include "base/map.h"
#include "observe/metrics.h"

struct upstream;

/* Control thread: upstreams have come or gone.  by_name: struct upstream by name. */
void status_publish(const struct map *by_name);
void status_exit(void);
/* see(u) for each, in no order.  Control thread. */
void status_each(void (*see)(void *arg, struct upstream *u), void *arg);

/* figures.c: numbers of upstreams and servers, for Prometheus. */
void status_tell(struct exposition *e);

#endif
