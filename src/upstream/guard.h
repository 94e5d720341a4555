/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/guard.h - what keeps a group of servers from being overrun: circuit breaker, adaptive
 * concurrency, retry budget.  Private to the room.
 *
 *     guard.c        one guard of the three: what follows, and limits that only refuse
 *     budget.c       retries are at most a share of the live traffic, so that a dead group is not
 *                    hammered
 *     breaker.c      too much of something, or too many errors: refuse at once, then probe
 *     concurrency.c  how many exchanges at a time the group bears, learned from its latency
 *
 * Nobody waits in here, and there is no clock: time comes in, so that tests replay everything.
 *
 * Lifetime  a guard belongs to an upstream and survives reloads; its options come in with each
 *           call, from the snapshot of the exchange.
 * Threads   all workers at once; counters that each request touches are one line for each worker.
 */
#ifndef UPSTREAM_GUARD_H
#define UPSTREAM_GUARD_H

#include "config/option.h"
#include "exchange/reason.h"

/* `breaker:`; a limit of 0 is none. */
struct breaker_config {
    int64_t  requests;    /* exchanges in flight to the group */
    int64_t  pending;     /* of them, waiting for a connection */
    int64_t  connections; /* open to all servers of the group */
    uint64_t error_rate;  /* millionths; 0: not by errors */
    int64_t  minimum;     /* requests in the window before the rate means anything */
    uint64_t window_us;
    uint64_t open_us;     /* how long it refuses before it probes */
    int64_t  probes;      /* exchanges let through at a time to find out */
};

/* `concurrency:` */
struct concurrency_config {
    int64_t  min, max;    /* bounds of the limit */
    uint64_t tolerance;   /* millionths: how much slower than at its best still counts as well */
};

/* `retries:` */
struct retries_config {
    int64_t            attempts;      /* further ones, after the first */
    struct option_list on;            /* of int, enum retry_on */
    struct option_list statuses;      /* of int64_t: answers that are worth another attempt */
    uint64_t           budget;        /* millionths of the traffic of the last ten seconds */
    int64_t            budget_floor;  /* retries a second that are always allowed */
    uint64_t           attempt_us;    /* how long one attempt waits for its answer's head; 0: as
                                       * long as timeouts.response */
};

enum retry_on { RETRY_CONNECT, RETRY_RESET, RETRY_TIMEOUT, RETRY_MALFORMED, RETRY_ON_KINDS };

extern const struct option_object breaker_object, concurrency_object, retries_object;

struct guard;

struct guard *guard_new(unsigned workers);
void guard_free(struct guard *g);

struct guard_options {
    const struct breaker_config     *breaker;     /* NULL: none */
    const struct concurrency_config *concurrency; /* NULL: none */
    const struct retries_config     *retries;
};

/* What one exchange has of it, between enter and leave. */
struct guard_pass {
    bool     counted; /* leave() is due */
    bool     limited; /* it counts in what limits are compared with */
    uint64_t probe;   /* it was let through an open breaker to find out: in which round */
    uint16_t epoch;   /* breaker.h */
};

/* May the exchange go to the group?  REASON_NONE: yes; else why not, the option whose value was
 * reached (its address and name) and after how many seconds another try makes sense. */
struct guard_refusal {
    enum reason reason; /* REASON_CIRCUIT_OPEN, REASON_SERVERS_BUSY */
    const void *limit;
    const char *limit_name;
    unsigned    retry_after_s;
};
bool guard_enter(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us,
                 struct guard_pass *pass, struct guard_refusal *why);
/* Once for each enter that let pass, on the same worker.  failed: the group did not answer, or with
 * 5xx from the server; took_us: to the answer's head, 0 when there was none.  Not failed and no
 * answer: the exchange ended before there was anything to judge (the client went away). */
void guard_leave(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us,
                 const struct guard_pass *pass, bool failed, uint64_t took_us);
/* Pending is counted around the wait for a connection; false: too many wait already. */
bool guard_pend(struct guard *g, const struct guard_options *o, struct guard_refusal *why);
void guard_unpend(struct guard *g);
/* A new connection to the group; false: too many are open. */
bool guard_connect(struct guard *g, const struct guard_options *o, struct guard_refusal *why);
void guard_disconnect(struct guard *g);
/* One more attempt?  Takes it from the budget. */
bool guard_retry(struct guard *g, const struct guard_options *o, unsigned worker, uint64_t now_us);

/* For the state of things. */
struct guard_state {
    const char *breaker;  /* "closed", "open", "probing" */
    uint64_t    inflight, pending, connections;
    uint64_t    limit;    /* of the adaptive concurrency; 0: none */
    uint64_t    retries, refused; /* so far */
};
/* o may be NULL: the state whatever is configured. */
void guard_look(struct guard *g, struct guard_state *state);

#endif
