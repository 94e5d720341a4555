/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

#include "base/check.h"
#include "base/test.h"

TEST(buckets_join_without_gap)
{
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        EXPECT_EQ(histogram_bucket(histogram_limit(i) - 1), i);
        EXPECT_EQ(histogram_bucket(histogram_limit(i)), i + 1);
    }
    EXPECT(histogram_limit(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

TEST(small_values_are_exact)
{
    for (unsigned v = 0; v < 8; v++)
        EXPECT_EQ(histogram_limit(histogram_bucket(v)), v + 1);
}

TEST(what_is_too_large_falls_into_the_last_bucket)
{
    EXPECT_EQ(histogram_bucket((UINT64_C(1) << 41) - 1), HISTOGRAM_BUCKETS - 1);
    EXPECT_EQ(histogram_bucket(UINT64_C(1) << 41), HISTOGRAM_BUCKETS - 1);
    EXPECT_EQ(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

TEST(powers_of_two_begin_a_bucket)
{
    for (unsigned power = 2; power < 41; power++)
        EXPECT(histogram_limit(histogram_bucket((UINT64_C(1) << power) - 1)) ==
               UINT64_C(1) << power);
}

/* Against the values themselves, for a distribution over six decades. */
TEST(percentiles_are_at_most_an_eighth_off)
{
    static const double parts[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    struct histogram h = {0};

    for (uint64_t v = 1; v <= 1000000; v++)
        histogram_add(&h, v);
    for (size_t i = 0; i < countof(parts); i++) {
        double exact = parts[i] * 1000000;
        double got = (double) histogram_percentile(&h, parts[i]);

        EXPECT(got >= exact * 0.875 && got <= exact * 1.125);
    }
}

TEST(percentiles_of_nothing_and_of_one_value)
{
    struct histogram h = {0};

    EXPECT_EQ(histogram_percentile(&h, 0.5), 0);
    histogram_add(&h, 5);
    EXPECT_EQ(histogram_percentile(&h, 0), 5);
    EXPECT_EQ(histogram_percentile(&h, 1), 5);
}

TEST(adding_and_taking_away_are_inverse)
{
    struct histogram a = {0}, b = {0}, all;

    for (uint64_t v = 0; v < 5000; v += 7)
        histogram_add(v % 2 ? &a : &b, v);
    all = a;
    histogram_merge(&all, &b);
    EXPECT_EQ(all.count, a.count + b.count);
    EXPECT_EQ(all.sum, a.sum + b.sum);
    histogram_since(&all, &a);
    EXPECT(memcmp(&all, &b, sizeof(b)) == 0);
}
