/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_test.c - its options, and where it would ask. */
#include "middleware/testing.h"

#include "base/test.h"
#include "middleware/middleware.h"

#define PARTS "compose: {parts: {a: "

/* What it would do to a request. */
static bool
explains(const char *item, const char *target, const char *wanted)
{
    struct exchange *x = testing_exchange("GET", target, NULL);
    struct trial t;
    struct text out;
    bool good;

    trial_load(&t, &middleware_compose, item);
    text_init(&out, 4096);
    if (t.config)
        t.chain[0].ops->explain(&t.chain[0], x, &out);
    good = slice_eq(text_slice(&out), slice_str(wanted));
    if (!good)
        test_failed(__FILE__, __LINE__, "\"%.*s\" %.*s", SLICE_ARG(text_slice(&out)),
                    SLICE_ARG(text_slice(&t.messages)));
    text_free(&out);
    trial_free(&t);
    testing_exchange_free(x);
    return good;
}

TEST(values_are_encoded)
{
    EXPECT(explains(PARTS "\"/u/${query('id')}?x=${header('none')}\"}}", "/?id=a%2Fb%26c%3D1",
                    "answers with a from /u/a%2Fb%26c%3D1?x="));
    EXPECT(explains(PARTS "'/v1${path}?${query}'}}", "/a/b?c=d",
                    "answers with a from /v1/a/b?c=d"));
    EXPECT(explains(PARTS "\"/u/${query('id')}\"}}", "/?id=..", "answers with a from no URL"));
}

TEST(values_choose_no_host)
{
    EXPECT(explains(PARTS "\"/${query('a')}/${query('b')}\"}}", "/?b=evil.example",
                    "answers with a from /evil.example"));
    EXPECT(explains(PARTS "'/${path}'}}", "/evil.example/x",
                    "answers with a from /evil.example/x"));
}

TEST(values_lead_nowhere_else)
{
    EXPECT(explains(PARTS "\"/u/.${query('id')}/x\"}}", "/?id=.", "answers with a from no URL"));
    EXPECT(explains(PARTS "'/u/${query}'}}", "/?a/..%2F/../x", "answers with a from no URL"));
    EXPECT(explains(PARTS "'/u/${query}'}}", "/?%2e%2E", "answers with a from no URL"));
    EXPECT(explains(PARTS "'/u?${query}'}}", "/?../..", "answers with a from /u?../.."));
}

TEST(several_parts)
{
    EXPECT(explains("compose: {parts: {a: /a, b: {url: 'http://other.example/b', optional: yes}}}",
                    "/", "answers with a from /a, b from http://other.example/b"));
}

TEST(wrong_options_are_refused)
{
    EXPECT(is_refused(&middleware_compose, "compose: {parts: {}}", "1 to 32 parts"));
    EXPECT(is_refused(&middleware_compose, "compose", "parts"));
    EXPECT(is_refused(&middleware_compose, PARTS "users}}", "begins with `/`"));
    EXPECT(is_refused(&middleware_compose, PARTS "'/${path'}}", "without its `}`"));
    EXPECT(is_refused(&middleware_compose, PARTS "'/${nosuch}'}}", "nosuch"));
    EXPECT(is_refused(&middleware_compose, PARTS "{url: /a, fields: [Content-Type]}}}",
                      "describes the part"));
    EXPECT(is_refused(&middleware_compose, PARTS "{url: /a, fields: [Content-Length]}}}",
                      "Content-Length"));
    EXPECT(is_refused(&middleware_compose, "compose: {parts: {a: /a}, shape: round}", "shape"));
}
