/* SPDX-License-Identifier: Apache-2.0 */
/* How long responses are fresh, how they age, and what is to be done with them. */
#include "http/cache_rules.h"

#include "base/test.h"
#include "http/testing_cache.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
enum { NOW_S = 784111777, SECOND = 1000000, START_US = 7 * SECOND };

static struct cache_rules rules;
static struct cache_life life;
static struct cache_control asked;
static struct cache_times times;
static unsigned status;

static void
usual(void)
{
    rules = (struct cache_rules){.heuristic_percent = 10, .heuristic_max_s = 86400};
    times = (struct cache_times){START_US, START_US, NOW_S};
    status = 200;
    cache_control_of_request(cache_test_fields(""), &asked);
}

static void
born(const char *response)
{
    struct cache_control said;
    const struct fields *f = cache_test_fields(response);
    struct cache_pair pair = {METHOD_GET, status, cache_test_fields(""), f, &asked, &said};

    cache_control_of_response(f, NULL, 0, &said);
    cache_life_of(&rules, &pair, &times, &life);
}

static void
asks(const char *request)
{
    cache_control_of_request(cache_test_fields(request), &asked);
}

static uint64_t
after_s(double seconds)
{
    return START_US + (uint64_t) (seconds * SECOND);
}

TEST(who_says_how_long)
{
    usual();
    born(DATE "Cache-Control: max-age=5, s-maxage=7\nExpires: 0");
    EXPECT_EQ(life.source, CACHE_SOURCE_S_MAXAGE);
    EXPECT_EQ(life.fresh_s, 7);
    born(DATE "Cache-Control: max-age=5\nExpires: Sun, 06 Nov 1994 09:49:37 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_MAX_AGE);
    EXPECT_EQ(life.fresh_s, 5);
    born(DATE "Expires: Sun, 06 Nov 1994 09:49:37 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_EXPIRES);
    EXPECT_EQ(life.fresh_s, 3600);
    born(DATE);
    EXPECT_EQ(life.source, CACHE_SOURCE_NONE);
    EXPECT_EQ(life.fresh_s, 0);
}

TEST(expires)
{
    usual();
    born(DATE "Expires: 0");
    EXPECT_EQ(life.source, CACHE_SOURCE_EXPIRES);
    EXPECT_EQ(life.fresh_s, 0);
    born(DATE "Expires: Sun, 06 Nov 1994 07:49:37 GMT");
    EXPECT_EQ(life.fresh_s, 0);
    born(DATE "Expires: Sun, 06 Nov 1994 09:49:37 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT");
    EXPECT_EQ(life.fresh_s, 60);
    born(DATE "Expires: Sun, 06 Nov 1994 09:49:37 GMT\nExpires: soon");
    EXPECT_EQ(life.fresh_s, 0);
    born("Expires: Sun, 06 Nov 1994 08:49:47 GMT");
    EXPECT_EQ(life.fresh_s, 10);
    born(DATE "Expires: Sun, 06 Nov 2294 08:49:47 GMT");
    EXPECT_EQ(life.fresh_s, CACHE_SECONDS_MAX);
}

TEST(dates_in_any_case)
{
    usual();
    born(DATE "Expires: SUN, 06 nov 1994 08:49:47 gmt");
    EXPECT_EQ(life.fresh_s, 10);
    born(DATE "Expires: sunday, 06-NOV-94 08:49:47 Gmt");
    EXPECT_EQ(life.fresh_s, 10);
    born(DATE "Expires: sun nov  6 08:49:47 1994");
    EXPECT_EQ(life.fresh_s, 10);
    born(DATE "Expires: Sun, 06 Nov 1994 08:49:47 UTC");
    EXPECT_EQ(life.fresh_s, 0);
    born(DATE "Expires: Sun, 06 Nov 1994 08:49:47 GMT and then some more letters");
    EXPECT_EQ(life.fresh_s, 0);
    born(DATE "Expires: x");
    EXPECT_EQ(life.fresh_s, 0);
}

TEST(guesses_are_a_part_of_the_time_since_the_last_change)
{
    usual();
    born(DATE "Last-Modified: Sun, 06 Nov 1994 08:48:42 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_HEURISTIC);
    EXPECT_EQ(life.fresh_s, 5);
    born(DATE "Last-Modified: Sun, 06 Nov 1904 08:48:42 GMT");
    EXPECT_EQ(life.fresh_s, 86400);
    born(DATE "Last-Modified: Sun, 06 Nov 1994 10:48:42 GMT");
    EXPECT_EQ(life.fresh_s, 0);
    rules.heuristic_percent = 0;
    born(DATE "Last-Modified: Sun, 06 Nov 1904 08:48:42 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_NONE);
    usual();
    status = 403;
    born(DATE "Last-Modified: Sun, 06 Nov 1904 08:48:42 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_NONE);
}

TEST(the_configuration_comes_before_a_guess)
{
    static const struct cache_default defaults[] = {{200, 200, 30}};

    usual();
    rules.defaults = defaults;
    rules.defaults_n = 1;
    born(DATE "Last-Modified: Sun, 06 Nov 1904 08:48:42 GMT");
    EXPECT_EQ(life.source, CACHE_SOURCE_DEFAULT);
    EXPECT_EQ(life.fresh_s, 30);
    born("Cache-Control: max-age=0");
    EXPECT_EQ(life.fresh_s, 0);
}

TEST(age_is_counted_from_what_is_told_and_what_passed)
{
    usual();
    born(DATE "Cache-Control: max-age=60\nAge: 10");
    EXPECT_EQ(cache_age_s(&life, after_s(0)), 10);
    EXPECT_EQ(cache_age_s(&life, after_s(49.9)), 59);
    EXPECT_EQ(cache_ttl_s(&life, after_s(0)), 50);
    EXPECT_EQ(cache_ttl_s(&life, after_s(49.9)), 0);
    EXPECT_EQ(cache_ttl_s(&life, after_s(50.1)), -1);
    EXPECT_EQ(cache_ttl_s(&life, after_s(52)), -2);
}

TEST(the_way_to_us_counts)
{
    usual();
    times.asked_us = START_US - 3 * SECOND;
    born(DATE "Age: 10");
    EXPECT_EQ(cache_age_s(&life, START_US), 13);
    times.answered_unix_s = NOW_S + 20;
    born(DATE "Age: 10");
    EXPECT_EQ(cache_age_s(&life, START_US), 20);
}

TEST(age_values_that_mean_nothing)
{
    static const struct {
        const char *value;
        long        age;
    } cases[] = {{"abc", 0},       {"-7200", 0}, {"7200.0", 0}, {"", 0},
                 {"7200, 0", 7200}, {"0, 7200", 0}, {"7200\nAge: 0", 7200}, {"7;a=b", 0},
                 {"2147483649", 2147483648}, {"99999999999999999999999", 2147483648}};
    char text[80];

    usual();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(text, sizeof(text), "Age: %s", cases[i].value);
        born(text);
        EXPECT_EQ(cache_age_s(&life, START_US), cases[i].age);
    }
}

TEST(clocks_that_differ)
{
    usual();
    times.answered_unix_s = NOW_S - 1000; /* the origin is ahead of us */
    born(DATE "Cache-Control: max-age=60");
    EXPECT_EQ(cache_age_s(&life, START_US), 0);
    born(DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT");
    EXPECT_EQ(life.fresh_s, 60);
    EXPECT_EQ(cache_age_s(&life, 0), 0); /* a moment before it came */
    born("Date: yesterday");
    EXPECT_EQ(cache_age_s(&life, START_US), 0);
}

TEST(another_process_goes_on_counting)
{
    usual();
    born(DATE "Cache-Control: max-age=60\nAge: 5");
    cache_life_resume(&life, 99, NOW_S + 20);
    EXPECT_EQ(cache_age_s(&life, 99), 25);
    EXPECT_EQ(cache_age_s(&life, 99 + 2 * SECOND), 27);
    EXPECT_EQ(life.answered_unix_s, NOW_S + 20);
    cache_life_resume(&life, 99, NOW_S);
    EXPECT(cache_ttl_s(&life, 99) < 0);
    EXPECT_EQ(cache_decide(&rules, &life, &asked, 99).use, CACHE_VALIDATE);
}

static enum cache_use
use_at(double seconds)
{
    return cache_decide(&rules, &life, &asked, after_s(seconds)).use;
}

static enum cache_cause
cause_at(double seconds)
{
    return cache_decide(&rules, &life, &asked, after_s(seconds)).cause;
}

TEST(fresh_is_served_and_stale_is_not)
{
    usual();
    born("Cache-Control: max-age=10");
    EXPECT_EQ(use_at(9.99), CACHE_SERVE);
    EXPECT_EQ(use_at(10), CACHE_VALIDATE);
    EXPECT_EQ(cause_at(10), CACHE_CAUSE_STALE);
}

TEST(no_cache_always_asks)
{
    usual();
    born("Cache-Control: max-age=10, no-cache, stale-while-revalidate=99, stale-if-error=99");
    EXPECT_EQ(use_at(0), CACHE_VALIDATE);
    EXPECT_EQ(cause_at(0), CACHE_CAUSE_NO_CACHE);
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(0)));
}

TEST(stale_while_revalidate)
{
    usual();
    born("Cache-Control: max-age=10, stale-while-revalidate=5");
    EXPECT_EQ(use_at(10), CACHE_REFRESH);
    EXPECT_EQ(use_at(14.9), CACHE_REFRESH);
    EXPECT_EQ(use_at(15), CACHE_VALIDATE);
    born("Cache-Control: s-maxage=10, stale-while-revalidate=5");
    EXPECT_EQ(use_at(11), CACHE_REFRESH);
    born("Cache-Control: max-age=10, stale-while-revalidate=5, must-revalidate");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
}

TEST(spans_of_the_configuration)
{
    usual();
    rules.while_revalidate_s = 5;
    rules.if_error_s = 50;
    born("Cache-Control: max-age=10");
    EXPECT_EQ(use_at(11), CACHE_REFRESH);
    EXPECT(cache_may_excuse(&rules, &life, &asked, after_s(59)));
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(61)));
    born("Cache-Control: max-age=10, stale-while-revalidate=0, stale-if-error=0");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(11)));
    born("Cache-Control: s-maxage=10");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(11)));
    born("Cache-Control: max-age=10, proxy-revalidate");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
}

TEST(excuses)
{
    usual();
    born("Cache-Control: max-age=10, stale-if-error=5");
    EXPECT(cache_may_excuse(&rules, &life, &asked, after_s(14.9)));
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(15)));
    asks("Cache-Control: stale-if-error=100");
    EXPECT(cache_may_excuse(&rules, &life, &asked, after_s(100)));
    rules.ignore_requests = true;
    EXPECT(!cache_may_excuse(&rules, &life, &asked, after_s(100)));
    EXPECT(cache_is_error(500) && cache_is_error(502) && cache_is_error(503) &&
           cache_is_error(504));
    EXPECT(!cache_is_error(501) && !cache_is_error(505) && !cache_is_error(404));
}

TEST(clients_may_want_more)
{
    usual();
    born("Cache-Control: max-age=100\nAge: 50");
    asks("Cache-Control: no-cache");
    EXPECT_EQ(cause_at(1), CACHE_CAUSE_REQUEST_NO_CACHE);
    asks("Pragma: no-cache");
    EXPECT_EQ(cause_at(1), CACHE_CAUSE_REQUEST_NO_CACHE);
    asks("Cache-Control: max-age=51");
    EXPECT_EQ(cause_at(0.5), CACHE_CAUSE_FRESH);
    EXPECT_EQ(cause_at(1), CACHE_CAUSE_REQUEST_MAX_AGE);
    asks("Cache-Control: min-fresh=40");
    EXPECT_EQ(cause_at(10), CACHE_CAUSE_FRESH);
    EXPECT_EQ(cause_at(10.1), CACHE_CAUSE_REQUEST_MIN_FRESH);
    asks("Cache-Control: max-age=0");
    EXPECT_EQ(use_at(0), CACHE_VALIDATE);
    rules.ignore_requests = true;
    EXPECT_EQ(use_at(0), CACHE_SERVE);
}

TEST(clients_may_want_less)
{
    usual();
    born("Cache-Control: max-age=10");
    asks("Cache-Control: max-stale=5");
    EXPECT_EQ(use_at(15), CACHE_SERVE_STALE);
    EXPECT_EQ(use_at(15.1), CACHE_VALIDATE);
    asks("Cache-Control: max-stale");
    EXPECT_EQ(use_at(1e6), CACHE_SERVE_STALE);
    born("Cache-Control: max-age=10, must-revalidate");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
    born("Cache-Control: s-maxage=10");
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
}

TEST(only_if_cached)
{
    usual();
    asks("Cache-Control: only-if-cached");
    born("Cache-Control: max-age=10");
    EXPECT_EQ(use_at(1), CACHE_SERVE);
    EXPECT_EQ(use_at(11), CACHE_UNAVAILABLE);
    EXPECT(!cache_fetch_allowed(&rules, &asked));
    rules.ignore_requests = true;
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
    EXPECT(cache_fetch_allowed(&rules, &asked));
}

TEST(immutable_survives_a_reload)
{
    usual();
    born("Cache-Control: max-age=10, immutable");
    asks("Cache-Control: max-age=0");
    EXPECT_EQ(use_at(1), CACHE_SERVE);
    EXPECT_EQ(use_at(11), CACHE_VALIDATE);
    asks("Cache-Control: no-cache");
    EXPECT_EQ(use_at(1), CACHE_VALIDATE);
}

TEST(a_soft_purge_ends_freshness)
{
    usual();
    born("Cache-Control: max-age=100, stale-while-revalidate=10");
    cache_life_end(&life, after_s(50));
    EXPECT_EQ(use_at(50), CACHE_REFRESH);
    EXPECT_EQ(use_at(61), CACHE_VALIDATE);
    EXPECT_EQ(cache_age_s(&life, after_s(50)), 50);
    cache_life_end(&life, after_s(55));
    EXPECT_EQ(use_at(61), CACHE_VALIDATE);
}

TEST(every_cause_and_source_has_a_name)
{
    for (unsigned c = CACHE_CAUSE_FRESH; c <= CACHE_CAUSE_REQUEST_MIN_FRESH; c++) {
        EXPECT(is_token(cache_cause_name(c)));
        EXPECT(cache_cause_why(c).n > 5);
    }
    for (unsigned s = CACHE_SOURCE_NONE; s <= CACHE_SOURCE_DEFAULT; s++)
        EXPECT(is_token(cache_source_name(s)));
}
