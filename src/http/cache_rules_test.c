/* SPDX-License-Identifier: Apache-2.0 */
/* What may be kept.  All times are seconds after a Sunday in 1994. */
#include "http/cache_rules.h"

#include "base/test.h"
#include "http/testing_cache.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT"
enum { NOW_S = 784111777 };

static struct cache_rules rules;
static unsigned status;
static enum method method;

static void
usual(void)
{
    rules = (struct cache_rules){.heuristic_percent = 10, .heuristic_max_s = 86400};
    status = 200;
    method = METHOD_GET;
}

static enum cache_refusal
judge(const char *request, const char *response)
{
    static const struct slice targets[] = {SLICE_INIT("CDN-Cache-Control")};
    struct cache_control asked, said;
    struct cache_pair pair = {method, status, cache_test_fields(request),
                              cache_test_fields(response), &asked, &said};

    cache_control_of_request(pair.request, &asked);
    cache_control_of_response(pair.response, targets, 1, &said);
    return cache_refuses(&rules, &pair, NOW_S);
}

#define EXPECT_REFUSAL(request, response, want) EXPECT_EQ(judge(request, response), want)

TEST(fresh_responses_to_get_are_kept)
{
    usual();
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Cache-Control: s-maxage=1, max-age=0", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Expires: Sun, 06 Nov 1994 08:49:38 GMT\n" DATE, CACHE_MAY_STORE);
    status = 599;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(other_methods_and_statuses_are_not)
{
    usual();
    method = METHOD_HEAD;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_REFUSED_METHOD);
    method = METHOD_POST;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_REFUSED_METHOD);
    method = METHOD_GET;
    for (size_t i = 0; i < 5; i++) {
        status = (const unsigned[]){100, 101, 199, 304, 600}[i];
        EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_REFUSED_STATUS);
    }
    status = 206;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_REFUSED_PARTIAL);
    rules.partial = true;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(no_store_and_private)
{
    usual();
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, no-store", CACHE_REFUSED_NO_STORE);
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, private", CACHE_REFUSED_PRIVATE);
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, private=\"a\"", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cache-Control: no-store", "Cache-Control: max-age=1",
                   CACHE_REFUSED_REQUEST_NO_STORE);
    rules.ignore_requests = true;
    EXPECT_REFUSAL("Cache-Control: no-store", "Cache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(a_targeted_field_speaks_for_all)
{
    usual();
    EXPECT_REFUSAL("", "Cache-Control: no-store\nCDN-Cache-Control: max-age=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Cache-Control: max-age=1\nCDN-Cache-Control: no-store",
                   CACHE_REFUSED_NO_STORE);
    EXPECT_REFUSAL("", "Expires: Sun, 06 Nov 1994 09:49:38 GMT\nCDN-Cache-Control: foo",
                   CACHE_REFUSED_NO_LIFETIME);
}

TEST(must_understand_asks_for_a_known_status)
{
    usual();
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, no-store, must-understand", CACHE_MAY_STORE);
    status = 599;
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, must-understand", CACHE_REFUSED_STATUS);
}

TEST(answers_to_authorized_requests_need_leave)
{
    usual();
    EXPECT_REFUSAL("Authorization: x", "Cache-Control: max-age=1", CACHE_REFUSED_AUTHORIZATION);
    EXPECT_REFUSAL("Authorization: x", "Cache-Control: max-age=1, public", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Authorization: x", "Cache-Control: s-maxage=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Authorization: x", "Cache-Control: max-age=1, must-revalidate",
                   CACHE_MAY_STORE);
    EXPECT_REFUSAL("Authorization: x", "CDN-Cache-Control: max-age=1",
                   CACHE_REFUSED_AUTHORIZATION);
}

TEST(cookies_are_for_one_unless_the_origin_says_otherwise)
{
    usual();
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCache-Control: max-age=1", CACHE_REFUSED_SET_COOKIE);
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCache-Control: max-age=1, public", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCache-Control: s-maxage=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCDN-Cache-Control: max-age=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCache-Control: max-age=1, no-cache=\"set-cookie\"",
                   CACHE_MAY_STORE);
    rules.share_cookies = true;
    EXPECT_REFUSAL("", "Set-Cookie: a=b\nCache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(a_guess_is_not_enough_for_requests_with_cookies)
{
    const char *modified = DATE "\nLast-Modified: Sat, 05 Nov 1994 08:49:37 GMT";

    usual();
    EXPECT_REFUSAL("", modified, CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cookie: a", modified, CACHE_REFUSED_COOKIE);
    EXPECT_REFUSAL("Cookie: a", "Cache-Control: max-age=1", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cookie: a", "ETag: \"1\"", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cookie: a",
                   "Vary: X, Cookie\nLast-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n" DATE,
                   CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cookie: a",
                   "Vary: X-Cookie\nLast-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n" DATE,
                   CACHE_REFUSED_COOKIE);
}

TEST(vary_star_fits_nobody)
{
    usual();
    EXPECT_REFUSAL("", "Vary: a, *\nCache-Control: max-age=1", CACHE_REFUSED_VARY_STAR);
    EXPECT_REFUSAL("", "Vary: a b\nCache-Control: max-age=1", CACHE_REFUSED_VARY_STAR);
    EXPECT_REFUSAL("", "Vary: a, b\nCache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(what_could_never_be_used_is_not_kept)
{
    usual();
    EXPECT_REFUSAL("", DATE, CACHE_REFUSED_NO_LIFETIME);
    EXPECT_REFUSAL("", "Cache-Control: max-age=0", CACHE_REFUSED_NO_LIFETIME);
    EXPECT_REFUSAL("", "Cache-Control: max-age=1, no-cache", CACHE_REFUSED_NO_LIFETIME);
    EXPECT_REFUSAL("", "Cache-Control: no-cache\nETag: \"a\"", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Cache-Control: max-age=0, stale-while-revalidate=9", CACHE_MAY_STORE);
    EXPECT_REFUSAL("", "Expires: 0", CACHE_REFUSED_NO_LIFETIME);
}

TEST(statuses_that_need_the_origins_word)
{
    usual();
    status = 403;
    EXPECT_REFUSAL("", "ETag: \"a\"", CACHE_REFUSED_STATUS);
    EXPECT_REFUSAL("", "ETag: \"a\"\nCache-Control: public", CACHE_MAY_STORE);
    status = 404;
    EXPECT_REFUSAL("", "ETag: \"a\"", CACHE_MAY_STORE);
}

TEST(defaults_of_the_configuration)
{
    static const struct cache_default defaults[] = {{404, 410, 10}, {200, 299, 0}};

    usual();
    rules.defaults = defaults;
    rules.defaults_n = 2;
    status = 404;
    EXPECT_REFUSAL("", "", CACHE_MAY_STORE);
    EXPECT_REFUSAL("Cookie: a", "", CACHE_REFUSED_COOKIE);
    status = 410;
    EXPECT_REFUSAL("", "", CACHE_MAY_STORE);
    status = 500;
    EXPECT_REFUSAL("", "", CACHE_REFUSED_STATUS);
    status = 200;
    EXPECT_REFUSAL("", "", CACHE_REFUSED_NO_LIFETIME);
}

TEST(fields_that_make_a_request_another_one)
{
    usual();
    EXPECT_REFUSAL("x-http-method-override: DELETE", "Cache-Control: max-age=1",
                   CACHE_REFUSED_UNKEYED);
    EXPECT_REFUSAL("X-Original-Url: /admin", "Cache-Control: max-age=1", CACHE_REFUSED_UNKEYED);
    EXPECT_REFUSAL("X-Original: /admin", "Cache-Control: max-age=1", CACHE_MAY_STORE);
}

TEST(every_refusal_has_a_name)
{
    for (unsigned r = CACHE_REFUSED_METHOD; r <= CACHE_REFUSED_TYPE; r++) {
        EXPECT(is_token(cache_refusal_name(r)));
        EXPECT(cache_refusal_why(r).n > 10);
    }
    EXPECT_EQ(cache_refusal_name(CACHE_MAY_STORE).n, 0);
}

TEST(fields_that_are_kept)
{
    struct cache_control said;
    const struct fields *f = cache_test_fields(
        "Age: 1\nConnection: x\nProxy-Authentication-Info: y\nproxy-authenticate: z\nX-User: me\n"
        "Cache-Control: private=\"x-user\"\nETag: \"1\"\nVia: me");
    unsigned kept = 0;

    cache_control_of_response(f, NULL, 0, &said);
    for (size_t i = 0; i < f->n; i++)
        kept = kept << 1 | cache_keeps_field(&said, &f->at[i]);
    EXPECT_EQ(kept, 7);
}

TEST(methods_that_are_served)
{
    EXPECT(cache_serves_method(METHOD_GET));
    EXPECT(cache_serves_method(METHOD_HEAD));
    EXPECT(!cache_serves_method(METHOD_POST));
    EXPECT(!cache_serves_method(METHOD_QUERY));
}
