/* SPDX-License-Identifier: Apache-2.0 */
/* balance/places_test.c - who gets the work when a tier or a region has not enough. */
#include "balance/testing.h"

#include "balance/mix.h"

enum { PICKS = 100000 };

/* 30 targets: three tiers of ten, or three regions of ten. */
static void
make(struct group *g, bool by_region, uint64_t spill)
{
    static const uint16_t near[9] = {0, 1, 2, 1, 2, 0, 2, 0, 1};

    group_init(g, 30, NULL);
    g->set.places = g->places;
    g->set.regions = by_region ? 3 : 0;
    g->set.near = near;
    for (size_t i = 0; i < 30; i++) {
        if (by_region)
            g->places[i].region = (uint16_t) (i / 10);
        else
            g->places[i].tier = (uint16_t) (i / 10 * 5); /* numbers may have gaps */
    }
    group_use(g, &lb_random, (struct lb_options){.spill = spill});
}

static void
take_out(struct group *g, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++)
        g->targets[i].standing = LB_OUT;
}

/* Shares in percent of the three tens, of new picks. */
static void
shares(struct group *g, uint16_t region, int percent[3])
{
    memset(g->picked, 0, g->set.n * sizeof(g->picked[0]));
    for (int i = 0; i < PICKS; i++) {
        struct lb_ask ask = group_ask(g); /* time stands still */

        ask.region = region;
        group_pick(g, &ask);
    }
    for (int ten = 0; ten < 3; ten++) {
        double share = 0;

        for (size_t i = 0; i < 10; i++)
            share += group_share(g, (size_t) ten * 10 + i);
        percent[ten] = (int) (share * 100 + 0.5);
    }
}

#define EXPECT_SHARES(g, region, a, b, c)                                                         \
    do {                                                                                          \
        int percent_[3];                                                                          \
        shares(g, region, percent_);                                                              \
        EXPECT(percent_[0] >= (a) -1 && percent_[0] <= (a) + 1);                                  \
        EXPECT(percent_[1] >= (b) -1 && percent_[1] <= (b) + 1);                                  \
        EXPECT(percent_[2] >= (c) -1 && percent_[2] <= (c) + 1);                                  \
    } while (0)

TEST(work_goes_to_the_lowest_tier_and_on_when_nobody_is_left)
{
    struct group g;

    make(&g, false, 0);
    EXPECT_SHARES(&g, LB_NO_REGION, 100, 0, 0);
    take_out(&g, 0, 9);
    EXPECT_SHARES(&g, LB_NO_REGION, 100, 0, 0); /* without spill the last one takes all */
    take_out(&g, 9, 1);
    EXPECT_SHARES(&g, LB_NO_REGION, 0, 100, 0);
    take_out(&g, 10, 10);
    EXPECT_SHARES(&g, LB_NO_REGION, 0, 0, 100);
    g.targets[3].standing = LB_USABLE;
    EXPECT_SHARES(&g, LB_NO_REGION, 100, 0, 0);
    group_free(&g);
}

TEST(a_tier_with_too_few_keeps_only_what_it_can_bear)
{
    struct group g;

    make(&g, false, 700000);
    take_out(&g, 0, 3); /* 70 % are enough */
    EXPECT_SHARES(&g, LB_NO_REGION, 100, 0, 0);
    take_out(&g, 3, 2); /* 50 of 70 */
    EXPECT_SHARES(&g, LB_NO_REGION, 71, 29, 0);
    take_out(&g, 10, 9); /* 50 of 70, 10 of 70, the rest */
    EXPECT_SHARES(&g, LB_NO_REGION, 71, 14, 14);
    take_out(&g, 20, 9); /* 50 to 10 to 10: all together cannot keep everything */
    EXPECT_SHARES(&g, LB_NO_REGION, 71, 14, 14);
    take_out(&g, 0, 9);
    g.targets[9].standing = LB_USABLE;
    EXPECT_SHARES(&g, LB_NO_REGION, 33, 33, 33);
    group_free(&g);
}

TEST(work_goes_to_the_nearest_region)
{
    struct group g;

    make(&g, true, 700000);
    EXPECT_SHARES(&g, 0, 100, 0, 0);
    EXPECT_SHARES(&g, 1, 0, 100, 0);
    EXPECT_SHARES(&g, LB_NO_REGION, 33, 33, 33);
    take_out(&g, 10, 5);
    EXPECT_SHARES(&g, 1, 0, 71, 29);
    EXPECT_SHARES(&g, 0, 100, 0, 0);
    take_out(&g, 15, 5);
    EXPECT_SHARES(&g, 1, 0, 0, 100);
    group_free(&g);
}

TEST(tiers_come_before_regions)
{
    struct group g;
    struct lb_ask ask;

    make(&g, true, 0);
    for (size_t i = 0; i < 10; i++)
        g.places[i].tier = 1; /* all of region 0 is a reserve */
    lb_policy_free(g.policy);
    group_use(&g, &lb_random, (struct lb_options){.spill = 0});
    EXPECT_SHARES(&g, 0, 0, 100, 0); /* its neighbour, not itself */
    take_out(&g, 10, 20);
    EXPECT_SHARES(&g, 0, 100, 0, 0);
    take_out(&g, 0, 10);
    ask = group_ask(&g);
    ask.region = 0;
    EXPECT(group_pick(&g, &ask) == LB_NONE);
    group_free(&g);
}

TEST(those_without_a_region_are_the_last_resort_of_regions)
{
    struct group g;

    make(&g, true, 0);
    for (size_t i = 20; i < 30; i++)
        g.places[i].region = LB_NO_REGION;
    lb_policy_free(g.policy);
    group_use(&g, &lb_random, (struct lb_options){.spill = 0});
    EXPECT_SHARES(&g, 0, 100, 0, 0);
    take_out(&g, 0, 20);
    EXPECT_SHARES(&g, 0, 0, 0, 100);
    EXPECT_SHARES(&g, LB_NO_REGION, 0, 0, 100);
    group_free(&g);
}

/* Full or tried, not out: only the pick finds out, and passes on; in the end back again. */
TEST(a_cell_that_has_nobody_passes_on)
{
    struct group g;
    struct lb_ask ask;
    bool tried[30] = {false};

    make(&g, false, 0);
    for (size_t i = 0; i < 10; i++) {
        g.targets[i].limit = g.targets[i].inflight = 1;
        tried[10 + i] = true;
    }
    ask = group_ask(&g);
    ask.tried = tried;
    EXPECT(group_pick(&g, &ask) >= 20);
    take_out(&g, 20, 10);
    EXPECT(group_pick(&g, &ask) == LB_NONE);
    ask.full_too = true;
    EXPECT(group_pick(&g, &ask) < 10);
    group_free(&g);
}

TEST(a_key_keeps_its_tier)
{
    struct group g;

    make(&g, false, 700000);
    lb_policy_free(g.policy);
    group_use(&g, &lb_hash, (struct lb_options){.spill = 700000});
    take_out(&g, 0, 5);
    for (uint64_t key = 1; key < 1000; key++) {
        struct lb_ask one = group_ask(&g), two = group_ask(&g);

        one.affinity = two.affinity = lb_mix(key);
        EXPECT_EQ(group_pick(&g, &one), group_pick(&g, &two));
    }
    group_free(&g);
}

/* Large groups are counted rarely, but not so rarely that it could be seen. */
TEST(ten_thousand_notice_what_changes)
{
    struct group g;
    struct lb_ask ask;
    unsigned high = 0;

    group_init(&g, TESTING_MOST, NULL);
    g.set.places = g.places;
    for (size_t i = 0; i < TESTING_MOST; i++)
        g.places[i].tier = i >= TESTING_MOST / 2;
    group_use(&g, &lb_round_robin, (struct lb_options){.spill = 1000000});
    ask = group_ask(&g);
    EXPECT(group_pick(&g, &ask) < TESTING_MOST / 2);
    take_out(&g, 0, TESTING_MOST / 4);
    for (int i = 0; i < 1000; i++) {
        ask = group_ask(&g);
        ask.now_us = 100000 + (uint64_t) i; /* 100 ms later */
        high += group_pick(&g, &ask) >= TESTING_MOST / 2;
    }
    EXPECT(high > 400 && high < 600);
    group_free(&g);
}
