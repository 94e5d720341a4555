/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial     t;
static struct exchange *x;

/* Runs the middleware over a request that brings all that the tests look at. */
static bool
run(const char *item, const struct middleware_ops *terminal)
{
    trial_load(&t, &middleware_headers, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange(
        "GET", "http://example.com/a?evil=1%0D%0AX-Admin:%20yes&tab=a%09b&nul=a%00b", "X-Foo",
        "one", "x-foo", "two", "X-User", "root", "Accept", "text/html", "X-Kept", "kept", NULL);
    trial_run(&t, x, terminal);
    return true;
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
}

static struct slice
sent(const char *name)
{
    struct field *f = fields_find(&x->request.fields, slice_str(name));

    return f ? f->value : (struct slice){NULL, 0};
}

static size_t
count_of(const struct fields *f, const char *name)
{
    size_t n = 0;

    for (const struct field *at = NULL; (at = fields_next(f, at, slice_str(name)));)
        n++;
    return n;
}

static void
answer_with_fields(const struct middleware *self, struct exchange *exchange)
{
    (void) self;
    testing_answer(exchange, 503, "text/plain", "no");
    fields_add_named(&exchange->response.fields, SLICE("X-Debug"), SLICE("secret"));
    fields_add(&exchange->response.fields, FIELD_VARY, SLICE("Accept"));
}

static const struct middleware_ops terminal_with_fields = {
    .options = {.name = "terminal_with_fields", .doc = "Answers 503."},
    .handle = answer_with_fields,
};

TEST(fields_of_the_request_are_set_added_and_removed)
{
    EXPECT(run("headers: {request: {set: {X-User: '${client.ip}', accept: '*/*'}, add: {X-Foo: "
               "three, X-New: '${host}'}, remove: [x-FOO]}}",
               &testing_terminal));
    EXPECT_STR(sent("X-User"), "192.0.2.1");
    EXPECT_EQ(count_of(&x->request.fields, "X-User"), 1);
    EXPECT_STR(fields_value(&x->request.fields, FIELD_ACCEPT), "*/*");
    EXPECT_STR(sent("X-Foo"), "three");
    EXPECT_EQ(count_of(&x->request.fields, "X-Foo"), 1);
    EXPECT_STR(sent("X-New"), "example.com");
    EXPECT_STR(sent("X-Kept"), "kept");
    done();
}

TEST(fields_of_the_response_too)
{
    EXPECT(run("headers: {response: {set: {X-Frame-Options: DENY}, add: {Vary: Origin}, remove: "
               "[X-Debug]}}",
               &terminal_with_fields));
    EXPECT_STR(testing_field(x, "X-Frame-Options"), "DENY");
    EXPECT_EQ(count_of(&x->response.fields, "Vary"), 2);
    EXPECT(!slice_is_present(testing_field(x, "X-Debug")));
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    done();
}

TEST(add_keeps_what_is_there)
{
    EXPECT(run("headers: {request: {add: {X-Foo: three}}}", &testing_terminal));
    EXPECT_EQ(count_of(&x->request.fields, "X-Foo"), 3);
    EXPECT_STR(sent("X-Foo"), "one");
    done();
}

TEST(a_template_may_read_the_field_that_it_replaces)
{
    EXPECT(
        run("headers: {request: {set: {X-User: \"was ${header('x-user')}\"}}}", &testing_terminal));
    EXPECT_STR(sent("X-User"), "was root");
    done();
}

TEST(a_line_break_from_a_client_does_not_become_a_field)
{
    EXPECT(run("headers: {request: {set: {X-User: \"${query('evil')}\"}, add: {X-Note: \"a "
               "${query('evil')}\"}}, response: {set: {X-Echo: \"${query('evil')}\"}}}",
               &testing_terminal));
    EXPECT(!slice_is_present(sent("X-User")));
    EXPECT(!slice_is_present(sent("X-Note")));
    EXPECT(!slice_is_present(testing_field(x, "X-Echo")));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(x->fault.reason, REASON_NONE);
    EXPECT(slice_search(x->fault.detail, SLICE("control bytes")) != SLICE_NOT_FOUND);
    done();
}

TEST(a_zero_byte_is_refused_and_a_tab_is_not)
{
    EXPECT(run("headers: {request: {set: {X-Nul: \"${query('nul')}\", X-Tab: "
               "\"${query('tab')}\"}}}",
               &testing_terminal));
    EXPECT(!slice_is_present(sent("X-Nul")));
    EXPECT_STR(sent("X-Tab"), "a\tb");
    done();
}

TEST(a_value_that_comes_out_empty_is_not_sent)
{
    EXPECT(run("headers: {request: {set: {X-User: \"${header('x-absent')}\"}, add: {X-New: ''}}}",
               &testing_terminal));
    EXPECT(!slice_is_present(sent("X-User")));
    EXPECT(!slice_is_present(sent("X-New")));
    done();
}

TEST(values_lose_blanks_at_their_ends)
{
    EXPECT(run("headers: {request: {set: {X-New: '  a b  '}}}", &testing_terminal));
    EXPECT_STR(sent("X-New"), "a b");
    done();
}

TEST(when_decides_for_both_sides)
{
    EXPECT(run("headers: {when: method == POST, request: {set: {X-New: a}}, response: {set: "
               "{X-New: a}}}",
               &testing_terminal));
    EXPECT(!slice_is_present(sent("X-New")));
    EXPECT(!slice_is_present(testing_field(x, "X-New")));
    done();
    EXPECT(run("headers: {when: method == GET, request: {set: {X-New: a}}, response: {set: {X-New: "
               "a}}}",
               &testing_terminal));
    EXPECT_STR(sent("X-New"), "a");
    EXPECT_STR(testing_field(x, "X-New"), "a");
    done();
}

/* The condition is about the request as it came, also where the request's fields are then
 * changed. */
TEST(when_is_asked_once_before_the_request_is_changed)
{
    EXPECT(run("headers: {when: \"header('x-user') == root\", request: {remove: [X-User]}, "
               "response: {set: {X-New: a}}}",
               &testing_terminal));
    EXPECT_STR(testing_field(x, "X-New"), "a");
    done();
}

TEST(when_may_look_at_the_response)
{
    EXPECT(run("headers: {when: status >= 500, response: {set: {Cache-Control: no-store}}}",
               &terminal_with_fields));
    EXPECT_STR(testing_field(x, "Cache-Control"), "no-store");
    done();
    EXPECT(run("headers: {when: status >= 500, response: {set: {Cache-Control: no-store}}}",
               &testing_terminal));
    EXPECT(!slice_is_present(testing_field(x, "Cache-Control")));
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *h = &middleware_headers;

    EXPECT(is_refused(h, "headers: {}", "this changes nothing"));
    EXPECT(is_refused(h, "headers: {request: {set: {'X Foo': a}}}", "`X Foo` is not the name of a "
                                                                    "field"));
    EXPECT(is_refused(h, "headers: {request: {remove: ['X-Foo:']}}", "is not the name"));
    EXPECT(is_refused(h, "headers: {request: {set: {\"X\\r\\nY\": a}}}", "is not the name"));
    EXPECT(is_refused(h, "headers: {request: {set: {content-length: 1}}}",
                      "says where the message ends"));
    EXPECT(is_refused(h, "headers: {request: {remove: [Transfer-Encoding]}}",
                      "says where the message ends"));
    EXPECT(is_refused(h, "headers: {response: {add: {Connection: close}}}",
                      "belongs to one connection"));
    EXPECT(
        is_refused(h, "headers: {response: {set: {Upgrade: h2c}}}", "belongs to one connection"));
    EXPECT(
        is_refused(h, "headers: {response: {set: {Keep-Alive: x}}}", "belongs to one connection"));
    EXPECT(is_refused(h, "headers: {request: {set: {Host: a}}}", "rewrite: {host: ...}"));
    EXPECT(is_refused(h, "headers: {request: {set: {X-A: '${nothing}'}}}", "nothing"));
    EXPECT(is_refused(h, "headers: {when: status > 1, request: {set: {X-A: a}}}",
                      "looks at the response"));
    EXPECT(is_refused(h, "headers: {request: {sett: {X-A: a}}}", "did you mean `set`"));
}
