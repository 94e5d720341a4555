/* SPDX-License-Identifier: Apache-2.0 */
/* Whom real traffic ejects: the rules one by one, then simulated groups with seeded dice. */
#include "upstream/passive.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <math.h>

enum { SECOND = 1000000, MINUTE = 60 * SECOND, MOST = 20 };

struct group {
    struct passive  servers[MOST];
    struct passive *list[MOST];
    size_t          n;
    uint64_t        now_us;
    struct dice     dice;
};

static const struct passive_config in_a_row = {
    .errors = 3,
    .eject_us = 10 * SECOND,
    .max_eject_us = 25 * SECOND,
    .max_ejected = 500000,
};
static const struct passive_config by_rate = {
    .error_rate = 100000,
    .minimum = 20,
    .eject_us = 10 * SECOND,
    .max_eject_us = 300u * SECOND,
    .max_ejected = 500000,
};
static const struct passive_config by_latency = {
    .latency = 2000000,
    .minimum = 20,
    .eject_us = 10 * SECOND,
    .max_eject_us = 300u * SECOND,
    .max_ejected = 500000,
};

static void
assemble(struct group *g, size_t n)
{
    *g = (struct group){.n = n, .now_us = 1000 * (uint64_t) SECOND};
    for (size_t i = 0; i < n; i++)
        g->list[i] = &g->servers[i];
    dice_init(&g->dice, 7);
}

static size_t
judge(struct group *g, const struct passive_config *config, bool periodic)
{
    return passive_judge(g->list, g->n, config, g->now_us, periodic);
}

static size_t
count_out(const struct group *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++)
        n += g->servers[i].until_us != 0;
    return n;
}

static bool
fail_in_a_row(struct group *g, size_t i, int times)
{
    bool due = false;

    while (times--)
        due = passive_note(&g->servers[i], &in_a_row, true, 0);
    return due;
}

/* ------------------------------------------------------------------ in a row */

TEST(the_last_of_so_many_failures_in_a_row_ejects)
{
    struct group g;

    assemble(&g, 4);
    EXPECT(!fail_in_a_row(&g, 1, 2));
    EXPECT_EQ(judge(&g, &in_a_row, false), 0);
    EXPECT(fail_in_a_row(&g, 1, 1));
    EXPECT_EQ(judge(&g, &in_a_row, false), 1);
    EXPECT_EQ(g.servers[1].until_us, g.now_us + 10 * SECOND);
    EXPECT_EQ(count_out(&g), 1);
}

TEST(a_success_in_between_begins_anew)
{
    struct group g;

    assemble(&g, 4);
    fail_in_a_row(&g, 1, 2);
    EXPECT(!passive_note(&g.servers[1], &in_a_row, false, 1000));
    EXPECT(!fail_in_a_row(&g, 1, 2));
    EXPECT_EQ(judge(&g, &in_a_row, true), 0);
}

TEST(it_comes_back_and_is_judged_anew)
{
    struct group g;

    assemble(&g, 4);
    fail_in_a_row(&g, 1, 9); /* what was in flight fails as well */
    judge(&g, &in_a_row, false);
    g.now_us += 10 * SECOND - 1;
    EXPECT_EQ(judge(&g, &in_a_row, true), 0);
    g.now_us++;
    EXPECT_EQ(judge(&g, &in_a_row, true), 1);
    EXPECT_EQ(count_out(&g), 0);
    EXPECT_EQ(judge(&g, &in_a_row, true), 0);
}

TEST(each_further_time_is_longer_up_to_a_bound)
{
    static const uint64_t seconds[] = {10, 20, 25, 25};
    struct group g;

    assemble(&g, 4);
    for (size_t i = 0; i < countof(seconds); i++) {
        fail_in_a_row(&g, 2, 3);
        EXPECT_EQ(judge(&g, &in_a_row, false), 1);
        EXPECT_EQ(g.servers[2].until_us - g.now_us, seconds[i] * SECOND);
        g.now_us = g.servers[2].until_us;
        judge(&g, &in_a_row, false);
    }
}

TEST(each_minute_in_good_health_takes_one_ejection_away)
{
    struct group g;

    assemble(&g, 4);
    for (int i = 0; i < 2; i++) {
        fail_in_a_row(&g, 2, 3);
        judge(&g, &in_a_row, false);
        g.now_us = g.servers[2].until_us;
        judge(&g, &in_a_row, true);
    }
    EXPECT_EQ(g.servers[2].ejections, 2);
    g.now_us += MINUTE - 1;
    judge(&g, &in_a_row, true);
    EXPECT_EQ(g.servers[2].ejections, 2);
    g.now_us++;
    judge(&g, &in_a_row, true);
    EXPECT_EQ(g.servers[2].ejections, 1);
    g.now_us += MINUTE;
    judge(&g, &in_a_row, true);
    EXPECT_EQ(g.servers[2].ejections, 0);
}

TEST(never_more_than_the_share_is_out)
{
    static const struct {
        size_t   n;
        uint64_t share;
        size_t   out;
    } cases[] = {{1, 1000000, 0}, {2, 500000, 1},  {2, 100000, 1},  {2, 1000000, 1},
                 {3, 500000, 1},  {10, 300000, 3}, {10, 290000, 2}, {4, 0, 0},
                 {5, 1000000, 4}, {10, 700000, 7}};

    for (size_t c = 0; c < countof(cases); c++) {
        struct passive_config config = in_a_row;
        struct group g;

        assemble(&g, cases[c].n);
        config.max_ejected = cases[c].share;
        for (size_t i = 0; i < g.n; i++)
            fail_in_a_row(&g, i, 3);
        EXPECT_EQ(judge(&g, &config, false), cases[c].out);
        EXPECT_EQ(judge(&g, &config, true), 0);
        EXPECT_EQ(count_out(&g), cases[c].out);
    }
}

TEST(who_found_no_room_is_out_when_there_is_some)
{
    struct group g;

    assemble(&g, 2);
    fail_in_a_row(&g, 0, 3);
    judge(&g, &in_a_row, false);
    fail_in_a_row(&g, 1, 3);
    EXPECT_EQ(judge(&g, &in_a_row, false), 0);
    g.now_us = g.servers[0].until_us;
    EXPECT_EQ(judge(&g, &in_a_row, true), 2);
    EXPECT(!g.servers[0].until_us && g.servers[1].until_us);
}

TEST(without_a_configuration_all_are_back)
{
    struct group g;

    assemble(&g, 4);
    fail_in_a_row(&g, 1, 3);
    judge(&g, &in_a_row, false);
    EXPECT_EQ(judge(&g, NULL, true), 1);
    EXPECT_EQ(count_out(&g), 0);
}

/* ------------------------------------------------------------------ simulated groups */

static bool
happens(struct group *g, double share)
{
    return (double) (dice_next(&g->dice) >> 11) / (double) ((uint64_t) 1 << 53) < share;
}

static double
uniform(struct group *g)
{
    return ((double) (dice_next(&g->dice) >> 11) + 0.5) / (double) ((uint64_t) 1 << 53);
}

static uint64_t
exponential_us(struct group *g, double mean_us)
{
    return (uint64_t) (-log(uniform(g)) * mean_us) + 1;
}

/* As latencies of real services are: most near the median, some ten times as long (Box, Muller). */
static uint64_t
lognormal_us(struct group *g, double median_us)
{
    double normal = sqrt(-2 * log(uniform(g))) * cos(6.283185307 * uniform(g));

    return (uint64_t) (median_us * exp(normal)) + 1;
}

struct behaviour {
    double   fails;      /* share */
    double   latency_us; /* mean, or median where heavy */
    bool     heavy;
};

/* About `rate` requests to each server that is in, then the look at the second. */
static size_t
live_a_second(struct group *g, const struct passive_config *config,
              const struct behaviour *servers, size_t rate)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct behaviour *b = &servers[i];
        size_t requests = rate / 2 + dice_next(&g->dice) % (rate + 1);

        for (size_t r = 0; r < requests && !g->servers[i].until_us; r++)
            if (passive_note(&g->servers[i], config, happens(g, b->fails),
                             b->heavy ? lognormal_us(g, b->latency_us)
                                      : exponential_us(g, b->latency_us)))
                judge(g, config, false);
    }
    g->now_us += SECOND;
    return judge(g, config, true);
}

static void
all_alike(struct behaviour servers[MOST], struct behaviour like)
{
    for (size_t i = 0; i < MOST; i++)
        servers[i] = like;
}

TEST(one_of_ten_that_fails_more_is_found_within_two_seconds)
{
    struct behaviour servers[MOST];

    all_alike(servers, (struct behaviour){.fails = 0.01, .latency_us = 5000});
    servers[4].fails = 0.5;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct group g;

        assemble(&g, 10);
        dice_init(&g.dice, seed);
        live_a_second(&g, &by_rate, servers, 60);
        live_a_second(&g, &by_rate, servers, 60);
        EXPECT(g.servers[4].until_us);
        EXPECT_EQ(count_out(&g), 1);
    }
}

TEST(one_of_ten_that_is_slower_is_found_within_two_seconds)
{
    struct behaviour servers[MOST];

    all_alike(servers, (struct behaviour){.latency_us = 5000});
    servers[4].latency_us = 25000;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct group g;

        assemble(&g, 10);
        dice_init(&g.dice, seed);
        live_a_second(&g, &by_latency, servers, 60);
        EXPECT_EQ(count_out(&g), 0);
        live_a_second(&g, &by_latency, servers, 60);
        EXPECT(g.servers[4].until_us);
        EXPECT_EQ(count_out(&g), 1);
    }
}

TEST(of_two_the_slower_one_is_found)
{
    struct behaviour servers[MOST] = {{.latency_us = 50000}, {.latency_us = 5000}};
    struct group g;

    assemble(&g, 2);
    for (int i = 0; i < 2; i++)
        live_a_second(&g, &by_latency, servers, 60);
    EXPECT(g.servers[0].until_us && !g.servers[1].until_us);
}

TEST(a_moment_of_slowness_is_forgiven)
{
    struct behaviour servers[MOST], hiccup[MOST];
    struct group g;

    all_alike(servers, (struct behaviour){.latency_us = 5000});
    memcpy(hiccup, servers, sizeof(servers));
    hiccup[3].latency_us = 50000;
    assemble(&g, 10);
    for (int i = 0; i < 20; i++)
        live_a_second(&g, &by_latency, i % 2 ? hiccup : servers, 60);
    EXPECT_EQ(count_out(&g), 0);
}

/* 10,000 seconds of ten servers, at the least number of requests that counts and at more. */
static size_t
false_alarms(const struct passive_config *config, struct behaviour like)
{
    struct behaviour servers[MOST];
    size_t alarms = 0;

    all_alike(servers, like);
    for (size_t rate = 40; rate <= 100; rate += 60) {
        struct group g;

        assemble(&g, 10);
        for (int i = 0; i < 10000; i++)
            alarms += live_a_second(&g, config, servers, rate);
    }
    return alarms;
}

TEST(equal_servers_are_never_told_apart_by_chance)
{
    EXPECT_EQ(false_alarms(&by_rate, (struct behaviour){.fails = 0.001, .latency_us = 5000}), 0);
    EXPECT_EQ(false_alarms(&by_rate, (struct behaviour){.fails = 0.2, .latency_us = 5000}), 0);
    EXPECT_EQ(false_alarms(&by_latency, (struct behaviour){.latency_us = 5000}), 0);
    EXPECT_EQ(false_alarms(&by_latency, (struct behaviour){.latency_us = 5000, .heavy = true}), 0);
}

TEST(a_group_that_is_bad_as_a_whole_is_compared_with_itself)
{
    struct behaviour servers[MOST];
    struct passive_config config = by_rate;
    struct group g;
    size_t most = 0;

    all_alike(servers, (struct behaviour){.fails = 0.7, .latency_us = 500000});
    assemble(&g, 10);
    config.latency = 2000000;
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(live_a_second(&g, &config, servers, 60), 0);
    config.errors = 5; /* in a row they all do fail */
    for (int i = 0; i < 100; i++) {
        live_a_second(&g, &config, servers, 60);
        EXPECT(count_out(&g) <= 5);
        most = count_out(&g) > most ? count_out(&g) : most;
    }
    EXPECT_EQ(most, 5);
}

TEST(few_requests_say_nothing)
{
    struct behaviour servers[MOST];
    struct group g;

    all_alike(servers, (struct behaviour){.latency_us = 5000});
    servers[0].fails = 1;
    assemble(&g, 10);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(live_a_second(&g, &by_rate, servers, 12), 0);
}
