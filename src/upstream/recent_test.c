/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/recent.h"

#include "base/test.h"

enum { SECOND = 1000000, WINDOW = 10 * SECOND, START = 1000 * SECOND };

static uint64_t
all_at(const struct recent *r, uint64_t now_us)
{
    return recent_sum(r, WINDOW, now_us).all;
}

TEST(what_is_older_than_the_window_is_gone)
{
    struct recent r;

    EXPECT(recent_init(&r, 1));
    EXPECT_EQ(all_at(&r, START), 0);
    for (uint64_t s = 0; s < 25; s++)
        recent_add(&r, 0, WINDOW, START + s * SECOND, 10, 3);
    EXPECT_EQ(all_at(&r, START + 24 * SECOND), 100);
    EXPECT_EQ(recent_sum(&r, WINDOW, START + 24 * SECOND).some, 30);
    EXPECT_EQ(all_at(&r, START + 29 * SECOND), 50);
    EXPECT_EQ(all_at(&r, START + 33 * SECOND), 10);
    EXPECT_EQ(all_at(&r, START + 34 * SECOND), 0);
    EXPECT_EQ(all_at(&r, START + 1000 * SECOND), 0);
    recent_free(&r);
}

TEST(all_workers_count_even_one_whose_clock_is_ahead)
{
    struct recent r;

    EXPECT(recent_init(&r, 3));
    recent_add(&r, 0, WINDOW, START, 1, 0);
    recent_add(&r, 1, WINDOW, START + SECOND - 1, 1, 0);
    recent_add(&r, 2, WINDOW, START + SECOND, 1, 0);
    EXPECT_EQ(all_at(&r, START), 3);
    recent_free(&r);
}

TEST(forgetting_is_for_all_and_at_once)
{
    struct recent r;

    EXPECT(recent_init(&r, 2));
    recent_add(&r, 0, WINDOW, START, 5, 5);
    recent_add(&r, 1, WINDOW, START, 5, 5);
    recent_forget(&r);
    EXPECT_EQ(all_at(&r, START), 0);
    recent_add(&r, 1, WINDOW, START, 1, 0);
    EXPECT_EQ(all_at(&r, START), 1);
    recent_free(&r);
}

TEST(another_window_begins_with_nothing)
{
    struct recent r;

    EXPECT(recent_init(&r, 1));
    recent_add(&r, 0, WINDOW, START, 5, 5);
    EXPECT_EQ(recent_sum(&r, WINDOW / 2, START).all, 0);
    EXPECT_EQ(recent_sum(&r, WINDOW * 2, START).all, 0);
    recent_free(&r);
}
