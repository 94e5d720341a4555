/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial     t;
static struct exchange *x;

static bool
run(const char *item, const char *url)
{
    trial_load(&t, &middleware_respond, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("GET", url, NULL);
    trial_run(&t, x, &testing_terminal);
    return true;
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(a_text_is_answered)
{
    EXPECT(run("respond: {text: 'Hello, ${client.ip}'}", "http://example.com/"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain; charset=utf-8");
    EXPECT_STR(testing_pull(x, x->response.body), "Hello, 192.0.2.1");
    EXPECT_EQ(x->fault.reason, REASON_RESPOND);
    done();
}

TEST(status_type_and_fields_can_be_chosen)
{
    EXPECT(run("respond: {status: 418, text: '{}', type: application/json, fields: {Retry-After: "
               "'5', X-Path: '${path}'}}",
               "http://example.com/tea"));
    EXPECT_EQ(x->response.status, 418);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/json");
    EXPECT_STR(testing_field(x, "Retry-After"), "5");
    EXPECT_STR(testing_field(x, "X-Path"), "/tea");
    done();
}

TEST(a_status_alone_is_enough)
{
    EXPECT(run("respond: 204", "http://example.com/"));
    EXPECT_EQ(x->response.status, 204);
    EXPECT(x->response.body == NULL);
    done();
}

TEST(an_error_without_text_has_the_error_page)
{
    EXPECT(run("respond: {status: 404, fields: {X-Why: gone}}", "http://example.com/"));
    EXPECT_EQ(x->response.status, 404);
    EXPECT_EQ(x->fault.reason, REASON_RESPOND);
    EXPECT(x->response.body != NULL);
    EXPECT_STR(testing_field(x, "X-Why"), "gone");
    done();
}

TEST(an_error_with_an_empty_text_has_no_page)
{
    EXPECT(run("respond: {status: 404, text: ''}", "http://example.com/"));
    EXPECT_EQ(x->response.status, 404);
    EXPECT(x->response.body == NULL);
    done();
}

TEST(a_line_break_from_a_client_does_not_become_a_field)
{
    EXPECT(run("respond: {fields: {X-Echo: \"${query('q')}\"}}",
               "http://example.com/?q=a%0D%0AX-Admin:1"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(x->response.fields.n, 0);
    EXPECT(x->fault.detail.n > 0);
    done();
}

TEST(a_condition_may_forbid_it)
{
    EXPECT(run("respond: {status: 403, when: \"path starts '/private/'\"}", "http://example.com/"));
    EXPECT_EQ(x->response.status, 200);
    done();
    EXPECT(run("respond: {status: 403, when: \"path starts '/private/'\"}",
               "http://example.com/private/x"));
    EXPECT_EQ(x->response.status, 403);
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *r = &middleware_respond;

    EXPECT(is_refused(r, "respond: hello", "expected an integer"));
    EXPECT(is_refused(r, "respond: 101", "200"));
    EXPECT(is_refused(r, "respond: {when: status == 404}", "before there is a response"));
    EXPECT(is_refused(r, "respond: 600", "599"));
    EXPECT(is_refused(r, "respond: {status: 204, text: hello}", "has no body"));
    EXPECT(is_refused(r, "respond: {status: 304, text: hello}", "has no body"));
    EXPECT(is_refused(r, "respond: {type: \"a\\nb\"}", "control bytes"));
    EXPECT(
        is_refused(r, "respond: {fields: {Content-Length: '5'}}", "says where the message ends"));
    EXPECT(is_refused(r, "respond: {fields: {'a b': '5'}}", "is not the name of a field"));
}
