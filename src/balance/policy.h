/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/policy.h - what a balancing policy is, and how one plugs in.
 *
 * A policy answers one question: of these targets, which takes the next piece of work?  It knows
 * nothing of HTTP, DNS, sockets or probes.  upstream/ asks it for a server.
 *
 * Lifetime  made for one set, dies with it; a change of members makes a new set, so nobody ever
 *           locks the list.  Targets outlive sets: a server that stays keeps its counters.
 * Threads   pick() runs on every worker at once, the rest on the control thread.
 * Time      no clock and no dice here: both come in through lb_ask, so that a test can replay any
 *           decision.
 */
#ifndef BALANCE_POLICY_H
#define BALANCE_POLICY_H

#include "base/slice.h"

#include <stdatomic.h>

#define LB_NONE SIZE_MAX
#define LB_WEIGHT_MAX 65535u

struct lb_target {
    atomic_bool      usable;   /* written by health, read by everybody */
    _Atomic uint32_t inflight; /* counted by the caller of pick() */
};

struct lb_set {
    size_t                    n;
    struct lb_target *const  *targets;
    const uint32_t           *weights; /* 1..LB_WEIGHT_MAX */
};

struct lb_ask {
    uint64_t    affinity; /* hash of a client, cookie or URI; 0 if none */
    uint64_t    entropy;  /* fresh random bits */
    uint64_t    now_us;   /* monotonic */
    const bool *tried;    /* flags set by a retry; NULL at first */
};

struct lb_policy {
    const struct lb_policy_ops *ops;
    const struct lb_set        *set;
};

struct lb_policy_ops {
    const char *name;
    const char *summary;
    /* NULL when out of memory.  The set outlives the policy. */
    struct lb_policy *(*create)(const struct lb_set *set);
    void (*destroy)(struct lb_policy *p);
    /* Index of a usable, untried target, or LB_NONE.  Never waits, never allocates. */
    size_t (*pick)(struct lb_policy *p, const struct lb_ask *ask);
};

/* All that are compiled in; ends with NULL. */
extern const struct lb_policy_ops *const lb_policies[];
extern const struct lb_policy_ops lb_round_robin, lb_least_connections, lb_random;

static inline bool
lb_fits(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    return atomic_load_explicit(&set->targets[i]->usable, memory_order_relaxed) &&
           !(ask->tried && ask->tried[i]);
}

/* The first that fits from `start` on, round once; LB_NONE. */
size_t lb_first_fit(const struct lb_set *set, const struct lb_ask *ask, size_t start);

#endif
