/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route.h - which chain of middleware takes a request.
 *
 * Routes are a list; the first that matches as written wins.  The list is not searched: an index by
 * host (exact, wildcard) and path (exact, prefix) gives the few candidates in their order, so that
 * 10,000 hosts or routes cost what one costs.
 *
 *     routes:
 *       - host: [example.com, "*.example.com"]   # exact, or any depth below
 *         path: [/login, /api/]                  # exact; what ends in "/" or "*" is a prefix
 *         path_regex: '^/u/[0-9]+$'
 *         method: [GET, HEAD]
 *         header: {x-beta: '1', x-any: '*'}      # all must match; '*': present; '~re': matches
 *         query: {debug: '1'}
 *         cookie: {group: b}
 *         client: [10.0.0.0/8]
 *         scheme: https
 *         listener: public
 *         when: method in [GET, HEAD]
 *         use: [request_id, {body_limit: 1MiB}]
 *         to: app                                # or shares: {app: 95, canary: 5}
 *         split_by: cookie('user')               # who stays with the share that came out
 *         errors: {404: {file: /srv/404.html}, 503: {text: "Back soon.", type: text/plain}}
 *
 * Lifetime  a set is built for one snapshot and never changed; any thread reads.
 */
#ifndef EXCHANGE_ROUTE_H
#define EXCHANGE_ROUTE_H

#include "exchange/exchange.h"
#include "exchange/expr.h"

struct metrics;

/* A page for an error that maitred itself answers with. */
struct error_page {
    struct slice     status; /* key: "404", "5xx" or "default" */
    unsigned         low, high; /* what the key means */
    struct template *text;   /* one of these two */
    struct slice     file;   /* read when the configuration is loaded, into content */
    struct slice     content;
    struct slice     type;   /* default text/html; charset=utf-8 */
};

enum { ROUTE_SHARES_MAX = 256, ROUTE_WEIGHT_MAX = 65535 };

/* One of those who answer a route's requests. */
struct route_share {
    struct slice       to;     /* name of an upstream, or "http://host:port" */
    int64_t            weight; /* 1..ROUTE_WEIGHT_MAX, compared with the others' */
    struct config_mark where;
};

/* What the configuration says of one route. */
struct route {
    struct slice       name;    /* for logs; default: "routes[N]" counted from 0 */
    struct option_list hosts;   /* of struct slice, lower case */
    struct option_list paths;   /* of struct slice */
    struct regex      *path_regex;
    struct option_list methods; /* of struct slice */
    struct option_list headers, queries, cookies; /* of struct option_pair */
    struct option_list clients; /* of struct network */
    struct slice       scheme;
    struct slice       listener;
    struct expr       *when;
    struct option_list use;     /* of struct option_variant whose
                                 * object->ops is a struct middleware_ops */
    struct option_list to;      /* of struct route_share; empty: nobody */
    struct expr       *split_by; /* NULL: each request by itself */
    struct option_list errors;  /* of struct error_page */
    /* Made when the set is built: */
    size_t             index;
    const struct middleware *chain; /* the last one is the terminal */
    size_t             chain_length;
    void              *compiled; /* made when it is bound (route_compile):
                                  * the conditions, ready to be asked */
    struct metrics    *metrics;  /* what is counted of it, once it serves; NULL: nothing */
};

/* `use` takes its variants from this list, which main/builtin.c fills: every middleware compiled
 * in. */
extern const struct option_object *const middleware_objects[]; /* ends with NULL */
extern const struct option_object route_object;

struct route_set;

/*
 * Builds chains and index over `routes` (a list of struct route inside config, which must outlive
 * the set).  linker: what `to` and options of middleware name; NULL in tests without either.  A
 * route without `to` whose chain never answers gets a terminal that refuses with
 * REASON_MISCONFIGURED; that is a warning.  Also warned of: routes that can never match because an
 * earlier one takes everything they would.  NULL after reporting errors.
 */
struct route_set *route_set_build(const struct option_list *routes, const struct config *config,
                                  const struct middleware_ops *const *by_default,
                                  const struct middleware_linker *linker,
                                  struct config_report *report);
void route_set_free(struct route_set *s);

/* In their order; NULL past the last. */
const struct route *route_at(const struct route_set *s, size_t i);

/* The first route that matches, NULL when none does.  Never waits. */
const struct route *route_find(const struct route_set *s, struct exchange *x);

/* For `maitred explain`: each candidate with the first condition that failed, one line each. */
void route_explain(const struct route_set *s, struct exchange *x, struct text *out);

/* An earlier route that takes all requests that this one of the set would; NULL: none. */
const struct route *route_shadowed_by(const struct route_set *s, const struct route *r);

/* The page of this route for a status: rendered text and type; false when it has none. */
bool route_error_page(const struct route *route, unsigned status, struct exchange *x,
                      struct slice *text, struct slice *type);

#endif
