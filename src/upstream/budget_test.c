/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/budget.h"

#include "base/test.h"

enum { SECOND = 1000000, START = 1000 * SECOND };

static const struct retries_config a_fifth = {.budget = 200000, .budget_floor = 10};

static size_t
retries_until_refused(struct recent *r, const struct retries_config *config, uint64_t now_us)
{
    size_t n = 0;

    while (n < 100000 && budget_retry(r, config, (unsigned) (n % r->workers), now_us))
        n++;
    return n;
}

TEST(the_floor_is_there_without_traffic)
{
    struct recent r;

    EXPECT(recent_init(&r, 2));
    EXPECT_EQ(retries_until_refused(&r, &a_fifth, START), 100);
    EXPECT_EQ(retries_until_refused(&r, &a_fifth, START + 5 * SECOND), 0);
    EXPECT_EQ(retries_until_refused(&r, &a_fifth, START + 10 * SECOND), 100);
    recent_free(&r);
}

TEST(the_share_is_of_all_workers_traffic)
{
    struct recent r;

    EXPECT(recent_init(&r, 4));
    for (unsigned i = 0; i < 10000; i++)
        budget_request(&r, i % 4, START + i * 900); /* nine seconds of it */
    EXPECT_EQ(retries_until_refused(&r, &a_fifth, START + 9 * SECOND), 2100);
    recent_free(&r);
}

TEST(nothing_is_allowed_where_nothing_is_budgeted)
{
    static const struct retries_config none = {0};
    struct recent r;

    EXPECT(recent_init(&r, 1));
    for (int i = 0; i < 1000; i++)
        budget_request(&r, 0, START);
    EXPECT_EQ(retries_until_refused(&r, &none, START), 0);
    recent_free(&r);
}

/* A group that is dead: each request would like to be tried three times. */
TEST(a_dead_group_gets_a_fifth_more_and_the_floor)
{
    struct recent r;
    size_t requests = 0, retries = 0;

    EXPECT(recent_init(&r, 1));
    for (uint64_t now_us = START; now_us < START + 60ull * SECOND; now_us += 200) {
        budget_request(&r, 0, now_us);
        requests++;
        for (int i = 0; i < 2; i++)
            retries += budget_retry(&r, &a_fifth, 0, now_us);
    }
    EXPECT(retries <= requests / 5 + 60 * 10 + 100);
    EXPECT(retries >= requests / 6);
    recent_free(&r);
}
