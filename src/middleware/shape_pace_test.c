/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/shape.h"

#include <pthread.h>

enum { SECOND_US = 1000000, START_US = 1000 * SECOND_US };

/* 100 bytes a second, 50 ms of slack. */
static const struct pace_rate slow = {100, 50000000};

TEST(what_comes_at_once_leaves_one_after_the_other)
{
    pace p = 0;

    EXPECT(pace_take(&p, &slow, 100, START_US) <= START_US);
    /* The first second began 50 ms in the past. */
    EXPECT_EQ(pace_take(&p, &slow, 100, START_US), START_US + 950000);
    EXPECT_EQ(pace_take(&p, &slow, 50, START_US), START_US + 1950000);
    EXPECT_EQ(pace_take(&p, &slow, 1, START_US), START_US + 2450000);
}

TEST(waking_late_costs_nothing)
{
    pace p = 0;
    uint64_t now_us = START_US;

    for (int i = 0; i < 1000; i++) {
        uint64_t at_us = pace_take(&p, &slow, 10, now_us);

        if (at_us > now_us)
            now_us = at_us + 1900;
    }
    EXPECT(now_us >= START_US + 99 * SECOND_US && now_us <= START_US + 100 * SECOND_US);
}

TEST(silence_is_made_up_for_up_to_the_burst)
{
    const struct pace_rate rate = {100, 3000000000};
    pace p = 0;

    EXPECT(pace_take(&p, &rate, 300, START_US) <= START_US);
    EXPECT_EQ(pace_take(&p, &rate, 1, START_US), START_US);
    EXPECT(pace_take(&p, &rate, 300, START_US + 60u * SECOND_US) <= START_US + 60u * SECOND_US);
    EXPECT_EQ(pace_take(&p, &rate, 1, START_US + 60u * SECOND_US), START_US + 60u * SECOND_US);
}

TEST(large_pieces_and_rates_do_not_overflow)
{
    const struct pace_rate fast = {UINT64_C(1) << 40, 50000000}, least = {16, 50000000};
    pace p = 0, q = 0;

    pace_take(&p, &fast, 1 << 30, START_US);
    EXPECT(pace_take(&p, &fast, 1, START_US) <= START_US);
    pace_take(&q, &least, 1 << 20, START_US);
    EXPECT_EQ(pace_take(&q, &least, 1, START_US), START_US + UINT64_C(65536000000) - 50000);
}

TEST(each_of_many_has_its_own)
{
    pace own = 0;

    for (uint64_t hash = 1; hash <= 5000; hash++)
        EXPECT(pace_take_of(hash, &own, &slow, 100, START_US) <= START_US);
    for (uint64_t hash = 1; hash <= 5000; hash++)
        EXPECT_EQ(pace_take_of(hash, &own, &slow, 1, START_US), START_US + 950000);
    EXPECT_EQ(own, 0);
}

/* All in one set; the eight of the test before are gone by then. */
TEST(a_full_set_leaves_newcomers_to_themselves)
{
    uint64_t before = pace_crowded(), later_us = START_US + 3600u * (uint64_t) SECOND_US;
    pace own = 0;

    for (uint64_t i = 1; i <= 8; i++)
        pace_take_of(i * 4096, &own, &slow, 100, later_us);
    EXPECT_EQ(pace_crowded(), before);
    EXPECT(pace_take_of(9 * 4096, &own, &slow, 100, later_us) <= later_us);
    EXPECT_EQ(pace_crowded(), before + 1);
    EXPECT_EQ(pace_take_of(9 * 4096, &own, &slow, 100, later_us), later_us + 950000);
    /* Two seconds on, the first eight have used up what they took. */
    own = 0;
    pace_take_of(10 * 4096, &own, &slow, 100, later_us + 2 * SECOND_US);
    EXPECT_EQ(own, 0);
}

/* ------------------------------------------------------------------ threads */

enum { THREADS = 4, TAKES = 20000 };

static pace shared;

static void *
take_many(void *nothing)
{
    static const struct pace_rate rate = {1000000, 50000000};

    for (int i = 0; i < TAKES; i++)
        pace_take(&shared, &rate, 1, START_US);
    return nothing;
}

TEST(workers_share_one_exactly)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, take_many, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(shared, UINT64_C(1000) * START_US - 50000000 + UINT64_C(1000) * THREADS * TAKES);
}
