/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/h2_rate.h"

#include "base/test.h"

static const struct option_rate ten_a_second = {10, 1000000};

enum { START_US = 5000000 };

TEST(as_many_at_once_as_the_limit_says)
{
    struct h2_rate r = {0};

    for (int i = 0; i < 10; i++)
        EXPECT(h2_rate_admit(&r, &ten_a_second, START_US));
    EXPECT(!h2_rate_admit(&r, &ten_a_second, START_US));
}

TEST(then_at_its_rate)
{
    struct h2_rate r = {0};

    for (int i = 0; i < 10; i++)
        h2_rate_admit(&r, &ten_a_second, START_US);
    EXPECT(h2_rate_admit(&r, &ten_a_second, START_US + 100000));
    EXPECT(!h2_rate_admit(&r, &ten_a_second, START_US + 150000));
}

TEST(rest_does_not_save_up_more_than_the_limit)
{
    struct h2_rate r = {0};

    h2_rate_admit(&r, &ten_a_second, START_US);
    for (int i = 0; i < 10; i++)
        EXPECT(h2_rate_admit(&r, &ten_a_second, START_US * 100ull));
    EXPECT(!h2_rate_admit(&r, &ten_a_second, START_US * 100ull));
}

TEST(what_was_called_for_is_free)
{
    struct h2_rate r = {0};

    for (int i = 0; i < 100; i++) {
        EXPECT(h2_rate_admit(&r, &ten_a_second, START_US));
        h2_rate_credit(&r, &ten_a_second, 1);
    }
}
