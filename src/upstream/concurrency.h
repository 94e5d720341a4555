/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/concurrency.h - how many exchanges at a time a group bears, learned from its latency.
 * Private to the room.
 *
 * A group that has reached its capacity answers no more when it gets more at a time, it only
 * answers later.  So the limit follows the ratio of the latency at its best to the present one
 * (the gradient of Netflix' concurrency-limits and of Envoy's adaptive concurrency filter):
 *
 *     limit = limit * min(1, tolerance * best / present) + sqrt(limit) / 2
 *
 * where the root lets a few queue, so that there is something to notice.
 *
 * The best latency is measured anew now and then by lowering the limit for a moment, as BBR does
 * (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016): measured under load it
 * would rise a little each time, and the limit with it.
 *
 * Threads   all workers at once; the limit is learned at most every 100 ms by whichever comes by.
 */
#ifndef UPSTREAM_CONCURRENCY_H
#define UPSTREAM_CONCURRENCY_H

#include "upstream/guard.h"

/* Written by one worker each; grows only. */
struct concurrency_line {
    _Atomic uint64_t answers, took_us; /* answers, and how long they took altogether */
    _Atomic uint64_t lost;             /* failed without an answer */
} __attribute__((aligned(64)));

struct concurrency_counts {
    uint64_t answers, took_us, lost;
};

enum concurrency_phase {
    CONCURRENCY_FOLLOWING,
    CONCURRENCY_DRAINING,  /* the limit is lowered; what was queued before is still coming out */
    CONCURRENCY_MEASURING, /* what comes now is the best latency */
};

struct concurrency {
    unsigned                 workers;
    struct concurrency_line *lines;
    _Atomic uint32_t         limit;  /* 0: nothing learned yet */
    _Atomic uint32_t         peak;   /* most in flight since the limit was last looked at */
    _Atomic uint64_t         due_us; /* when it is looked at next; UINT64_MAX: somebody does */
    /* Whoever looks: */
    enum concurrency_phase   phase;
    double                   learned;   /* the limit, but for that */
    double                   best_us;   /* 0: not known yet */
    uint64_t                 phase_us;  /* since when it is in this phase */
    uint64_t                 measure_after_us; /* of following */
    uint64_t                 window_us; /* since when it has been counting */
    struct concurrency_counts before;   /* all that had been counted by then */
};

/* False when out of memory. */
bool concurrency_init(struct concurrency *c, unsigned workers);
void concurrency_free(struct concurrency *c);
/* The limit in force, within the bounds of the configuration. */
uint32_t concurrency_limit(const struct concurrency *c, const struct concurrency_config *config);
/* An exchange begins, and so many are in flight now. */
void concurrency_enter(struct concurrency *c, uint32_t inflight);
/* One has ended.  took_us: to the head of its answer, 0 when there was none.  Failed without an
 * answer: lost.  An error that was answered says nothing of latency: it may come much sooner than
 * what it stands for. */
void concurrency_leave(struct concurrency *c, const struct concurrency_config *config,
                       unsigned worker, uint64_t now_us, bool failed, uint64_t took_us);

#endif
