/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/account.h - what is counted of exchanges, by route and by listener.
 *
 * Each exchange is counted once, when it is over, by its worker: a dozen additions in memory that
 * no other thread writes (observe/metrics.h).
 *
 * Threads  control thread; account.c's other half (client.h) runs on workers.
 */
#ifndef EDGE_ACCOUNT_H
#define EDGE_ACCOUNT_H

#include "edge/edge.h"
#include "observe/metrics.h"

/* Of a route; label `route`, empty for requests that no route took. */
enum account_route {
    ACCOUNT_ROUTE_REQUESTS, /* by status class: 0 no answer, 1 for 1xx, ... 5 */
    ACCOUNT_ROUTE_FAILED,
    ACCOUNT_ROUTE_ERRORS,   /* by enum reason */
    ACCOUNT_ROUTE_REFUSALS, /* by middleware */
    ACCOUNT_ROUTE_CACHE,    /* by enum exchange_cached */
    ACCOUNT_ROUTE_BYTES_IN,
    ACCOUNT_ROUTE_BYTES_OUT,
    ACCOUNT_ROUTE_DURATION,
    ACCOUNT_ROUTE_FIRST_BYTE,
    ACCOUNT_ROUTE_METRICS
};
extern const struct metric_table account_routes;

/* Of a listener; label `listener`. */
enum account_listener {
    ACCOUNT_LISTENER_CONNECTIONS,
    ACCOUNT_LISTENER_OPEN,
    ACCOUNT_LISTENER_REFUSED,
    ACCOUNT_LISTENER_REQUESTS,   /* by version of HTTP */
    ACCOUNT_LISTENER_HANDSHAKES, /* by enum account_handshake */
    ACCOUNT_LISTENER_METRICS
};
enum account_handshake {
    ACCOUNT_HANDSHAKE_FULL,
    ACCOUNT_HANDSHAKE_RESUMED,
    ACCOUNT_HANDSHAKE_FAILED
};
extern const struct metric_table account_listeners;

/* Its routes and listeners are counted from now on, and its certificates told; counted: `metrics`
 * is on.  Before workers get it.  Without memory, less is counted. */
void account_serve(struct snapshot *s, bool counted);
/* Nobody serves it any more. */
void account_forget(struct snapshot *s);

enum { ACCOUNT_STATUSES = 6 };

/* So far; the difference of two tells of the time between. */
struct account_sample {
    uint64_t         requests;
    uint64_t         failed; /* 5xx, and answers that broke off through no fault of the client */
    uint64_t         statuses[ACCOUNT_STATUSES]; /* [4]: 4xx; [0]: the client was gone before */
    uint64_t         reasons[REASON_COUNT];
    uint64_t         cached[CACHED_KINDS];
    uint64_t         bytes_in, bytes_out; /* of bodies */
    struct histogram durations;           /* us */
};

/* What the route of that name has done; absent: all of them, and what no route took.  False: there
 * is no such route, or nothing is counted. */
bool account_look(struct slice route, struct account_sample *out);

#endif
