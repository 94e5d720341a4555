/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discovery.h - which servers an upstream has: sources that are asked again and again.
 * Private to the room.
 *
 *     discovery.c        the fiber of an upstream that asks its sources in turn
 *     discover_name.c    addresses of a name (A, AAAA)
 *     discover_srv.c     SRV records
 *     discover_file.c    a file that is watched
 *
 * Each entry of `servers:` is a source; one that fails keeps what it gave last, marked stale.
 *
 * Everything runs on the control thread.
 */
#ifndef UPSTREAM_DISCOVERY_H
#define UPSTREAM_DISCOVERY_H

#include "base/map.h"
#include "upstream/server.h"

/* The making of one list of servers. */
struct discovery_round {
    struct upstream              *upstream;
    const struct upstream_config *config;
    void                        **memories; /* discovery_memory() */
    struct server_entry          *entries;
    size_t                        n, room;
    struct map                    listed;     /* address as text -> server */
    bool                          unresolved; /* some source had no answer */
    uint64_t                      again_us;   /* when to ask again, from now; the soonest wins */
    bool                          no_memory;
    bool                          waiting;    /* sources that wait are asked too */
};

/* One server that a source has found, with what the entry says of all of its servers; the source
 * may change weight, tier, region, state, max_connections first. */
struct discovered {
    const struct server_config *source;
    union address               address;
    struct slice                name; /* for its certificate; absent: its IP address */
    uint32_t                    weight;
    uint16_t                    tier;
    struct slice                region;
    int64_t                     max_connections;
    enum server_state           state;
};

/* Everything as the entry says. */
struct discovered discovered_of(const struct server_config *source, const union address *address);
/* An address that is in the list already is left as it is.  False: no more can be taken. */
bool discovery_add(struct discovery_round *r, const struct discovered *d);
/* The source has no answer now: what it gave last stays, marked stale. */
void discovery_keep(struct discovery_round *r, const struct server_config *source);
/* Ask again after so long at the latest. */
void discovery_again(struct discovery_round *r, uint64_t us);

/* What a source remembers of an entry from one round to the next: NULL at first; lives until the
 * configuration is replaced or discovery_stop(); then source->forget() frees it. */
void **discovery_memory(struct discovery_round *r, const struct server_config *entry);

struct discovery_source {
    const char *name;
    bool (*takes)(const struct server_config *entry);
    /* Adds what it finds.  Waits when `waits`; ERR_CANCELLED ends the round, other errors are the
     * source's own business (discovery_keep(), a warning). */
    enum err (*ask)(struct discovery_round *r, const struct server_config *entry);
    void (*forget)(void *memory); /* NULL: nothing to free */
    bool waits;
};

/* All that are compiled in; ends with NULL. */
extern const struct discovery_source *const discovery_sources[];
extern const struct discovery_source discover_address, discover_name, discover_srv, discover_file;

/* Asks all sources that need no waiting now, and starts the fiber when others do. */
enum err discovery_start(struct upstream *u);
void discovery_stop(struct upstream *u);
/* Overrides changed: make the list anew from what is known. */
void discovery_refresh(struct upstream *u);
void discovery_overrides_free(struct upstream *u);
/* See upstream_changes_each(). */
void discovery_overrides_each(const struct upstream *u,
                              void (*visit)(void *arg, struct slice upstream,
                                            const struct upstream_change *change),
                              void *arg);

#endif
