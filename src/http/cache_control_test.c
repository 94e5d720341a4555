/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_control.h"

#include "base/test.h"
#include "http/testing_cache.h"

static struct cache_control cc;

static void
said(const char *fields)
{
    cache_control_of_response(cache_test_fields(fields), NULL, 0, &cc);
}

static void
asked(const char *fields)
{
    cache_control_of_request(cache_test_fields(fields), &cc);
}

static void
targeted(const char *fields)
{
    static const struct slice targets[] = {SLICE_INIT("Our-Cache-Control"),
                                           SLICE_INIT("CDN-Cache-Control")};

    cache_control_of_response(cache_test_fields(fields), targets, 2, &cc);
}

TEST(silence_says_nothing)
{
    said("Date: x");
    EXPECT_EQ(cc.said, 0);
    EXPECT_EQ(cc.max_age_s, CACHE_UNSAID);
    EXPECT_EQ(cc.s_maxage_s, CACHE_UNSAID);
    EXPECT_EQ(cc.stale_if_error_s, CACHE_UNSAID);
    EXPECT(!slice_is_present(cc.private_fields));
}

TEST(all_lines_and_any_case_count)
{
    said("Cache-Control: Public, MAX-AGE=60\nCache-Control: ,, s-maxage=5 ,must-REVALIDATE");
    EXPECT_EQ(cc.said, CACHE_PUBLIC | CACHE_MUST_REVALIDATE);
    EXPECT_EQ(cc.max_age_s, 60);
    EXPECT_EQ(cc.s_maxage_s, 5);
}

TEST(every_directive_is_known)
{
    said("Cache-Control: no-store, no-cache, private, public, must-revalidate, proxy-revalidate, "
         "must-understand, no-transform, immutable, only-if-cached, stale-while-revalidate=1, "
         "stale-if-error=2, min-fresh=3, max-stale=4");
    EXPECT_EQ(cc.said, CACHE_TARGETED - 1);
    EXPECT_EQ(cc.stale_while_revalidate_s, 1);
    EXPECT_EQ(cc.stale_if_error_s, 2);
    EXPECT_EQ(cc.min_fresh_s, 3);
    EXPECT_EQ(cc.max_stale_s, 4);
}

TEST(the_shorter_of_two_spans_counts)
{
    said("Cache-Control: max-age=100, max-age=1");
    EXPECT_EQ(cc.max_age_s, 1);
    said("Cache-Control: max-age=1\nCache-Control: max-age=100");
    EXPECT_EQ(cc.max_age_s, 1);
}

TEST(spans_that_are_no_numbers_are_0_in_responses)
{
    static const char *const bad[] = {"max-age=", "max-age", "max-age=-1", "max-age=1.5",
                                      "max-age=a1", "max-age=1a", "max-age='10'", "max-age =10",
                                      "max-age= 10", "max-age=\"1", "max-age=\"\"", "max-age=+1",
                                      "max-age=10 0"};
    char line[80];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(line, sizeof(line), "Cache-Control: max-age=77, %s", bad[i]);
        said(line);
        EXPECT_EQ(cc.max_age_s, 0);
    }
}

TEST(good_forms_of_spans)
{
    said("Cache-Control: max-age=\"3600\"");
    EXPECT_EQ(cc.max_age_s, 3600);
    said("Cache-Control: max-age=003600");
    EXPECT_EQ(cc.max_age_s, 3600);
    said("Cache-Control: max-age=2147483648");
    EXPECT_EQ(cc.max_age_s, CACHE_SECONDS_MAX);
    said("Cache-Control: max-age=99999999999999999999999999");
    EXPECT_EQ(cc.max_age_s, CACHE_SECONDS_MAX);
}

TEST(quoted_arguments_hide_what_is_in_them)
{
    said("Cache-Control: ext=\"max-age=3600, no-store\", max-age=1");
    EXPECT_EQ(cc.max_age_s, 1);
    EXPECT_EQ(cc.said, 0);
    said("Cache-Control: ext=\"a\\\", no-store\", private");
    EXPECT_EQ(cc.said, CACHE_PRIVATE);
}

TEST(what_forbids_counts_with_any_argument_and_what_permits_with_none)
{
    said("Cache-Control: no-store=1, must-revalidate=\"x\", public=1, immutable=yes");
    EXPECT_EQ(cc.said, CACHE_NO_STORE | CACHE_MUST_REVALIDATE);
}

TEST(lists_of_fields)
{
    said("Cache-Control: no-cache=\"a, Set-Cookie\", private=x-user, max-age=1");
    EXPECT_EQ(cc.said, 0);
    EXPECT(!cache_control_lets_keep(&cc, SLICE("set-cookie")));
    EXPECT(!cache_control_lets_keep(&cc, SLICE("A")));
    EXPECT(!cache_control_lets_keep(&cc, SLICE("X-User")));
    EXPECT(cache_control_lets_keep(&cc, SLICE("ETag")));
    EXPECT(cache_control_lets_keep(&cc, SLICE("")));
}

TEST(lists_that_are_not_understood_concern_all)
{
    said("Cache-Control: no-cache=\"\", private=\"a\\b\"");
    EXPECT_EQ(cc.said, CACHE_NO_CACHE | CACHE_PRIVATE);
    said("Cache-Control: private=\"a\", private=\"b\"");
    EXPECT_EQ(cc.said, CACHE_PRIVATE);
    said("Cache-Control: no-cache=\"a");
    EXPECT_EQ(cc.said, CACHE_NO_CACHE);
}

TEST(requests)
{
    asked("Cache-Control: max-age=0, min-fresh=5, only-if-cached, max-stale");
    EXPECT_EQ(cc.said, CACHE_ONLY_IF_CACHED);
    EXPECT_EQ(cc.max_age_s, 0);
    EXPECT_EQ(cc.min_fresh_s, 5);
    EXPECT_EQ(cc.max_stale_s, CACHE_SECONDS_MAX);
    asked("Cache-Control: max-age=x, min-fresh=-1, max-stale=\"y\"");
    EXPECT_EQ(cc.max_age_s, CACHE_UNSAID);
    EXPECT_EQ(cc.min_fresh_s, CACHE_UNSAID);
    EXPECT_EQ(cc.max_stale_s, CACHE_UNSAID);
}

TEST(pragma_counts_only_alone_and_in_requests)
{
    asked("Pragma: x, No-Cache");
    EXPECT_EQ(cc.said, CACHE_NO_CACHE);
    asked("Pragma: no-cache\nCache-Control: max-age=5");
    EXPECT_EQ(cc.said, 0);
    said("Pragma: no-cache");
    EXPECT_EQ(cc.said, 0);
}

TEST(a_targeted_field_replaces_the_general_one)
{
    targeted("Cache-Control: no-store\nCDN-Cache-Control: max-age=60");
    EXPECT_EQ(cc.said, CACHE_TARGETED);
    EXPECT_EQ(cc.max_age_s, 60);
    targeted("CDN-Cache-Control: max-age=60\nOur-Cache-Control: no-store");
    EXPECT_EQ(cc.said, CACHE_TARGETED | CACHE_NO_STORE);
    EXPECT_EQ(cc.max_age_s, CACHE_UNSAID);
    targeted("CDN-Cache-Control: foo;a=1, max-age=60;b\nCDN-Cache-Control: private=\"a\"");
    EXPECT_EQ(cc.max_age_s, 60);
    EXPECT(!cache_control_lets_keep(&cc, SLICE("a")));
}

TEST(dictionaries_know_types_and_the_last_member_counts)
{
    targeted("CDN-Cache-Control: max-age=60, max-age=600, no-store, no-store=?0");
    EXPECT_EQ(cc.max_age_s, 600);
    EXPECT_EQ(cc.said, CACHE_TARGETED);
    targeted("CDN-Cache-Control: max-age=-5");
    EXPECT_EQ(cc.max_age_s, 0);
    targeted("CDN-Cache-Control: max-age=999999999999999");
    EXPECT_EQ(cc.max_age_s, CACHE_SECONDS_MAX);
}

TEST(what_is_no_dictionary_is_not_there)
{
    static const char *const bad[] = {
        "max-age=60, &&&", "max-age=\"60\"", "max-age=60,",   "Max-Age=60",   "max-age =60",
        "max-age= 60",     "",               "max-age=60.0",  "max-age=?1",   "private=1",
        "no-store=\"a\"",  "a=(1 2, max-age=1", "a=\"x",      "a=\"\\x\"",    "a=1000000000000000",
        "a=:b",            "a=:!:",          "a=?2",          "a=1.2345",     "a=-",
        "a;B=1",           "a=(1)2",         "max-age=60 b",  "a=(1\t2)",     "a=\x80",
    };
    char lines[120];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(lines, sizeof(lines), "Cache-Control: max-age=7\nCDN-Cache-Control: %s", bad[i]);
        targeted(lines);
        EXPECT_EQ(cc.max_age_s, 7);
        EXPECT_EQ(cc.said, 0);
    }
}

TEST(dictionaries_may_hold_much_that_we_do_not_know)
{
    targeted("CDN-Cache-Control: a=1.5;x;y=\"z\", b=:aGk=:, c=(1 \"2\" t;q);r, d=tok/en:x, *e=?0,"
             "\tf=-12 ,  max-age=3");
    EXPECT_EQ(cc.max_age_s, 3);
    EXPECT_EQ(cc.said, CACHE_TARGETED);
}
