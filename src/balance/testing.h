/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/testing.h - groups of servers for unit tests: all in service, nobody busy, dice of their
 * own.
 */
#ifndef BALANCE_TESTING_H
#define BALANCE_TESTING_H

#include "balance/policy.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <stdlib.h>

enum { TESTING_MOST = 10000 };

struct group {
    struct lb_target  *targets; /* beside each other, as upstream/ keeps them */
    struct lb_target **pointers;
    uint32_t          *weights;
    uint64_t          *keys;
    struct lb_place   *places;
    unsigned          *picked;
    struct lb_set      set;
    struct lb_policy  *policy;
    struct dice        dice;
};

/* `weights` NULL: all 1.  The policy comes with group_use(). */
static inline void
group_init(struct group *g, size_t n, const uint32_t *weights)
{
    *g = (struct group){
        .targets = calloc(n + 1, sizeof(*g->targets)),
        .pointers = calloc(n + 1, sizeof(*g->pointers)),
        .weights = calloc(n + 1, sizeof(*g->weights)),
        .keys = calloc(n + 1, sizeof(*g->keys)),
        .places = calloc(n + 1, sizeof(*g->places)),
        .picked = calloc(n + 1, sizeof(*g->picked)),
    };
    CHECK(g->targets && g->pointers && g->weights && g->keys && g->places && g->picked);
    for (size_t i = 0; i < n; i++) {
        g->targets[i].standing = LB_USABLE;
        g->targets[i].share = LB_SHARE_FULL;
        g->pointers[i] = &g->targets[i];
        g->weights[i] = weights ? weights[i] : 1;
        g->keys[i] = i + 1;
        g->places[i].region = LB_NO_REGION;
    }
    g->set = (struct lb_set){
        .n = n, .targets = g->pointers, .weights = g->weights, .keys = g->keys};
    dice_init(&g->dice, 42);
}

static inline void
group_use(struct group *g, const struct lb_policy_ops *ops, struct lb_options options)
{
    g->policy = lb_policy_new(&g->set, ops, &options);
    CHECK(g->policy);
}

/* A group with a policy, nothing special. */
static inline void
group_make(struct group *g, const struct lb_policy_ops *ops, size_t n, const uint32_t *weights)
{
    group_init(g, n, weights);
    group_use(g, ops, (struct lb_options){.bound = 0});
}

static inline void
group_free(struct group *g)
{
    lb_policy_free(g->policy);
    free(g->targets);
    free(g->pointers);
    free(g->weights);
    free(g->keys);
    free(g->places);
    free(g->picked);
}

static inline struct lb_ask
group_ask(struct group *g)
{
    return (struct lb_ask){
        .entropy = dice_next(&g->dice), .least = LB_USABLE, .region = LB_NO_REGION, .now_us = 1};
}

/* Counts whom it picked. */
static inline size_t
group_pick(struct group *g, const struct lb_ask *ask)
{
    size_t at = lb_pick(g->policy, ask);

    CHECK(at == LB_NONE || at < g->set.n);
    if (at != LB_NONE)
        g->picked[at]++;
    return at;
}

/* Picks for work that never ends: policies that look at it see all of it. */
static inline void
group_load(struct group *g, unsigned picks)
{
    for (unsigned i = 0; i < picks; i++) {
        struct lb_ask ask = group_ask(g);
        size_t at = group_pick(g, &ask);

        CHECK(at != LB_NONE);
        g->targets[at].inflight++;
    }
}

/* Picks while nobody is ever busy. */
static inline void
group_idle_picks(struct group *g, unsigned picks)
{
    for (unsigned i = 0; i < picks; i++) {
        struct lb_ask ask = group_ask(g);

        group_pick(g, &ask);
    }
}

/* What target i got, of all picks so far. */
static inline double
group_share(const struct group *g, size_t i)
{
    double total = 0;

    for (size_t k = 0; k < g->set.n; k++)
        total += g->picked[k];
    return total > 0 ? g->picked[i] / total : 0;
}

/* The largest difference between what one got and what its weight says, of all picks. */
static inline double
group_worst_error(const struct group *g)
{
    double weight = 0, worst = 0, total = 0;

    for (size_t i = 0; i < g->set.n; i++) {
        weight += g->weights[i];
        total += g->picked[i];
    }
    for (size_t i = 0; i < g->set.n; i++) {
        double error = g->picked[i] / total - g->weights[i] / weight;

        worst = error > worst ? error : -error > worst ? -error : worst;
    }
    return worst;
}

/* As EXPECT, and says with whom it went wrong. */
#define EXPECT_OF(ops, condition)                                                                 \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            test_failed(__FILE__, __LINE__, "%s: expected %s", (ops)->name, #condition);          \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define FOR_EACH_POLICY(ops)                                                                      \
    for (const struct lb_policy_ops *const *each = lb_policies, *ops = *each; ops; ops = *++each)

#endif
