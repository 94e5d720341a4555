/* SPDX-License-Identifier: Apache-2.0 */
/* acme/schedule_test.c - when to renew, when to try again. */
#include "acme/schedule.h"

#include "base/clock.h"
#include "base/test.h"

#define DAY_S 86400
#define SECOND_US 1000000ull

/* Of 90 days: after 60, or up to three earlier. */
TEST(renewal_comes_at_two_thirds_of_a_life)
{
    int64_t earliest = INT64_MAX, latest = 0;
    struct dice dice;

    dice_init(&dice, 1);
    for (int i = 0; i < 10000; i++) {
        int64_t at = acme_renewal_s(1000, 1000 + 90 * DAY_S, 666667, dice_next(&dice));

        earliest = at < earliest ? at : earliest;
        latest = at > latest ? at : latest;
    }
    EXPECT(latest <= 1000 + 60 * DAY_S + 3 && latest > 1000 + 60 * DAY_S - 3600);
    EXPECT(earliest >= 1000 + 57 * DAY_S && earliest < 1000 + 57 * DAY_S + 3600);
}

TEST(a_life_of_seconds_has_two_thirds_as_well)
{
    EXPECT_EQ(acme_renewal_s(100, 106, 666000, 12345), 103);
    EXPECT_EQ(acme_renewal_s(100, 100, 666000, 7), 100);
    EXPECT_EQ(acme_renewal_s(100, 50, 666000, 7), 100); /* it ends before it begins */
}

TEST(all_of_a_window_is_used)
{
    bool seen[11] = {false};

    for (uint64_t entropy = 0; entropy < 100; entropy++) {
        int64_t at = acme_window_s(50, 60, entropy);

        EXPECT(at >= 50 && at <= 60);
        seen[at - 50] = true;
    }
    for (int i = 0; i < 11; i++)
        EXPECT(seen[i]);
    EXPECT_EQ(acme_window_s(60, 50, 9), 60);
}

TEST(waits_double_up_to_six_hours)
{
    EXPECT_EQ(acme_backoff_us(60 * SECOND_US, 1, 0), 60 * SECOND_US);
    EXPECT_EQ(acme_backoff_us(60 * SECOND_US, 2, 0), 120 * SECOND_US);
    EXPECT_EQ(acme_backoff_us(60 * SECOND_US, 5, 0), 960 * SECOND_US);
    EXPECT_EQ(acme_backoff_us(60 * SECOND_US, 10, 0), 6 * 3600 * SECOND_US);
    EXPECT_EQ(acme_backoff_us(60 * SECOND_US, 4000000000u, 0), 6 * 3600 * SECOND_US);
}

TEST(waits_are_up_to_a_quarter_shorter)
{
    struct dice dice;

    dice_init(&dice, 2);
    for (int i = 0; i < 1000; i++) {
        uint64_t wait_us = acme_backoff_us(100, 1, dice_next(&dice));

        EXPECT(wait_us >= 75 && wait_us <= 100);
    }
}

struct time_case {
    const char *text;
    int64_t     at_s; /* -1: it is none */
};

TEST(times_of_rfc_3339)
{
    static const struct time_case cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2025-01-03T00:00:00Z", 1735862400},
        {"2025-01-03t00:00:00z", 1735862400},
        {"2025-01-03T00:00:00.123456789Z", 1735862400},
        {"2025-01-03T02:00:00+02:00", 1735862400},
        {"2025-01-02T19:30:00-04:30", 1735862400},
        {"2024-02-29T23:59:60Z", 1709251200},
        {"2025-01-03T00:00:00", -1},
        {"2025-01-03 00:00:00Z", -1},
        {"2025-13-03T00:00:00Z", -1},
        {"2025-01-32T00:00:00Z", -1},
        {"2025-01-03T24:00:00Z", -1},
        {"2025-01-03T00:00:00+2:00", -1},
        {"2025-01-03T00:00:00Zx", -1},
        {"2025-1-3T00:00:00Z", -1},
        {"", -1},
        {"now", -1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t at_s = -1;

        EXPECT_EQ(acme_time_read(slice_str(cases[i].text), &at_s), cases[i].at_s >= 0);
        if (cases[i].at_s >= 0)
            EXPECT_EQ(at_s, cases[i].at_s);
    }
}
