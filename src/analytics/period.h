/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/period.h - all that is known about a stretch of time, in sketches.
 *
 * A tally are the numbers, small enough to have one for each point of a chart; a period has the
 * lists too.  Which lists there are is one table, dimensions[].
 */
#ifndef ANALYTICS_PERIOD_H
#define ANALYTICS_PERIOD_H

#include "analytics/combination.h"
#include "analytics/packed.h"
#include "analytics/top.h"
#include "analytics/uniques.h"
#include "base/histogram.h"

/* Their order is that of the bytes on disk: new ones go to the end. */
enum tally_number {
    TALLY_REQUESTS,
    TALLY_ERRORS,
    TALLY_CLIENT_ERRORS,
    TALLY_THREATS,
    TALLY_SECURE,
    TALLY_BYTES_IN,
    TALLY_BYTES_OUT,
    TALLY_HITS,
    TALLY_SAVED_US,
    TALLY_CLIENT_CONNECTIONS,
    TALLY_SERVER_REQUESTS,
    TALLY_SERVER_CONNECTIONS,
    TALLY_MISSED,
    TALLY_NUMBERS,
};

struct tally {
    uint64_t         numbers[TALLY_NUMBERS];
    struct histogram took, origin;
    struct uniques   visitors;
};

void tally_clear(struct tally *t);
void tally_merge(struct tally *into, const struct tally *t);

/* Likewise. */
enum dimension {
    DIMENSION_PATHS,
    DIMENSION_CLIENTS,
    DIMENSION_AGENTS,
    DIMENSION_REFERRERS,
    DIMENSION_HOSTS,
    DIMENSION_ROUTES,
    DIMENSION_UPSTREAMS,
    DIMENSION_STATUSES,
    DIMENSION_COUNTRIES,
    DIMENSION_THREATS,
    DIMENSION_METHODS,
    DIMENSION_VERSIONS,
    DIMENSIONS,
};

struct dimension_info {
    const char      *name;
    struct top_shape shape; /* at scale 0 */
};

extern const struct dimension_info dimensions[DIMENSIONS];
/* DIMENSIONS: there is none of that name. */
enum dimension dimension_find(struct slice name);

/* A scale of n makes tables 2^n times as large as written in dimensions[]. */
enum { PERIOD_SCALE_MIN = -4, PERIOD_SCALE_MAX = 6 };

/* What visitors are told apart by is a hash that every process has; it is remembered beside the one
 * that the lists use. */
struct agent_hashes {
    uint64_t own, stable;
};

enum { AGENTS_REMEMBERED = 256 }; /* a power of two */

struct period {
    struct tally             tally;
    struct top               tops[DIMENSIONS];
    struct combination       combinations[COMBINATIONS]; /* not in their lists yet */
    struct agent_hashes      agents[AGENTS_REMEMBERED];
    const struct top_entry **order; /* room for the longest list */
    size_t                   bytes; /* of all of it */
};

/* filtered: to count records (period_add); else to merge others. */
size_t period_bytes(int scale, bool filtered);
struct period *period_new(int scale, bool filtered); /* NULL: out of memory */
void period_free(struct period *p);
void period_clear(struct period *p);

/* country: two letters, or absent. */
void period_add(struct period *p, const struct packed *record, struct slice country,
                enum analytics_anonymize anonymize);
/* All that was added is in the lists: before somebody looks at them. */
void period_settle(struct period *p);
/* Lists of `from`, which has filters, go into `into`, which has none; likewise the tally. */
void period_merge(struct period *into, struct period *from);
bool period_is_empty(const struct period *p);

#endif
