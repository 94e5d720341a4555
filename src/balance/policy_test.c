/* SPDX-License-Identifier: Apache-2.0 */
/* balance/policy_test.c - what every policy promises, replayed with dice of our own. */
#include "balance/policy.h"

#include "base/clock.h"
#include "base/test.h"

#include <stdlib.h>

enum { MOST = 8, PICKS = 100000 };

struct group {
    struct lb_target  targets[MOST];
    struct lb_target *pointers[MOST];
    uint32_t          weights[MOST];
    struct lb_set     set;
    struct lb_policy *policy;
    struct dice       dice;
    unsigned          picked[MOST];
};

static void
make(struct group *g, const struct lb_policy_ops *ops, size_t n, const uint32_t *weights)
{
    memset(g, 0, sizeof(*g));
    for (size_t i = 0; i < n; i++) {
        g->targets[i].usable = true;
        g->pointers[i] = &g->targets[i];
        g->weights[i] = weights ? weights[i] : 1;
    }
    g->set = (struct lb_set){n, g->pointers, g->weights};
    g->policy = ops->create(&g->set);
    dice_init(&g->dice, 42);
}

static void
destroy(struct group *g)
{
    g->policy->ops->destroy(g->policy);
}

static size_t
pick(struct group *g, const bool *tried)
{
    struct lb_ask ask = {.entropy = dice_next(&g->dice), .tried = tried};
    size_t i = g->policy->ops->pick(g->policy, &ask);

    if (i != LB_NONE)
        g->picked[i]++;
    return i;
}

#define FOR_EACH_POLICY(ops)                                                                      \
    for (const struct lb_policy_ops *const *each = lb_policies, *ops = *each; ops; ops = *++each)

TEST(an_empty_set_has_nobody)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        make(&g, ops, 0, NULL);
        EXPECT(pick(&g, NULL) == LB_NONE);
        destroy(&g);
    }
}

TEST(a_lone_server_gets_everything)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        make(&g, ops, 1, NULL);
        for (int i = 0; i < 100; i++)
            EXPECT_EQ(pick(&g, NULL), 0);
        destroy(&g);
    }
}

TEST(who_is_out_of_service_or_tried_is_not_picked)
{
    FOR_EACH_POLICY(ops)
    {
        static const bool tried[3] = {true, false, false};
        struct group g;

        make(&g, ops, 3, NULL);
        g.targets[2].usable = false;
        for (int i = 0; i < 1000; i++)
            EXPECT_EQ(pick(&g, tried), 1);
        g.targets[1].usable = false;
        EXPECT(pick(&g, tried) == LB_NONE);
        destroy(&g);
    }
}

/* The error of each share, in hundredths of a percent of all picks. */
static unsigned
worst_error(const struct group *g)
{
    double total = 0, worst = 0;

    for (size_t i = 0; i < g->set.n; i++)
        total += g->weights[i];
    for (size_t i = 0; i < g->set.n; i++) {
        double error = g->picked[i] / (double) PICKS - g->weights[i] / total;

        worst = error > worst ? error : -error > worst ? -error : worst;
    }
    return (unsigned) (worst * 10000);
}

TEST(shares_follow_the_weights_within_one_percent)
{
    static const uint32_t weights[5] = {1, 2, 3, 10, 100};

    FOR_EACH_POLICY(ops)
    {
        struct group g;

        make(&g, ops, 5, weights);
        for (int i = 0; i < PICKS; i++) {
            size_t at = pick(&g, NULL);

            EXPECT(at < MOST);
            /* Work that never ends: least_connections sees all of it. */
            g.targets[at].inflight++;
        }
        EXPECT(worst_error(&g) < 100);
        destroy(&g);
    }
}

TEST(round_robin_interleaves_smoothly)
{
    static const uint32_t weights[3] = {5, 1, 1};
    static const size_t wanted[7] = {0, 0, 1, 0, 2, 0, 0};
    struct group g;

    make(&g, &lb_round_robin, 3, weights);
    for (int i = 0; i < 7; i++)
        EXPECT_EQ(pick(&g, NULL), wanted[i]);
    destroy(&g);
}

TEST(least_connections_prefers_the_idle_and_spreads_equals)
{
    static const uint32_t weights[3] = {1, 1, 2};
    struct group g;

    make(&g, &lb_least_connections, 3, weights);
    g.targets[0].inflight = 3;
    g.targets[1].inflight = 2;
    g.targets[2].inflight = 3;
    EXPECT_EQ(pick(&g, NULL), 2); /* four for a weight of two */
    g.targets[2].inflight = 100;
    EXPECT_EQ(pick(&g, NULL), 1);
    destroy(&g);
    make(&g, &lb_least_connections, 4, NULL);
    for (int i = 0; i < 4000; i++)
        pick(&g, NULL);
    for (int i = 0; i < 4; i++)
        EXPECT(g.picked[i] > 800 && g.picked[i] < 1200);
    destroy(&g);
}
