/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_priority.h"

#include "base/check.h"
#include "base/test.h"

static struct h2_priority got;

static void
expect(const char *field, unsigned urgency, bool incremental)
{
    EXPECT(h2_priority_parse(slice_str(field), &got));
    EXPECT_EQ(got.urgency, urgency);
    EXPECT_EQ(got.incremental, incremental);
}

static void
expect_bad(const char *field)
{
    EXPECT(!h2_priority_parse(slice_str(field), &got));
    EXPECT_EQ(got.urgency, 3);
    EXPECT_EQ(got.incremental, false);
}

TEST(urgency_and_incremental)
{
    expect("u=0", 0, false);
    expect("u=7, i", 7, true);
    expect("i", 3, true);
    expect("i=?0,u=5", 5, false);
    expect(" u=1 ,\ti=?1 ", 1, true);
    expect("u=1, u=2", 2, false);
}

TEST(what_is_for_others)
{
    expect("u=2;x=y, i;z", 2, true);
    expect("a=\"b, u=1\", u=4", 4, false);
    expect("a=\"b\\\", u=1\", u=5", 5, false);
    expect("a=(1 2, u=3), i", 3, true);
    expect("u2=1, x=3.5", 3, false);
}

TEST(malformed_means_the_usual)
{
    expect_bad("");
    expect_bad("u");
    expect_bad("u=8");
    expect_bad("u=-1");
    expect_bad("u=1.5");
    expect_bad("u=10");
    expect_bad("u=1,");
    expect_bad("u=1,,i");
    expect_bad("i=1");
    expect_bad("i=?2");
    expect_bad("=1");
    expect_bad("u=0, a=\"b");
    expect_bad("u=0, a=\"b\\");
    expect_bad("u=0, a=(1");
}
