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

/* Frees what the last call left, so that a test may be a list of these. */
static bool
run(const char *item, const char *url)
{
    done();
    trial_load(&t, &middleware_rewrite, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("GET", url, "Host", "example.com", NULL);
    trial_run(&t, x, &testing_terminal);
    is_set_up = true;
    return true;
}

static struct slice
path_after(const char *item, const char *url)
{
    return run(item, url) && x->response.status == 200 ? x->request.target.path : SLICE("(failed)");
}

static struct slice
query_after(const char *item, const char *url)
{
    return run(item, url) && x->response.status == 200 ? x->request.target.query
                                                       : SLICE("(failed)");
}

TEST(a_prefix_takes_the_place_of_another)
{
    const char *strip = "rewrite: {prefix: {from: /api/, to: /}}";

    EXPECT_STR(path_after(strip, "http://example.com/api/users/1?a=b"), "/users/1");
    EXPECT(x->request.forward_path);
    EXPECT_STR(x->request.target.query, "a=b");
    EXPECT_STR(x->request.target.raw, "/api/users/1?a=b");
    EXPECT_STR(path_after(strip, "http://example.com/api/"), "/");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api/, to: /v2/}}", "http://example.com/api/x"),
               "/v2/x");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api/, to: /v2}}", "http://example.com/api/x"),
               "/v2/x");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api, to: /v2}}", "http://example.com/api"),
               "/v2");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api, to: /v2}}", "http://example.com/api/x/"),
               "/v2/x/");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api}}", "http://example.com/api/x"), "/x");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /, to: /site/}}", "http://example.com/x"),
               "/site/x");
    done();
}

TEST(another_path_is_left_alone)
{
    const char *strip = "rewrite: {prefix: {from: /api, to: /}}";

    EXPECT_STR(path_after(strip, "http://example.com/apis/x"), "/apis/x");
    EXPECT(!x->request.forward_path);
    EXPECT_STR(path_after(strip, "http://example.com/ap"), "/ap");
    EXPECT_STR(path_after("rewrite: {prefix: {from: /api/, to: /}}", "http://example.com/api"),
               "/api");
    done();
}

/* The pattern sees the normal form: another spelling of the same path does not slip past. */
TEST(spelling_does_not_matter)
{
    const char *strip = "rewrite: {prefix: {from: /api/, to: /}}";

    EXPECT_STR(path_after(strip, "http://example.com/%61pi/./x"), "/x");
    EXPECT_STR(path_after(strip, "http://example.com/b/../api//x"), "/x");
    EXPECT_STR(
        path_after("rewrite: {prefix: {from: /café/, to: /}}", "http://example.com/caf%c3%a9/x"),
        "/x");
    EXPECT_STR(
        path_after("rewrite: {prefix: {from: /a b/, to: '/c d/'}}", "http://example.com/a%20b/x"),
        "/c%20d/x");
    EXPECT_STR(path_after(strip, "http://example.com/api/a%2Fb"), "/a%2Fb");
    done();
}

TEST(a_regular_expression_puts_groups_where_they_belong)
{
    const char *user = "rewrite: {regex: '^/u/(\\d+)', to: '/users/$1'}";

    EXPECT_STR(path_after(user, "http://example.com/u/42/posts?x"), "/users/42/posts");
    EXPECT_STR(x->request.target.query, "x");
    EXPECT_STR(path_after(user, "http://example.com/u/abc"), "/u/abc");
    EXPECT(!x->request.forward_path);
    EXPECT_STR(path_after("rewrite: {regex: '^/old/', to: '/neü /'}", "http://example.com/old/x"),
               "/ne%C3%BC%20/x");
    EXPECT_STR(path_after("rewrite: {regex: '/$', to: ''}", "http://example.com/x/"), "/x");
    done();
}

TEST(a_template_makes_the_path)
{
    EXPECT_STR(path_after("rewrite: {path: '/x${path}'}", "http://example.com/a?b"), "/x/a");
    EXPECT_STR(x->request.target.query, "b");
    EXPECT_STR(path_after("rewrite: {path: '/sites/${host}${path}'}", "http://example.com/a"),
               "/sites/example.com/a");
    EXPECT_STR(
        path_after("rewrite: {path: \"/t/${query('t')}\"}", "http://example.com/?t=a+b%E2%98%83"),
        "/t/a%20b%E2%98%83");
    done();
}

TEST(decoded_values_stay_inside_the_path)
{
    const char *item = "rewrite: {path: \"/t/${query('t')}\"}";

    EXPECT_STR(path_after(item, "http://example.com/?t=a%3Fadmin%3D1%23x"), "/t/a%3Fadmin=1%23x");
    EXPECT_STR(path_after(item, "http://example.com/?t=a%0D%0AHost:%20evil"),
               "/t/a%0D%0AHost:%20evil");
    EXPECT(run(item, "http://example.com/?t=../admin"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT_EQ(x->fault.reason, REASON_MISCONFIGURED);
    EXPECT(run(item, "http://example.com/?t=%252e%252e/admin"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT(run(item, "http://example.com/?t=a%00b")); /* target_parse refuses %00 */
    EXPECT_EQ(x->response.status, 500);
    done();
}

TEST(what_is_no_path_is_refused)
{
    EXPECT(run("rewrite: {path: \"${query('p')}\"}", "http://example.com/?p=x"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT_EQ(x->fault.reason, REASON_MISCONFIGURED);
    EXPECT(run("rewrite: {path: \"${query('p')}\"}", "http://example.com/"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT(run("rewrite: {path: \"${query('p')}\"}", "http://example.com/?p=http://evil.com/x"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT(run("rewrite: {regex: '^/x', to: ''}", "http://example.com/xyz"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT_STR(x->fault.detail, "rewrite: `yz` is not a path");
    done();
}

TEST(the_query_can_be_replaced_extended_and_taken_away)
{
    EXPECT_STR(query_after("rewrite: {query: 'x=1&${query}'}", "http://example.com/?a=b%20c"),
               "x=1&a=b%20c");
    EXPECT(x->request.forward_path);
    EXPECT_STR(x->request.target.path, "/");
    EXPECT_STR(query_after("rewrite: {query: \"q=${query('s')}\"}",
                           "http://example.com/?s=a%20b%23%0D%0Ac"),
               "q=a%20b%23%0D%0Ac");
    EXPECT(!slice_is_present(query_after("rewrite: {query: ''}", "http://example.com/?a=b")));
    EXPECT_STR(query_after("rewrite: {regex: '^/s/(.*)', to: /search, query: 'from=${path}'}",
                           "http://example.com/s/x"),
               "from=/s/x");
    EXPECT_STR(x->request.target.path, "/search");
    done();
}

TEST(the_host_changes_for_the_server_only)
{
    EXPECT(run("rewrite: {host: 'app.internal:8080'}", "http://example.com/a"));
    EXPECT_STR(fields_value(&x->request.fields, FIELD_HOST), "app.internal:8080");
    EXPECT_STR(x->request.host, "example.com");
    EXPECT_STR(x->request.authority, "example.com");
    EXPECT(!x->request.forward_path);
    EXPECT(run("rewrite: {host: \"${query('h')}\"}", "http://example.com/a?h=a%0D%0AX:b"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT(run("rewrite: {host: \"${query('h')}\"}", "http://example.com/a"));
    EXPECT_EQ(x->response.status, 500);
    EXPECT(run("rewrite: {prefix: {from: /b}, host: b.internal}", "http://example.com/a"));
    EXPECT_STR(fields_value(&x->request.fields, FIELD_HOST), "example.com");
    done();
}

TEST(a_condition_may_forbid_it)
{
    EXPECT_STR(path_after("rewrite: {path: /x, when: method == POST}", "http://example.com/a"),
               "/a");
    EXPECT_STR(path_after("rewrite: {path: /x, when: method == GET}", "http://example.com/a"),
               "/x");
    done();
}

TEST(what_has_no_path_is_left_alone)
{
    trial_load(&t, &middleware_rewrite, "rewrite: {path: '/x${path}'}");
    EXPECT(t.config);
    x = testing_exchange("OPTIONS", "*", NULL);
    trial_run(&t, x, &testing_terminal);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(x->request.target.path, "*");
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *r = &middleware_rewrite;

    EXPECT(is_refused(r, "rewrite: {}", "this rewrites nothing"));
    EXPECT(is_refused(r, "rewrite: {path: /x, when: bytes > 1}", "before there is a response"));
    EXPECT(is_refused(r, "rewrite: {path: /a, regex: b, to: c}", "only one of"));
    EXPECT(is_refused(r, "rewrite: {regex: '^/a'}", "`regex` needs `to`"));
    EXPECT(is_refused(r, "rewrite: {to: /a, path: /b}", "belongs to `regex`"));
    EXPECT(is_refused(r, "rewrite: {regex: '(', to: a}", "trial.yaml:2:"));
    EXPECT(is_refused(r, "rewrite: {regex: a, to: 'b?c=d'}", "a query has an option of its own"));
    EXPECT(is_refused(r, "rewrite: {prefix: {from: api}}", "starts with `/`"));
    EXPECT(is_refused(r, "rewrite: {prefix: {from: /a, to: b}}", "starts with `/`"));
    EXPECT(is_refused(r, "rewrite: {prefix: {from: /a/../b}}", "`.` and `..`"));
    EXPECT(is_refused(r, "rewrite: {prefix: {from: /a, to: /b/..}}", "`.` and `..`"));
    EXPECT(is_refused(r, "rewrite: {prefix: {to: /b}}", "from"));
}
