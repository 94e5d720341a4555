/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/mirror.h - copies of exchanges, on their way to somebody else.  Private to mirror.
 *
 *     mirror.c       which requests, and their bodies while they pass
 *     mirror_copy.c  the copy, and its own life
 */
#ifndef MIDDLEWARE_MIRROR_H
#define MIDDLEWARE_MIRROR_H

#include "exchange/exchange.h"

/* What became of requests that were to be mirrored; only its worker touches it. */
struct mirror_counts {
    uint64_t in_flight;
    uint64_t answered, failed; /* of those that were sent */
    uint64_t too_large;        /* the body is above max_body */
    uint64_t too_many;         /* `most` are in flight */
    uint64_t broken;           /* the body never came to its end */
    uint64_t no_memory;
};

struct mirror {
    struct slice                    to;
    uint64_t                        share; /* millionths */
    uint64_t                        max_body;
    uint64_t                        timeout_us;
    int64_t                         most;
    /* When it is linked: */
    const struct middleware        *terminal;
    struct middleware_keeper        keeper;
    struct exchange_timeouts        timeouts;
    struct mirror_counts           *workers; /* WORKERS_MAX */
};

/* Of the calling worker. */
struct mirror_counts *mirror_counts(const struct mirror *m);

struct mirror_copy;

/* Everything of the request but its body, as it is now; the snapshot is held.  NULL, and counted,
 * when there are too many or no memory. */
struct mirror_copy *mirror_copy_new(const struct mirror *m, const struct exchange *x);
/* Some more of the body.  False, and counted: it is too large, and the copy is gone. */
bool mirror_copy_put(struct mirror_copy *c, struct slice chunk);
/* Off it goes, on a fiber of its own, which frees it. */
void mirror_copy_send(struct mirror_copy *c);
/* The rest of its body will not come: counted, and gone. */
void mirror_copy_break(struct mirror_copy *c);

#endif
