/* SPDX-License-Identifier: Apache-2.0 */
/* balance/round_robin_test.c - order, evenness of every stretch, and two threads at once. */
#include "balance/testing.h"

#include "base/test.h"

#include <pthread.h>

TEST(equals_take_turns_in_their_order)
{
    struct group g;

    group_make(&g, &lb_round_robin, 5, NULL);
    for (size_t i = 0; i < 20; i++) {
        struct lb_ask ask = group_ask(&g);

        EXPECT_EQ(group_pick(&g, &ask), i % 5);
    }
    group_free(&g);
}

TEST(weights_interleave_smoothly)
{
    static const uint32_t weights[3] = {5, 1, 1};
    static const size_t wanted[7] = {0, 0, 1, 0, 2, 0, 0};
    struct group g;

    group_make(&g, &lb_round_robin, 3, weights);
    for (int i = 0; i < 14; i++) {
        struct lb_ask ask = group_ask(&g);

        EXPECT_EQ(group_pick(&g, &ask), wanted[i % 7]);
    }
    group_free(&g);
}

/* Sequences too long to be kept: every stretch of picks is still near what the weights say. */
TEST(odd_weights_of_large_groups_are_even_at_any_time)
{
    static uint32_t weights[1000];
    double total = 0, worst = 0;
    struct group g;

    for (size_t i = 0; i < 1000; i++)
        total += weights[i] = (uint32_t) (1 + i * 48271 % 65521);
    group_make(&g, &lb_round_robin, 1000, weights);
    for (int stretch = 0; stretch < 10; stretch++) {
        group_idle_picks(&g, 3000);
        for (size_t i = 0; i < 1000; i++) {
            double off = g.picked[i] - (stretch + 1) * 3000 * weights[i] / total;

            worst = off > worst ? off : -off > worst ? -off : worst;
        }
    }
    EXPECT(worst < 5);
    group_free(&g);
}

TEST(ten_thousand_odd_weights_are_quickly_prepared)
{
    static uint32_t weights[TESTING_MOST];
    uint64_t begin_us = clock_monotonic_us();
    struct group g;

    for (size_t i = 0; i < TESTING_MOST; i++)
        weights[i] = (uint32_t) (1 + i * 48271 % 65521);
    group_make(&g, &lb_round_robin, TESTING_MOST, weights);
    EXPECT(clock_monotonic_us() - begin_us < 500000); /* measured: 1 ms */
    group_idle_picks(&g, 100000);
    EXPECT(group_worst_error(&g) < 0.0001);
    group_free(&g);
}

enum { EACH = 70000 };

static void *
pick_a_lot(void *argument)
{
    struct group *shared = argument;
    struct group own = *shared; /* with counters and dice of its own */

    own.picked = calloc(own.set.n, sizeof(*own.picked));
    CHECK(own.picked);
    group_idle_picks(&own, EACH);
    return own.picked;
}

TEST(two_workers_share_one_sequence)
{
    static const uint32_t weights[3] = {5, 1, 1};
    pthread_t threads[2];
    void *picked[2];
    struct group g;

    group_make(&g, &lb_round_robin, 3, weights);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, pick_a_lot, &g), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &picked[i]);
    for (int i = 0; i < 3; i++) {
        unsigned *one = picked[0], *two = picked[1];

        EXPECT_EQ(one[i] + two[i], 2 * EACH * weights[i] / 7);
    }
    free(picked[0]);
    free(picked[1]);
    group_free(&g);
}
