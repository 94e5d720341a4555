/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_index.h - the few routes that a host and path can lead to.  Private to the routes.
 *
 * A route stands in a bucket for each of its hosts: of the exact name, of the wildcard's suffix, or
 * of "any host".  A bucket keeps its candidates in the order of the routes.  One with more than a
 * few has an index of its own: by exact path, by prefix (looked up once for each length that
 * occurs), and the rest.
 *
 * Size  a host with one route costs about 100 bytes: a slot in the map, a bucket, a candidate.
 */
#ifndef EXCHANGE_ROUTE_INDEX_H
#define EXCHANGE_ROUTE_INDEX_H

#include "base/map.h"
#include "exchange/route_conditions.h"

struct candidate {
    const struct route     *route;
    const struct candidate *next; /* stands later in the list of routes */
};

struct candidates {
    struct candidate *first, *last;
};

/* A length that some prefix of the bucket has. */
struct prefix_length {
    size_t n;
    bool   all_end_in_slash; /* then only a path with a slash there need be looked up */
};

struct path_index {
    struct path_index    *next;     /* of the set, to be freed */
    struct map            exact;    /* path: struct candidates */
    struct map            prefixes; /* prefix: struct candidates */
    struct prefix_length *lengths;  /* ascending */
    size_t                n_lengths, lengths_room;
    struct candidates     any_path;
};

struct bucket {
    struct candidates  all;
    size_t             n;
    struct path_index *paths; /* NULL: few enough to ask each */
};

struct route_index {
    struct arena      *arena;
    struct map         hosts;     /* "example.com": struct bucket */
    struct map         wildcards; /* ".example.com": struct bucket */
    size_t             longest_wildcard;
    struct bucket      any_host;
    struct path_index *path_indexes;
};

struct route_set {
    struct arena         arena;
    struct route_index   index;
    const struct config *config; /* may be NULL, in tests */
    struct route        *routes;
    size_t               n;
    char                *names; /* of the routes that have none of their own */
};

/* False when out of memory; route_index_free() in either case.  The routes are compiled. */
bool route_index_build(struct route_index *index, struct arena *arena, const struct route *routes,
                       size_t n);
void route_index_free(struct route_index *index);

/*
 * Calls visit for each list of candidates that host and path lead to, in no particular order; a
 * route may be in several.  ask_path: the candidates' paths have not been looked at yet.  Host and
 * path may also be patterns: then the routes whose patterns take all of that are in the lists.
 */
typedef void candidates_visit_f(void *arg, const struct candidate *first, bool ask_path);
void route_index_visit(const struct route_index *index, struct slice host, struct slice path,
                       candidates_visit_f *visit, void *arg);

/* Warns of routes that can never match. */
void route_set_lint(const struct route_set *s, struct config_report *report);
/* "site.yaml:12:5", or "" for a route that stands in no file. */
struct slice route_place(const struct route_set *s, const struct route *r, struct arena *arena);
/* Notes in the trace of x whether this route takes it, and if not, why. */
void route_note(const struct route *r, struct exchange *x);

#endif
