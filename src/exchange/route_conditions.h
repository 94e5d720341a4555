/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_conditions.h - the conditions of one route, ready to be asked.  Private to the
 * routes.
 *
 * Made of a struct route when it is bound (route_options.c) and kept in its `compiled`.  The index
 * asks for host and path in its own way; route_rest_holds() is what remains to be asked of a
 * candidate.
 */
#ifndef EXCHANGE_ROUTE_CONDITIONS_H
#define EXCHANGE_ROUTE_CONDITIONS_H

#include "exchange/route.h"

/* In normal form; a prefix is without its final star, but with its final slash. */
struct path_pattern {
    struct slice text;
    bool         prefix;
};

enum pair_source { PAIR_HEADER, PAIR_QUERY, PAIR_COOKIE };
enum pair_test { PAIR_PRESENT, PAIR_EQUAL, PAIR_MATCHES };

struct pair_condition {
    enum pair_source source;
    enum pair_test   test;
    struct slice     name, value;
    struct regex    *regex; /* PAIR_MATCHES; our own */
};

struct route_conditions {
    bool                   any_host, any_path;
    bool                   only_host_and_path; /* nothing else is asked for */
    uint32_t               methods;            /* bit for each known method; 0 when any will do */
    struct path_pattern   *paths;
    size_t                 n_paths;
    struct pair_condition *pairs; /* headers, queries, cookies */
    size_t                 n_pairs;
};

/* Of struct error_page: a route's `errors:`. */
extern const struct option_object route_errors_object;

/* What is wrong with a route, and with which of its fields. */
struct route_fault {
    const void *field;
    const char *hint; /* may be NULL */
    char        text[200];
};

/*
 * Fills r->compiled; hosts become lower case in place.  False with *fault filled.  Call
 * route_conditions_release() in either case, as long as r->compiled is not NULL.
 */
bool route_compile(struct arena *arena, struct route *r, struct route_fault *fault);
/* Frees the regular expressions; takes a struct route_conditions. */
void route_conditions_release(void *conditions);
/* False: there are none. */
bool route_conditions_need_release(const struct route_conditions *c);

static inline const struct route_conditions *
route_conditions(const struct route *r)
{
    return r->compiled;
}

/* `host` is a request's, or the pattern of another route ("*.example.com"), of which this one may
 * take everything. */
bool host_pattern_takes(struct slice pattern, struct slice host);
bool path_pattern_takes(const struct path_pattern *pattern, struct slice path);

bool route_host_holds(const struct route *r, const struct exchange *x);
bool route_path_holds(const struct route *r, const struct exchange *x);

/* The conditions beside host and path, in the order in which they are asked. */
enum route_condition {
    CONDITION_NONE, /* all hold */
    CONDITION_METHOD,
    CONDITION_SCHEME,
    CONDITION_LISTENER,
    CONDITION_CLIENT,
    CONDITION_PAIR,
    CONDITION_PATH_REGEX,
    CONDITION_WHEN,
};

/* The first that does not hold; with CONDITION_PAIR, *pair is set to it. */
enum route_condition route_rest_fails(const struct route *r, struct exchange *x,
                                      const struct pair_condition **pair);

static inline bool
route_rest_holds(const struct route *r, struct exchange *x)
{
    const struct pair_condition *pair;

    return route_conditions(r)->only_host_and_path ||
           route_rest_fails(r, x, &pair) == CONDITION_NONE;
}

#endif
