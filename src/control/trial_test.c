/* SPDX-License-Identifier: Apache-2.0 */
/* control/trial_test.c */
#include "control/trial.h"

#include "base/test.h"

static struct arena arena;
static char why[200];

/* What was counted before and after, of everything and of the route `shop`. */
static struct guard_sample counted[2], of_shop[2];

static bool
read_counted(void *arg, struct slice route, bool before, struct guard_sample *out)
{
    (void) arg;
    if (slice_is_present(route) && !slice_eq(route, SLICE("shop")))
        return false;
    *out = (slice_is_present(route) ? of_shop : counted)[before];
    return true;
}

/* n requests of so many milliseconds, over ten seconds. */
static struct guard_sample
sample(uint64_t n, uint64_t errors, uint64_t ms)
{
    struct guard_sample s = {.requests = n, .errors = errors, .took_us = 10000000};

    for (uint64_t i = 0; i < n; i++) { /* spread over a tenth, as times are */
        uint64_t us = ms * 950 + ms * 100 * i / n;

        s.durations.buckets[histogram_bucket(us)]++;
        s.durations.sum += us;
    }
    s.durations.count = n;
    return s;
}

static int
verdict(const char *text)
{
    struct guard g;
    int result = -1;

    arena_init(&arena, NULL, 0, 1 << 20);
    if (guard_parse(slice_str(text), &arena, &g, why))
        result = (int) guard_judge(&g, read_counted, NULL, why);
    arena_free(&arena);
    return result;
}

static bool
is_refused(const char *text, const char *reason)
{
    struct guard g;
    bool good;

    arena_init(&arena, NULL, 0, 1 << 20);
    why[0] = '\0';
    good = guard_parse(slice_str(text), &arena, &g, why);
    arena_free(&arena);
    if (!good && slice_search(slice_str(why), slice_str(reason)) != SLICE_NOT_FOUND)
        return true;
    test_failed(__FILE__, __LINE__, "`%s`: %s", text, good ? "is taken" : why);
    return false;
}

TEST(what_is_no_guard)
{
    EXPECT(is_refused("", "expected errors, client_errors, p50"));
    EXPECT(is_refused("error < 1%", "found `error < 1%`"));
    EXPECT(is_refused("errors 1%", "expected <, >, <= or >=, found `1%`"));
    EXPECT(is_refused("errors <", "expected a number, found the end"));
    EXPECT(is_refused("errors < x%", "expected a number"));
    EXPECT(is_refused("errors < 1.%", "expected a number"));
    EXPECT(is_refused("errors < .5%", "expected a number"));
    EXPECT(is_refused("errors < 1234567890123%", "expected a number"));
    EXPECT(is_refused("errors < 1", "expected %, found the end"));
    EXPECT(is_refused("errors < 1ms", "expected %, found `ms`"));
    EXPECT(is_refused("p99 < 20%", "expected us, ms or s"));
    EXPECT(is_refused("p99 < +20/s", "expected %, us, ms or s"));
    EXPECT(is_refused("requests > 5%", "expected /s"));
    EXPECT(is_refused("errors(shop < 1%", "a route's name and `)`"));
    EXPECT(is_refused("errors() < 1%", "a route's name"));
    EXPECT(is_refused("errors < 1%,", "found the end"));
    EXPECT(is_refused("errors < 1% p99 < 1s", "expected a comma, or the end, found `p99 < 1s`"));
    EXPECT(is_refused("errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,"
                      "errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,errors<1%,"
                      "errors<1%,errors<1%,errors<1%",
                      "more than 16"));
}

TEST(too_little_was_seen)
{
    counted[0] = sample(99, 99, 10);
    EXPECT_EQ(verdict("errors < 1%"), GUARD_TOO_EARLY);
    EXPECT_STR(slice_str(why), "errors: 99 of 100 requests seen");
    counted[0] = sample(100, 0, 10);
    EXPECT_EQ(verdict("errors < 1%"), GUARD_HOLDS);
    EXPECT_EQ(verdict("p999 < 1s"), GUARD_TOO_EARLY);
    counted[1] = sample(5, 0, 10);
    EXPECT_EQ(verdict("p99 < +20%"), GUARD_TOO_EARLY);
    EXPECT_STR(slice_str(why), "p99: 5 of 100 requests seen before the change");
    EXPECT_EQ(verdict("errors(nobody) < 1%"), GUARD_TOO_EARLY);
    /* What is broken is broken, whatever else cannot be judged yet. */
    EXPECT_EQ(verdict("p99 < +20%, p50 < 1ms"), GUARD_BROKEN);
}

TEST(errors)
{
    counted[0] = sample(1000, 9, 10);
    EXPECT_EQ(verdict("errors < 1%"), GUARD_HOLDS);
    EXPECT_STR(slice_str(why), "errors 0.9 %");
    counted[0].errors = 10;
    EXPECT_EQ(verdict("errors < 1%"), GUARD_BROKEN);
    EXPECT_STR(slice_str(why), "errors are 1 % (wanted: errors < 1%)");
    EXPECT_EQ(verdict("errors <= 1%"), GUARD_HOLDS);
    counted[0].errors = 32;
    counted[1] = sample(1000, 3, 10);
    EXPECT_EQ(verdict("errors < +2.5%"), GUARD_BROKEN);
    EXPECT_STR(slice_str(why), "errors are 3.2 %, 2.9 % above the 0.3 % before "
                               "(wanted: errors < +2.5%)");
    EXPECT_EQ(verdict("errors < +3%"), GUARD_HOLDS);
    counted[0].client_errors = 500;
    EXPECT_EQ(verdict("client_errors <= 50%"), GUARD_HOLDS);
    EXPECT_EQ(verdict("client_errors < 50%"), GUARD_BROKEN);
}

TEST(times)
{
    counted[1] = sample(1000, 0, 64);
    counted[0] = sample(1000, 0, 64);
    EXPECT_EQ(verdict("p50 < +1%, p90 < +1%, p99 < +1%, p999 <= +1%"), GUARD_HOLDS);
    counted[0] = sample(1000, 0, 72);
    EXPECT_EQ(verdict("p50 < +20%"), GUARD_HOLDS);
    EXPECT_EQ(verdict("p50 < +2%"), GUARD_BROKEN);
    counted[0] = sample(1000, 0, 84);
    EXPECT_EQ(verdict("p50 < +20%"), GUARD_BROKEN);
    EXPECT(slice_starts(slice_str(why), SLICE("p50 is 8")));
    EXPECT(slice_ends(slice_str(why), SLICE(" ms before (wanted: p50 < +20%)")));
    EXPECT_EQ(verdict("p50 < +10ms"), GUARD_BROKEN);
    EXPECT_EQ(verdict("p50 < +40ms"), GUARD_HOLDS);
    EXPECT_EQ(verdict("p99<100ms,p99 > 50 ms, p99 < 1s"), GUARD_HOLDS);
    EXPECT_EQ(verdict("p99 < 100us"), GUARD_BROKEN);
}

/* The middle of its bucket would be up to an eighth off, and its neighbour's a quarter. */
TEST(a_little_slower_is_not_much_slower)
{
    for (uint64_t ms = 20; ms < 200; ms++) {
        counted[1] = sample(1000, 0, ms);
        counted[0] = sample(1000, 0, ms * 104 / 100);
        EXPECT_EQ(verdict("p50 < +20%, p90 < +20%"), GUARD_HOLDS);
        counted[0] = sample(1000, 0, ms * 150 / 100 + 1);
        EXPECT_EQ(verdict("p50 < +20%"), GUARD_BROKEN);
    }
}

/* Traffic that stays away counts without a single request. */
TEST(requests)
{
    counted[1] = sample(1000, 0, 10);
    counted[0] = sample(0, 0, 0);
    EXPECT_EQ(verdict("requests > 10/s"), GUARD_BROKEN);
    EXPECT_STR(slice_str(why), "requests are 0/s (wanted: requests > 10/s)");
    EXPECT_EQ(verdict("requests > -30%"), GUARD_BROKEN);
    counted[0] = sample(800, 0, 10);
    EXPECT_EQ(verdict("requests > -30%, requests >= 80/s"), GUARD_HOLDS);
    counted[0].took_us = 4999999;
    EXPECT_EQ(verdict("requests > -30%"), GUARD_TOO_EARLY);
    EXPECT_STR(slice_str(why), "requests: 5.0 of 5 s seen");
}

TEST(of_one_route)
{
    counted[0] = sample(1000, 0, 10);
    of_shop[0] = sample(200, 20, 10);
    EXPECT_EQ(verdict("errors < 1%"), GUARD_HOLDS);
    EXPECT_EQ(verdict("errors < 1%, errors( shop ) < 1%"), GUARD_BROKEN);
    EXPECT_STR(slice_str(why), "errors(shop) are 10 % (wanted: errors( shop ) < 1%)");
}

TEST(long_sentences_are_cut)
{
    counted[0] = sample(1000, 1000, 10);
    EXPECT_EQ(verdict("errors < 1%, errors < 2%, errors < 3%, errors < 4%, errors < 5%, "
                      "errors < 6%, errors < 7%, errors < 8%, errors < 9%"),
              GUARD_BROKEN);
    EXPECT(strlen(why) < 200);
}
