/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/test.h"

TEST(levels_are_counted)
{
    EXPECT_EQ(json_levels(SLICE("")), 0);
    EXPECT_EQ(json_levels(SLICE("12")), 0);
    EXPECT_EQ(json_levels(SLICE("{}")), 1);
    EXPECT_EQ(json_levels(SLICE("[{\"a\": [1]}, [[]], {}]")), 3);
}

TEST(brackets_in_strings_do_not_count)
{
    EXPECT_EQ(json_levels(SLICE("[\"[[[[\", \"\\\"[{\", \"\\\\\", []]")), 2);
}

TEST(broken_texts_are_harmless)
{
    EXPECT_EQ(json_levels(SLICE("]]]}}[")), 1);
    EXPECT_EQ(json_levels(SLICE("[\"\\")), 1);
    EXPECT_EQ(json_levels(SLICE("[[[[[")), 5);
}
