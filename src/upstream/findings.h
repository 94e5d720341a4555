/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/findings.h - what a source of servers has found, and until when that holds.  Private to
 * the room.
 *
 * An upstream may have sources of different rhythms: a file that is looked at every second must not
 * make names be asked every second.  Each source that waits therefore begins its memory
 * (discovery_memory()) with its findings, and repeats them while they hold.
 */
#ifndef UPSTREAM_FINDINGS_H
#define UPSTREAM_FINDINGS_H

#include "upstream/discovery.h"

struct findings {
    uint64_t           due_us;  /* ask again then; 0: nobody has asked yet */
    bool               missing; /* the source has no answer at present, or only to a part */
    struct discovered *at;
    size_t             n, room;
};

/* True while there is no need to ask. */
bool findings_hold(const struct findings *f);
void findings_clear(struct findings *f);
/* False: too many, or out of memory. */
bool findings_add(struct findings *f, const struct discovered *d);
/* Into the list that is being made: what was found, and, while something is missing, what the
 * source gave before. */
void findings_give(const struct findings *f, struct discovery_round *r,
                   const struct server_config *entry);
void findings_free(struct findings *f);

/* For how long an answer of name servers holds.  addresses: it is one of dns_resolve(), whose TTL
 * of 0 stands for /etc/hosts. */
uint64_t findings_ttl_us(const struct upstream_config *config, uint32_t ttl_s, bool addresses);
/* What they had no answer to is asked again so soon. */
#define FINDINGS_RETRY_US 2000000u

#endif
