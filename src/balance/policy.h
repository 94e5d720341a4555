/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/policy.h - what a balancing policy is, and how one plugs in.
 *
 * A policy answers one question: of these targets, which takes the next piece of work?  It knows
 * nothing of HTTP, DNS, sockets or probes.  upstream/ asks it for a server.
 *
 * What all policies share is not their business: who is out of service, full, or only warming up is
 * decided by lb_fits(), which each of them asks; tiers, regions and subsets are wrapped around any
 * of them by lb_policy_new().
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
#define LB_SHARE_FULL 65535u
#define LB_NO_REGION UINT16_MAX

/* Whether work may go to a target; written by health, read by everybody. */
enum lb_standing {
    LB_OUT,     /* not at all: drained, in maintenance, not yet proved */
    LB_DOWN,    /* its checks fail: only in panic */
    LB_DOUBTED, /* it failed a moment ago: only when nobody else is left */
    LB_USABLE,
};

/* One line of memory holds two: those of a group lie beside each other. */
struct lb_target {
    _Atomic uint32_t inflight;    /* counted by the caller of pick() */
    _Atomic uint32_t limit;       /* most of it; 0: none */
    _Atomic uint32_t connections; /* open ones; inflight / connections is how many share one */
    _Atomic uint16_t share;       /* of its weight, LB_SHARE_FULL is all: slow start, load */
    _Atomic uint8_t  standing;    /* enum lb_standing */
    _Atomic uint32_t average_us;  /* what an answer takes, moving average; 0: not known yet */
    _Atomic uint32_t peak_us;     /* the same, but rises at once and falls slowly */
    _Atomic uint32_t observed_ms; /* when, monotonic, low 32 bits */
};

/* Where a target stands among the others. */
struct lb_place {
    uint16_t tier;   /* 0 is used first; the next one when too few of it are usable */
    uint16_t region; /* index, LB_NO_REGION */
};

struct lb_set {
    size_t                   n;
    struct lb_target *const *targets;
    const uint32_t          *weights; /* 1..LB_WEIGHT_MAX */
    const uint64_t          *keys;    /* who it is, the same in each set (a hash of its address):
                                       * for consistent hashing */
    const struct lb_place   *places;  /* NULL: all the same */
    size_t                   regions; /* how many there are */
    const uint16_t          *near;    /* regions * regions: from a region, itself first, then the
                                       * nearest, the next, ... */
    const uint32_t          *whole;   /* in a part of a set: each one's index in the whole, by which
                                       * lb_ask.tried counts; NULL: this is the whole */
};

struct lb_ask {
    uint64_t         affinity; /* hash of a client, cookie or URI; 0 if none */
    uint64_t         entropy;  /* fresh random bits */
    uint64_t         now_us;   /* monotonic */
    const bool      *tried;    /* flags set by a retry, one for each of the set that was given to
                                * lb_policy_new(); NULL at first */
    unsigned         worker;   /* who asks */
    uint16_t         region;   /* where the work comes from; LB_NO_REGION */
    enum lb_standing least;    /* LB_USABLE at first, then LB_DOUBTED, then LB_DOWN */
    bool             full_too; /* those at their limit as well: to queue there */
    bool             any_share; /* do not thin out by share */
    bool             reuse;    /* of those that are equally busy, one with an idle connection */
};

/* What can be set of a policy; those whom it does not concern ignore it. */
struct lb_options {
    uint64_t bound;     /* hash: most of the average load that one target takes, in millionths
                         * (1250000: a quarter more); 0: no bound */
    uint64_t spill;     /* tiers and regions: below this share of usable ones (millionths), part
                         * of the work goes to the next; 0: only when none is left */
    uint32_t subset;    /* each worker uses only so many of the set; 0: all */
    unsigned workers;   /* how many there are */
    bool     reuse;     /* two choices: as in struct lb_ask */
    uint64_t seed;      /* subsets: tells this process from its siblings on other machines, so that
                         * together they use all of the set */
};

struct lb_policy {
    const struct lb_policy_ops *ops;
    const struct lb_set        *set;
};

struct lb_policy_ops {
    const char *name;
    const char *summary;
    /* NULL when out of memory.  The set outlives the policy, the options do not. */
    struct lb_policy *(*create)(const struct lb_set *set, const struct lb_options *options);
    void (*destroy)(struct lb_policy *p);
    /* Index of a target that lb_fits(), or LB_NONE.  Never waits, never allocates. */
    size_t (*pick)(struct lb_policy *p, const struct lb_ask *ask);
};

/* All that are compiled in; ends with NULL. */
extern const struct lb_policy_ops *const lb_policies[];
extern const struct lb_policy_ops lb_round_robin, lb_random, lb_least_connections, lb_two_choices,
    lb_peak_ewma, lb_least_time, lb_hash;

/* A policy over the set: `ops`, wrapped in tiers and regions when the set has places and in subsets
 * when the options say so.  NULL when out of memory. */
struct lb_policy *lb_policy_new(const struct lb_set *set, const struct lb_policy_ops *ops,
                                const struct lb_options *options);
void lb_policy_free(struct lb_policy *p);
/* Asks it; when shares alone left everybody out, once more without them. */
size_t lb_pick(struct lb_policy *p, const struct lb_ask *ask);

/* An answer took so long: for peak_ewma and least_time.  When two workers observe at once, one of
 * the two samples may be lost. */
void lb_observe(struct lb_target *t, uint32_t took_us, uint64_t now_us);

/* Thins out: true for `share` of all entropy. */
static inline bool
lb_accepts(uint16_t share, uint64_t entropy, size_t i)
{
    return ((entropy ^ (i + 1) * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u) >> 48 < share;
}

static inline bool
lb_fits(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    const struct lb_target *t = set->targets[i];
    uint32_t limit = atomic_load_explicit(&t->limit, memory_order_relaxed);
    uint16_t share = atomic_load_explicit(&t->share, memory_order_relaxed);

    if (atomic_load_explicit(&t->standing, memory_order_relaxed) < ask->least ||
        (ask->tried && ask->tried[set->whole ? set->whole[i] : i]))
        return false;
    if (limit && !ask->full_too &&
        atomic_load_explicit(&t->inflight, memory_order_relaxed) >= limit)
        return false;
    return share == LB_SHARE_FULL || ask->any_share || lb_accepts(share, ask->entropy, i);
}

/* The first that fits from `start` on, round once; LB_NONE. */
size_t lb_first_fit(const struct lb_set *set, const struct lb_ask *ask, size_t start);

#endif
