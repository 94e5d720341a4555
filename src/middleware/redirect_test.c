/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial     t;
static struct exchange *x;
static bool             is_set_up;

static void
done(void)
{
    if (!is_set_up)
        return;
    testing_exchange_free(x);
    trial_free(&t);
    is_set_up = false;
}

static bool
run(const char *item, const char *url)
{
    done();
    trial_load(&t, &middleware_redirect, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("GET", url, NULL);
    trial_run(&t, x, &testing_terminal);
    is_set_up = true;
    return true;
}

static struct slice
location(const char *item, const char *url)
{
    return run(item, url) ? testing_field(x, "Location") : SLICE("(failed)");
}

TEST(the_target_is_a_template)
{
    EXPECT_STR(location("redirect: 'https://www.${host}${uri}'", "http://example.com/a?b=c"),
               "https://www.example.com/a?b=c");
    EXPECT_EQ(x->response.status, 308);
    EXPECT_EQ(x->fault.reason, REASON_REDIRECT);
    EXPECT(x->response.body == NULL);
    EXPECT_STR(location("redirect: {to: /new/, status: 301}", "http://example.com/a"), "/new/");
    EXPECT_EQ(x->response.status, 301);
    done();
}

TEST(every_kind_of_redirect)
{
    static const char *const items[] = {
        "redirect: {to: /, status: 301}", "redirect: {to: /, status: 302}",
        "redirect: {to: /, status: 303}", "redirect: {to: /, status: 307}",
        "redirect: {to: /, status: 308}",
    };
    static const unsigned statuses[] = {301, 302, 303, 307, 308};

    for (size_t i = 0; i < 5; i++) {
        EXPECT(run(items[i], "http://example.com/"));
        EXPECT_EQ(x->response.status, statuses[i]);
    }
    done();
}

TEST(https_keeps_host_and_uri)
{
    EXPECT_STR(location("redirect: https", "http://example.com/a%20b/../c?d=e"),
               "https://example.com/a%20b/../c?d=e");
    EXPECT_STR(location("redirect: https", "http://example.com:8080/"), "https://example.com/");
    EXPECT_STR(location("redirect: https", "http://[2001:db8::1]:8080/?"),
               "https://[2001:db8::1]/?");
    EXPECT_STR(location("redirect: {to: https, status: 301}", "http://example.com/"),
               "https://example.com/");
    EXPECT_EQ(x->response.status, 301);
    done();
}

TEST(who_has_come_by_https_goes_on)
{
    EXPECT(run("redirect: https", "https://example.com/"));
    EXPECT_EQ(x->response.status, 200);
    done();
}

TEST(a_request_without_host_cannot_be_sent_to_https)
{
    EXPECT(run("redirect: https", "/a"));
    EXPECT_EQ(x->response.status, 400);
    done();
}

TEST(a_line_break_from_a_client_is_encoded)
{
    EXPECT_STR(location("redirect: \"/go/${query('to')}\"",
                        "http://example.com/?to=x%0D%0ASet-Cookie:%20a=b%0D%0A%0D%0A%3Cscript%3E"),
               "/go/x%0D%0ASet-Cookie:%20a=b%0D%0A%0D%0A%3Cscript%3E");
    EXPECT_EQ(x->response.fields.n, 1);
    EXPECT_STR(
        location("redirect: \"/go/${query('to')}\"", "http://example.com/?to=%C3%A9%22%20%5C"),
        "/go/%C3%A9%22%20%5C");
    done();
}

TEST(two_slashes_do_not_lead_to_another_site)
{
    EXPECT_STR(location("redirect: '${uri}'", "http://example.com//evil.example/x"),
               "/evil.example/x");
    EXPECT_STR(location("redirect: \"${query('u')}\"", "http://example.com/?u=///evil.example"),
               "/evil.example");
    EXPECT_STR(location("redirect: \"/${query('u')}\"", "http://example.com/?u=/evil.example"),
               "/evil.example");
    EXPECT_STR(location("redirect: \"/${query('u')}\"", "http://example.com/?u=%5Cevil.example"),
               "/%5Cevil.example");
    done();
}

TEST(an_empty_target_is_refused)
{
    EXPECT(run("redirect: \"${query('u')}\"", "http://example.com/"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT_EQ(x->fault.reason, REASON_MISCONFIGURED);
    done();
}

TEST(a_condition_may_forbid_it)
{
    EXPECT(run("redirect: {to: /x, when: path == '/old'}", "http://example.com/new"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT(run("redirect: {to: /x, when: path == '/old'}", "http://example.com/old"));
    EXPECT_EQ(x->response.status, 308);
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *r = &middleware_redirect;

    EXPECT(is_refused(r, "redirect: {status: 301}", "to"));
    EXPECT(is_refused(r, "redirect: {to: /x, when: status == 404}", "before there is a response"));
    EXPECT(is_refused(r, "redirect: {to: /, status: 200}", "301"));
    EXPECT(is_refused(r, "redirect: ''", "nowhere to go"));
    EXPECT(is_refused(r, "redirect: '//example.com/'", "two slashes"));
    EXPECT(is_refused(r, "redirect: '${hots}'", "did you mean `host`"));
}
