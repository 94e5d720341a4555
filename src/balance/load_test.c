/* SPDX-License-Identifier: Apache-2.0 */
/* balance/load_test.c - what is remembered of answers, and for how long. */
#include "balance/load.h"

#include "balance/testing.h"

static const uint64_t second_us = 1000000;

TEST(the_peak_rises_at_once_and_falls_slowly)
{
    struct lb_target t = {.inflight = 0};
    uint64_t now_us = 5 * second_us;

    lb_observe(&t, 1000, now_us);
    EXPECT_EQ(t.peak_us, 1000);
    lb_observe(&t, 9000, now_us);
    EXPECT_EQ(t.peak_us, 9000);
    lb_observe(&t, 1000, now_us);
    EXPECT_EQ(t.peak_us, 9000);
    for (int i = 0; i < 8192; i++) /* a half-life of fast answers */
        lb_observe(&t, 1000, now_us += 1000);
    EXPECT(t.peak_us > 4500 && t.peak_us < 6200);
    for (int i = 0; i < 100000; i++)
        lb_observe(&t, 1000, now_us += 1000);
    EXPECT(t.peak_us >= 1000 && t.peak_us < 1100);
}

TEST(the_average_is_not_moved_by_one_slow_answer)
{
    struct lb_target t = {.inflight = 0};

    lb_observe(&t, 1000, second_us);
    EXPECT_EQ(t.average_us, 1000);
    lb_observe(&t, 9000, second_us);
    EXPECT_EQ(t.average_us, 1500);
    for (int i = 0; i < 200; i++)
        lb_observe(&t, 9000, second_us);
    EXPECT(t.average_us > 8900 && t.average_us <= 9000);
}

TEST(an_answer_at_once_is_a_measurement_too)
{
    struct lb_target t = {.inflight = 0};

    lb_observe(&t, 0, second_us);
    EXPECT(t.average_us > 0 && t.peak_us > 0);
    lb_observe(&t, UINT32_MAX, second_us);
    EXPECT_EQ(t.peak_us, UINT32_MAX);
}

static double
load_at(struct group *g, uint64_t now_us, uint32_t measured_us)
{
    struct lb_ask ask = group_ask(g);

    ask.now_us = now_us;
    return lb_time_load(&g->set, &ask, 0, measured_us);
}

TEST(a_measurement_fades_while_nobody_asks)
{
    struct group g;
    uint64_t long_ago_us = 40ull * 86400 * second_us; /* milliseconds have left 31 bits */
    double fresh;

    group_make(&g, &lb_random, 1, NULL);
    lb_observe(&g.targets[0], 80000, long_ago_us);
    fresh = load_at(&g, long_ago_us, 80000);
    EXPECT(load_at(&g, long_ago_us - 1000, 80000) >= fresh); /* a clock that is behind */
    EXPECT(load_at(&g, long_ago_us + 8192000, 80000) < fresh * 0.51);
    EXPECT(load_at(&g, long_ago_us + 8192000, 80000) > fresh * 0.49);
    EXPECT(load_at(&g, long_ago_us + 3600 * second_us, 80000) < fresh * 0.001);
    EXPECT(load_at(&g, long_ago_us + 30ull * 86400 * second_us, 80000) < fresh * 0.001);
    group_free(&g);
}

TEST(who_never_answered_gets_one_to_try_and_no_more)
{
    static const struct lb_policy_ops *const timed[] = {&lb_peak_ewma, &lb_least_time};

    for (size_t i = 0; i < countof(timed); i++) {
        struct group g;

        group_make(&g, timed[i], 2, NULL);
        lb_observe(&g.targets[0], 1000, 1);
        g.targets[0].inflight = 3;
        group_load(&g, 100);
        EXPECT_OF(timed[i], g.picked[1] == 1);
        lb_observe(&g.targets[1], 1000, 1); /* now it has */
        group_load(&g, 100);
        EXPECT_OF(timed[i], g.picked[1] > 90);
        group_free(&g);
    }
}

TEST(a_census_is_rare_by_count_and_by_time)
{
    struct lb_census c;
    uint64_t since, counted = 0;

    lb_census_init(&c, 1000);
    for (int i = 0; i < 32 * 100; i++) {
        counted += lb_census_due(&c, 1, &since);
        EXPECT_EQ(since, i % 32);
    }
    EXPECT_EQ(counted, 100);
    lb_census_due(&c, 1, &since);
    EXPECT(!lb_census_due(&c, 100000, &since));
    EXPECT(lb_census_due(&c, 100001, &since));
    EXPECT(!lb_census_due(&c, 100002, &since));
    lb_census_init(&c, 31); /* few: each time */
    EXPECT(lb_census_due(&c, 1, &since) && lb_census_due(&c, 1, &since));
}

/* How often of 1,000 the one with an idle connection is taken, all else being equal. */
static size_t
connected_picks(bool reuse)
{
    struct group g;
    size_t n = 0;

    group_make(&g, &lb_two_choices, 2, NULL);
    g.targets[1].connections = 2;
    g.targets[0].inflight = g.targets[1].inflight = 1;
    for (int i = 0; i < 1000; i++) {
        struct lb_ask ask = group_ask(&g);

        ask.reuse = reuse;
        n += group_pick(&g, &ask) == 1;
    }
    group_free(&g);
    return n;
}

TEST(two_choices_may_prefer_an_idle_connection)
{
    size_t either = connected_picks(false);

    EXPECT(either > 400 && either < 600);
    EXPECT_EQ(connected_picks(true), 1000);
}
