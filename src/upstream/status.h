/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/status.h - which upstreams there are, for readers on workers.  Private to the room. */
#ifndef UPSTREAM_STATUS_H
#define UPSTREAM_STATUS_H

#include "base/map.h"

/* Control thread: upstreams have come or gone.  by_name: struct upstream by name. */
void status_publish(const struct map *by_name);
void status_exit(void);

#endif
