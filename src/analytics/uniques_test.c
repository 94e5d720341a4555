/* SPDX-License-Identifier: Apache-2.0 */
#include "analytics/uniques.h"

#include "analytics/testing.h"
#include "base/test.h"

static struct uniques u, v;

static bool
is_near(uint64_t got, uint64_t want, double part)
{
    return fabs((double) got - (double) want) <= part * (double) want;
}

TEST(it_counts_from_none_to_millions)
{
    struct dice d;
    uint64_t n = 0, next = 1;

    memset(&u, 0, sizeof(u));
    dice_init(&d, 7);
    EXPECT_EQ(uniques_count(&u), 0);
    for (; n < 4000000 / TEST_SLOWDOWN; n++) {
        if (n == next) {
            /* Four times the standard error; a few are counted to the very one. */
            EXPECT(is_near(uniques_count(&u), n, n < 100 ? 0.02 : 0.033));
            next = next * 5 / 4 + 1;
        }
        uniques_add(&u, dice_next(&d));
    }
    EXPECT(is_near(uniques_count(&u), n, 0.033));
}

TEST(who_comes_again_is_no_news)
{
    memset(&u, 0, sizeof(u));
    for (uint64_t i = 0; i < 100000; i++) {
        struct dice d;

        dice_init(&d, i % 1000);
        uniques_add(&u, dice_next(&d));
    }
    EXPECT(is_near(uniques_count(&u), 1000, 0.03));
}

TEST(merged_is_as_if_counted_together)
{
    struct dice d;

    memset(&u, 0, sizeof(u));
    memset(&v, 0, sizeof(v));
    dice_init(&d, 9);
    for (unsigned i = 0; i < 30000; i++) {
        uint64_t hash = dice_next(&d);

        /* A third is in both. */
        if (i % 3 != 0)
            uniques_add(&u, hash);
        if (i % 3 != 1)
            uniques_add(&v, hash);
    }
    EXPECT(is_near(uniques_count(&u), 20000, 0.033));
    uniques_merge(&u, &v);
    EXPECT(is_near(uniques_count(&u), 30000, 0.033));
}

TEST(the_extremes_are_finite)
{
    memset(&u, UNIQUES_RANK_MAX, sizeof(u));
    EXPECT(uniques_count(&u) > (uint64_t) 1 << 60);
    /* What a damaged blob might hold. */
    memset(&u, 255, sizeof(u));
    EXPECT(uniques_count(&u) > (uint64_t) 1 << 60);
}
