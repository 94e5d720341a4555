/* SPDX-License-Identifier: Apache-2.0 */
/* balance/least_connections_test.c - exact, compared with the plain definition. */
#include "balance/testing.h"

#include "balance/load.h"

TEST(the_least_busy_for_its_weight_wins)
{
    static const uint32_t weights[3] = {1, 1, 2};
    struct group g;
    struct lb_ask ask;

    group_make(&g, &lb_least_connections, 3, weights);
    g.targets[0].inflight = 3;
    g.targets[1].inflight = 2;
    g.targets[2].inflight = 3;
    ask = group_ask(&g);
    EXPECT_EQ(group_pick(&g, &ask), 2); /* four for a weight of two */
    g.targets[2].inflight = 100;
    EXPECT_EQ(group_pick(&g, &ask), 1);
    g.targets[0].inflight = 0;
    EXPECT_EQ(group_pick(&g, &ask), 0);
    group_free(&g);
}

TEST(equals_take_turns)
{
    struct group g;

    group_make(&g, &lb_least_connections, 4, NULL);
    for (int i = 0; i < 4; i++)
        g.targets[i].inflight = 7;
    group_idle_picks(&g, 4000);
    for (int i = 0; i < 4; i++)
        EXPECT(g.picked[i] > 800 && g.picked[i] < 1200);
    group_free(&g);
}

static double
load_of(const struct group *g, const struct lb_ask *ask, size_t i)
{
    return (double) lb_work(g->targets[i].inflight) / lb_weight_now(&g->set, ask, i);
}

/* Everything at random: loads, weights (or none), standing, limits, shares. */
static void
shuffle(struct group *g, bool weighted)
{
    for (size_t i = 0; i < g->set.n; i++) {
        uint64_t dice = dice_next(&g->dice);

        g->targets[i].inflight = (uint32_t) (dice % 8);
        g->targets[i].limit = dice >> 8 & 1 ? 6 : 0;
        g->targets[i].standing = (dice >> 9 & 3) ? LB_USABLE : LB_DOUBTED;
        g->targets[i].share = (dice >> 11 & 3) ? LB_SHARE_FULL : (uint16_t) (dice >> 16);
        g->weights[i] = weighted ? 1 + (uint32_t) (dice >> 32) % LB_WEIGHT_MAX : 1;
    }
    lb_policy_free(g->policy);
    group_use(g, &lb_least_connections, (struct lb_options){.bound = 0});
}

TEST(nobody_who_fits_is_ever_better_than_the_pick)
{
    struct group g;

    group_make(&g, &lb_least_connections, 50, NULL);
    for (int round = 0; round < 4000; round++) {
        struct lb_ask ask;
        size_t at;

        shuffle(&g, round % 2);
        ask = group_ask(&g);
        at = g.policy->ops->pick(g.policy, &ask);
        for (size_t i = 0; i < g.set.n; i++) {
            EXPECT(at != LB_NONE || !lb_fits(&g.set, &ask, i));
            EXPECT(at == LB_NONE || !lb_fits(&g.set, &ask, i) ||
                   load_of(&g, &ask, i) >= load_of(&g, &ask, at) * 0.999999);
        }
    }
    group_free(&g);
}

TEST(loads_and_weights_at_their_limits_do_not_overflow)
{
    static const uint32_t weights[3] = {1, LB_WEIGHT_MAX, LB_WEIGHT_MAX};
    struct group g;
    struct lb_ask ask;

    group_make(&g, &lb_least_connections, 3, weights);
    g.targets[0].inflight = UINT32_MAX;
    g.targets[1].inflight = UINT32_MAX;
    g.targets[2].inflight = UINT32_MAX - 1;
    for (int i = 0; i < 100; i++) {
        ask = group_ask(&g);
        EXPECT_EQ(group_pick(&g, &ask), 2);
    }
    group_free(&g);
}
