/* SPDX-License-Identifier: Apache-2.0 */
/* balance/policy_test.c - what every policy promises, replayed with dice of our own. */
#include "balance/testing.h"

enum { PICKS = 100000 };

TEST(an_empty_set_has_nobody)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;
        struct lb_ask ask;

        group_make(&g, ops, 0, NULL);
        ask = group_ask(&g);
        EXPECT_OF(ops, group_pick(&g, &ask) == LB_NONE);
        group_free(&g);
    }
}

TEST(a_lone_server_gets_everything)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, 1, NULL);
        group_load(&g, 100);
        EXPECT_OF(ops, g.picked[0] == 100);
        group_free(&g);
    }
}

TEST(who_is_out_of_service_or_tried_is_not_picked)
{
    FOR_EACH_POLICY(ops)
    {
        static const bool tried[3] = {true, false, false};
        struct group g;
        struct lb_ask ask;

        group_make(&g, ops, 3, NULL);
        g.targets[2].standing = LB_DOUBTED;
        for (int i = 0; i < 1000; i++) {
            ask = group_ask(&g);
            ask.tried = tried;
            EXPECT_OF(ops, group_pick(&g, &ask) == 1);
        }
        g.targets[1].standing = LB_OUT;
        EXPECT_OF(ops, group_pick(&g, &ask) == LB_NONE);
        group_free(&g);
    }
}

TEST(in_panic_the_doubted_are_picked_and_those_out_are_not)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, 3, NULL);
        g.targets[0].standing = g.targets[1].standing = LB_DOUBTED;
        g.targets[2].standing = LB_OUT;
        for (int i = 0; i < 1000; i++) {
            struct lb_ask ask = group_ask(&g);

            ask.least = LB_DOUBTED;
            group_pick(&g, &ask);
        }
        EXPECT_OF(ops, g.picked[0] > 300 && g.picked[1] > 300);
        EXPECT_OF(ops, g.picked[2] == 0);
        group_free(&g);
    }
}

TEST(who_is_at_its_limit_is_picked_only_to_queue)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;
        struct lb_ask ask;

        group_make(&g, ops, 2, NULL);
        for (int i = 0; i < 2; i++) {
            g.targets[i].limit = 5;
            g.targets[i].inflight = 4;
        }
        group_load(&g, 2);
        EXPECT_OF(ops, g.picked[0] == 1 && g.picked[1] == 1);
        ask = group_ask(&g);
        EXPECT_OF(ops, group_pick(&g, &ask) == LB_NONE);
        ask.full_too = true;
        EXPECT_OF(ops, group_pick(&g, &ask) != LB_NONE);
        group_free(&g);
    }
}

TEST(the_last_of_ten_thousand_is_found)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, TESTING_MOST, NULL);
        for (size_t i = 0; i < TESTING_MOST; i++)
            g.targets[i].standing = i == 7777 ? LB_USABLE : LB_OUT;
        group_load(&g, 20);
        EXPECT_OF(ops, g.picked[7777] == 20);
        group_free(&g);
    }
}

static void
load_with(struct group *g, const struct lb_policy_ops *ops, size_t n, const uint32_t *weights)
{
    group_make(g, ops, n, weights);
    group_load(g, PICKS);
}

TEST(shares_follow_the_weights_within_one_percent)
{
    static const uint32_t some[5] = {1, 2, 3, 10, 100}, odd[4] = {65535, 1, 32771, 9973},
                          equal[2] = {7, 7};

    FOR_EACH_POLICY(ops)
    {
        struct group g;

        load_with(&g, ops, 5, some);
        EXPECT_OF(ops, group_worst_error(&g) < 0.01);
        group_free(&g);
        load_with(&g, ops, 4, odd);
        EXPECT_OF(ops, group_worst_error(&g) < 0.01);
        group_free(&g);
        load_with(&g, ops, 2, equal);
        EXPECT_OF(ops, group_worst_error(&g) < 0.01);
        group_free(&g);
    }
}

/* Light load must not all go to the heaviest, nor to the first. */
TEST(shares_follow_the_weights_while_everybody_is_idle)
{
    static const uint32_t weights[4] = {1, 2, 3, 4};

    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, 4, weights);
        group_idle_picks(&g, PICKS);
        EXPECT_OF(ops, group_worst_error(&g) < 0.01);
        group_free(&g);
    }
}

TEST(one_heavy_among_a_thousand_gets_its_share)
{
    static uint32_t weights[1000];

    for (int i = 0; i < 1000; i++)
        weights[i] = (uint32_t) (1 + i * 7919 % 97);
    weights[500] = 65535;
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        load_with(&g, ops, 1000, weights);
        EXPECT_OF(ops, group_worst_error(&g) < 0.01);
        group_free(&g);
    }
}

TEST(proportions_stay_when_most_are_out)
{
    static uint32_t weights[100];

    for (int i = 0; i < 100; i++)
        weights[i] = (uint32_t) (1 + i % 4);
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, 100, weights);
        for (int i = 0; i < 96; i++)
            g.targets[i].standing = LB_OUT;
        group_idle_picks(&g, PICKS);
        for (int i = 0; i < 4; i++) {
            double error = group_share(&g, 96 + i) - (1 + i) / 10.0;

            EXPECT_OF(ops, error < 0.015 && error > -0.015);
        }
        group_free(&g);
    }
}

static double
share_of_a_newcomer(const struct lb_policy_ops *ops, bool busy)
{
    struct group g;
    double share;

    group_make(&g, ops, 4, NULL);
    g.targets[2].share = LB_SHARE_FULL / 10;
    if (busy)
        group_load(&g, PICKS);
    else
        group_idle_picks(&g, PICKS);
    share = group_share(&g, 2);
    group_free(&g);
    return share;
}

/* Slow start: 0.1 of 3.1, or of 4 where what it does not take goes to the next place of its key. */
TEST(who_warms_up_gets_its_part_of_a_share)
{
    FOR_EACH_POLICY(ops)
    {
        double busy = share_of_a_newcomer(ops, true), idle = share_of_a_newcomer(ops, false);

        EXPECT_OF(ops, busy > 0.023 && busy < 0.034);
        EXPECT_OF(ops, idle > 0.023 && idle < 0.034);
    }
}

TEST(when_all_warm_up_shares_are_no_hindrance)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;

        group_make(&g, ops, 2, NULL);
        g.targets[0].share = g.targets[1].share = 1;
        group_load(&g, 1000);
        EXPECT_OF(ops, g.picked[0] > 300 && g.picked[1] > 300);
        group_free(&g);
    }
}

static bool
never_out_of(struct group *g, size_t from, size_t end)
{
    for (size_t i = 0; i < g->set.n; i++)
        if (g->picked[i] && (i < from || i >= end))
            return false;
    return true;
}

TEST(tiers_and_subsets_wrap_any_policy)
{
    FOR_EACH_POLICY(ops)
    {
        struct group g;
        bool tried[12] = {[2] = true};

        group_init(&g, 12, NULL);
        g.set.places = g.places;
        for (size_t i = 0; i < 12; i++)
            g.places[i].tier = i < 3 ? 0 : 1;
        group_use(&g, ops, (struct lb_options){.subset = 10, .workers = 2});
        for (int i = 0; i < 1000; i++) {
            struct lb_ask ask = group_ask(&g);

            ask.worker = (unsigned) i % 2;
            ask.tried = tried;
            group_pick(&g, &ask);
        }
        EXPECT_OF(ops, never_out_of(&g, 0, 2));
        group_free(&g);
    }
}
