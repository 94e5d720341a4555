/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server_list.h - the text of a file that lists servers, and what it says of each.
 * Private to the room.
 *
 *     - 10.0.0.1:8080
 *     - {address: 10.0.0.2:8080, weight: 2, tier: 1, state: draining}
 *
 * YAML or JSON, read by the configuration engine, so that complaints have their place.  The list
 * may stand under the key `servers`.  It is data: it includes nothing and sees no environment.
 */
#ifndef UPSTREAM_SERVER_LIST_H
#define UPSTREAM_SERVER_LIST_H

#include "upstream/discovery.h"

/* NULL: it is broken, and the first complaint ("servers.yaml:3:5: error: ...", one line) is put
 * into `complaint`.  Any thread, waits for nothing; config_free() it. */
struct config *server_list_read(const char *path, struct slice text, struct text *complaint);
size_t server_list_count(const struct config *list);
/* Server i; what the list does not say of it, the entry that names the file says.  The region lives
 * as long as the list. */
struct discovered server_list_get(const struct config *list, size_t i,
                                  const struct server_config *entry);

#endif
