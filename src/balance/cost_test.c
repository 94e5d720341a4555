/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/cost_test.c - what a pick costs among 1,000 servers, printed for people.
 *
 * Times depend on the machine and on who else uses it: what fails the test is ten times the figure
 * to reach, which no noise explains.
 */
#include "balance/testing.h"

#include <stdio.h>

enum { SERVERS = 1000, ROUNDS = 10, PICKS = 2000 };

/* Most that a pick may cost: ten times the figure to reach, in ns. */
static const struct {
    const struct lb_policy_ops *ops;
    unsigned                    most_ns;
} costs[] = {
    {&lb_round_robin, 1000}, {&lb_random, 1000},      {&lb_two_choices, 1000},
    {&lb_peak_ewma, 1000},   {&lb_hash, 1000},        {&lb_least_connections, 10000},
    {&lb_least_time, 50000},
};

/* Everybody is busy, a little differently, and has been measured. */
static void
occupy(struct group *g)
{
    for (size_t i = 0; i < g->set.n; i++) {
        g->targets[i].inflight = (uint32_t) (3 + dice_next(&g->dice) % 20);
        lb_observe(&g->targets[i], (uint32_t) (500 + dice_next(&g->dice) % 1000), 1);
    }
}

/* ns for each pick; work ends as it comes, so that loads stay alike. */
static double
time_round(struct group *g)
{
    uint64_t begin_us = clock_monotonic_us();
    size_t last = 0;

    for (int i = 0; i < PICKS; i++) {
        struct lb_ask ask = group_ask(g);
        size_t at;

        ask.affinity = ask.entropy | 1;
        at = lb_pick(g->policy, &ask);
        g->targets[at].inflight++;
        g->targets[last].inflight -= g->targets[last].inflight > 3;
        last = at;
    }
    return (double) (clock_monotonic_us() - begin_us) * 1000 / PICKS;
}

/* Of the best round: one in which nobody else had the processor. */
static double
cost_of(const struct lb_policy_ops *ops, const uint32_t *weights)
{
    struct group g;
    double best = 1e9;

    group_init(&g, SERVERS, weights);
    group_use(&g, ops, (struct lb_options){.bound = 1250000});
    occupy(&g);
    for (int round = 0; round < ROUNDS; round++) {
        double ns = time_round(&g);

        best = ns < best ? ns : best;
    }
    group_free(&g);
    return best;
}

TEST(a_pick_among_a_thousand_is_cheap)
{
    static uint32_t odd[SERVERS];

    for (size_t i = 0; i < SERVERS; i++)
        odd[i] = (uint32_t) (1 + i * 48271 % 65521);
    printf("# ns for a pick among %d servers, dice and counting included\n", SERVERS);
    for (size_t i = 0; i < countof(costs); i++) {
        double equal = cost_of(costs[i].ops, NULL), weighted = cost_of(costs[i].ops, odd);

        printf("# %-18s %6.0f   odd weights %6.0f\n", costs[i].ops->name, equal, weighted);
        EXPECT_OF(costs[i].ops, equal < costs[i].most_ns * TEST_SLOWDOWN &&
                                    weighted < costs[i].most_ns * TEST_SLOWDOWN);
    }
}
