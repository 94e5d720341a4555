/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/cache/stores.h - the stores that a configuration names. */
#ifndef MIDDLEWARE_CACHE_STORES_H
#define MIDDLEWARE_CACHE_STORES_H

#include "base/err.h"
#include "config/option.h"

struct exposition;
struct route_set;

/* Where a store goes on behind its memory. */
struct cache_disk {
    struct slice folder;
    uint64_t     size_bytes;
};

struct cache_store {
    struct slice       name;
    uint64_t           memory_bytes, object_bytes;
    struct cache_disk *disk; /* NULL: memory only */
};

extern const struct option_object cache_store_object; /* a struct cache_store */

/* They get the bounds that these say.  Control thread, when the configuration takes effect. */
void cache_stores_apply(const struct option_list *stores);
/* There is one of that name, or it is the default. */
bool cache_stores_know(const struct option_list *stores, struct slice name);
/* Members of a JSON object: "stores", and "caches" with what each route's has done; routes may be
 * NULL. */
void cache_stores_write_status(const struct route_set *routes, struct text *out);
/* Numbers of all stores, for Prometheus (observe/metrics.h).  Control thread. */
void cache_stores_tell(struct exposition *e);

enum cache_purge_kind {
    CACHE_PURGE_URL,    /* "https://host/path?query": that one, with all its variants */
    CACHE_PURGE_PREFIX, /* "host/path", or such a URL: all that begin so */
    CACHE_PURGE_HOST,
    CACHE_PURGE_TAG,
    CACHE_PURGE_ALL,
};

/* Lets go of what that store keeps, as a PURGE request does; what a URL's scheme and port are does
 * not count.  soft: it becomes stale.  ERR_NOT_FOUND: there is no such store; ERR_MALFORMED: no
 * such URL or host; ERR_NO_MEMORY.  May wait for a disk. */
enum err cache_stores_purge(struct slice store, enum cache_purge_kind kind, struct slice what,
                            bool soft);

/* How large a response may be that it keeps; as said there, or by default. */
uint64_t cache_stores_object_max(const struct option_list *stores, struct slice name);

#endif
