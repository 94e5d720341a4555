/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/findings_test.c - for how long answers hold, and how many are kept. */
#include "upstream/findings.h"

#include "base/clock.h"
#include "base/test.h"

TEST(an_answer_holds_for_its_ttl_within_bounds)
{
    static const struct upstream_config config = {0};

    EXPECT_EQ(findings_ttl_us(&config, 30, true), 30000000);
    EXPECT_EQ(findings_ttl_us(&config, 1, false), 1000000);
    EXPECT_EQ(findings_ttl_us(&config, 86400, true), 300000000);
    EXPECT_EQ(findings_ttl_us(&config, UINT32_MAX, false), 300000000);
    EXPECT_EQ(findings_ttl_us(&config, 0, true), 5000000);
    EXPECT_EQ(findings_ttl_us(&config, 0, false), 1000000);
}

TEST(an_interval_of_the_configuration_wins)
{
    static const struct upstream_config config = {.resolve_us = 7000000};

    EXPECT_EQ(findings_ttl_us(&config, 1, true), 7000000);
    EXPECT_EQ(findings_ttl_us(&config, 3600, false), 7000000);
}

TEST(findings_hold_until_they_are_due)
{
    struct findings f = {0};

    clock_freeze(1000000, 1000000);
    EXPECT(!findings_hold(&f));
    f.due_us = 1000001;
    EXPECT(findings_hold(&f));
    clock_freeze(1000001, 1000001);
    EXPECT(!findings_hold(&f));
    clock_freeze(0, 0);
}

TEST(findings_are_bounded)
{
    struct findings f = {0};
    struct discovered d = {.weight = 1};
    size_t n = 0;

    while (n < 20000 && findings_add(&f, &d))
        n++;
    EXPECT_EQ(n, 16384);
    EXPECT_EQ(f.n, n);
    findings_clear(&f);
    EXPECT(findings_add(&f, &d));
    EXPECT_EQ(f.n, 1);
    findings_free(&f);
    EXPECT(f.at == NULL);
}
