/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/child.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/route.h"
#include "exchange/testing.h"
#include "runtime/loop.h"

static int held;

static void
hold(void *snapshot)
{
    held += snapshot == &held;
}

static void
release(void *snapshot)
{
    held -= snapshot == &held;
}

static const struct middleware_keeper keeper = {hold, release, &held};

static const struct middleware chain[] = {
    {&testing_terminal, "first"},
    {&testing_terminal, "second"},
};
static const struct route route = {.chain = chain, .chain_length = countof(chain)};

static struct exchange *
parent(void)
{
    struct exchange *x = testing_exchange("POST", "https://Example.com:8443/a/b%20c/d?e=f",
                                          "Cookie", "a=b", "If-None-Match", "\"v\"",
                                          "Content-Length", "4", "Expect", "100-continue", NULL);

    x->route = &route;
    x->chain = chain;
    return x;
}

TEST(is_a_copy_that_outlives_its_parent)
{
    struct exchange *x = parent();
    struct exchange *c = exchange_child(x, &keeper);

    EXPECT_EQ(held, 1);
    testing_set_body(x, "body");
    testing_exchange_free(x);
    EXPECT_STR(c->request.host, "example.com");
    EXPECT_STR(c->request.target.raw_path, "/a/b%20c/d");
    EXPECT_STR(fields_value(&c->request.fields, FIELD_COOKIE), "a=b");
    EXPECT(!fields_has(&c->request.fields, FIELD_EXPECT));
    EXPECT(!c->request.body);
    EXPECT_EQ(c->depth, 1);
    EXPECT_STR(c->client_ip, "192.0.2.1");
    exchange_child_end(c);
    EXPECT_EQ(held, 0);
}

TEST(resolves_references)
{
    static const struct {
        const char *reference, *path, *query, *host;
    } cases[] = {
        {"/x?y", "/x", "y", "example.com"},
        {"x", "/a/b%20c/x", NULL, "example.com"},
        {"../x#z", "/a/x", NULL, "example.com"},
        {"?q", "/a/b%20c/d", "q", "example.com"},
        {"", "/a/b%20c/d", "e=f", "example.com"},
        {"#z", "/a/b%20c/d", "e=f", "example.com"},
        {"http://Other.example/x", "/x", NULL, "other.example"},
        {"//other.example:81/x", "/x", NULL, "other.example"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct exchange *x = parent();
        struct exchange *c = exchange_child(x, &keeper);

        EXPECT(exchange_child_target(c, slice_str(cases[i].reference)));
        EXPECT_STR(c->request.target.path, cases[i].path);
        if (cases[i].query)
            EXPECT_STR(c->request.target.query, cases[i].query);
        else
            EXPECT(!slice_is_present(c->request.target.query));
        EXPECT_STR(c->request.host, cases[i].host);
        EXPECT_EQ(c->request.method, METHOD_GET);
        EXPECT(!fields_has(&c->request.fields, FIELD_IF_NONE_MATCH));
        EXPECT(!fields_has(&c->request.fields, FIELD_CONTENT_LENGTH));
        exchange_child_end(c);
        testing_exchange_free(x);
    }
}

TEST(refuses_what_no_client_could_send)
{
    static const char *const bad[] = {"ftp://a/x", "/a b", "/../..", "http://a@b/", "http:///x",
                                      "/%zz"};

    for (size_t i = 0; i < countof(bad); i++) {
        struct exchange *x = parent();
        struct exchange *c = exchange_child(x, &keeper);

        EXPECT(!exchange_child_target(c, slice_str(bad[i])));
        exchange_child_end(c);
        testing_exchange_free(x);
    }
}

TEST(runs_the_rest_of_the_chain)
{
    struct loop loop;
    struct exchange *x = parent();
    struct exchange *c = exchange_child(x, &keeper);

    CHECK(loop_init(&loop, NULL, 0) == OK);
    exchange_child_run_behind(c, &chain[0]);
    EXPECT_EQ(c->response.status, 200);
    EXPECT_STR(testing_pull(c, take(&c->response.body)), "second");
    exchange_child_end(c);
    loop_exit(&loop);
    testing_exchange_free(x);
}

TEST(is_not_made_too_deep)
{
    struct exchange *x = parent();

    x->depth = EXCHANGE_DEPTH_MAX;
    EXPECT(!exchange_child(x, &keeper));
    EXPECT_EQ(held, 0);
    testing_exchange_free(x);
}
