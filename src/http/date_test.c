/* SPDX-License-Identifier: Apache-2.0 */
#include "http/date.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <stdio.h>
#include <time.h>

static const int64_t now = 1795215600; /* November 2026 */

static struct slice
written(int64_t seconds)
{
    static char out[HTTP_DATE_LENGTH];

    http_date_write(out, seconds);
    return slice_of(out, sizeof(out));
}

static int64_t
parsed(const char *text)
{
    int64_t seconds;

    return http_date_parse(slice_str(text), now, &seconds) ? seconds : INT64_MIN;
}

TEST(dates_are_written)
{
    EXPECT_STR(written(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_STR(written(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    EXPECT_STR(written(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    EXPECT_STR(written(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
    EXPECT_STR(written(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
    EXPECT_STR(written(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
    EXPECT_STR(written(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(dates_beyond_four_digits_are_held_at_the_edge)
{
    EXPECT_STR(written(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    EXPECT_STR(written(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

TEST(the_three_forms_mean_the_same)
{
    EXPECT_EQ(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    EXPECT_EQ(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    EXPECT_EQ(parsed("Sun Nov  6 08:49:37 1994"), 784111777);
    EXPECT_EQ(parsed("Wed Nov 16 08:49:37 1994"), 784111777 + 10 * 86400);
    EXPECT_EQ(parsed("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    EXPECT_EQ(parsed("Sat, 01 Jan 0000 00:00:00 GMT"), -62167219200);
    EXPECT_EQ(parsed("Tue, 29 Feb 2000 23:59:60 GMT"), 951868800);
}

TEST(two_digit_years_are_near_today)
{
    EXPECT_EQ(parsed("Tuesday, 01-Jan-26 00:00:00 GMT"), 1767225600);
    EXPECT_EQ(parsed("Tuesday, 01-Jan-76 00:00:00 GMT"), 3345062400);
    EXPECT_EQ(parsed("Tuesday, 01-Jan-77 00:00:00 GMT"), 220924800);
    EXPECT_EQ(parsed("Wednesday, 09-Nov-99 23:12:40 GMT"), 942189160);
}

TEST(every_long_day_name)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    char text[64];

    for (size_t i = 0; i < countof(days); i++) {
        snprintf(text, sizeof(text), "%s, 06-Nov-94 08:49:37 GMT", days[i]);
        EXPECT_EQ(parsed(text), 784111777);
    }
}

TEST(what_is_no_date)
{
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        "now",
        "Sun",
        "Sun, ",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nev 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 30 Feb 2000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Monsday, 06-Nov-94 08:49:37 GMT",
        "Sunday 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994 GMT",
        "Sun Nov  6 08:49:37 94",
        "Sun, 06 Nov 1994 08:49:37 GMTSun",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(parsed(bad[i]) == INT64_MIN);
    EXPECT(!http_date_parse((struct slice){NULL, 0}, now, &(int64_t){0}));
}

/* The C library as an independent witness. */
TEST(dates_agree_with_the_c_library)
{
    struct dice d;

    dice_init(&d, 3);
    for (int i = 0; i < 20000; i++) {
        int64_t seconds = (int64_t) (dice_next(&d) % 315569519999u) - 62167219200, back;
        time_t t = (time_t) seconds;
        struct tm tm;
        char want[64];

        gmtime_r(&t, &tm);
        strftime(want, sizeof(want), "%a, %d %b ", &tm);
        snprintf(want + strlen(want), 40, "%04d %02d:%02d:%02d GMT", tm.tm_year + 1900, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
        EXPECT_STR(written(seconds), want);
        EXPECT(http_date_parse(written(seconds), now, &back) && back == seconds);
    }
}

TEST(iso_dates_have_milliseconds)
{
    char out[ISO_DATE_LENGTH];

    iso_date_write(out, 1795214880123456);
    EXPECT_STR(slice_of(out, sizeof(out)), "2026-11-20T22:48:00.123Z");
    iso_date_write(out, 999);
    EXPECT_STR(slice_of(out, sizeof(out)), "1970-01-01T00:00:00.000Z");
    iso_date_write(out, UINT64_MAX);
    EXPECT(memcmp(out, "9999-12-31T23:59:59.", 20) == 0);
}
