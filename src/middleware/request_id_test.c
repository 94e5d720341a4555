/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial     t;
static struct exchange *x;

static bool
run_as(const char *item, const char *id, bool trusted)
{
    trial_load(&t, &middleware_request_id, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("GET", "http://example.com/", "X-Request-ID", id, NULL);
    ((struct client *) x->client)->trusted = trusted;
    trial_run(&t, x, &testing_terminal);
    return true;
}

static bool
run(const char *item, const char *id)
{
    return run_as(item, id, false);
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

TEST(an_id_is_made_and_everybody_sees_it)
{
    EXPECT(run("request_id", "chosen-by-the-client"));
    EXPECT_EQ(x->request_id.n, 32);
    EXPECT(slice_eq(sent("X-Request-ID"), x->request_id));
    EXPECT(slice_eq(testing_field(x, "X-Request-ID"), x->request_id));
    EXPECT_EQ(x->request.fields.n, 1);
    done();
}

TEST(the_id_of_a_trusted_proxy_is_taken_over)
{
    EXPECT(run_as("request_id", "from-the-balancer", true));
    EXPECT_STR(x->request_id, "from-the-balancer");
    EXPECT_STR(sent("X-Request-ID"), "from-the-balancer");
    EXPECT_STR(testing_field(x, "X-Request-ID"), "from-the-balancer");
    done();
}

TEST(or_of_anybody_when_the_configuration_says_so)
{
    EXPECT(run("request_id: {trust: true}", "abc"));
    EXPECT_STR(x->request_id, "abc");
    done();
}

TEST(an_id_that_is_not_one_visible_word_is_replaced)
{
    static const char *const bad[] = {"", "two words", "a\tb", "caf\xC3\xA9", "\x7F"};
    char id[130];

    for (size_t i = 0; i < 5; i++) {
        EXPECT(run("request_id: {trust: true}", bad[i]));
        EXPECT_EQ(x->request_id.n, 32);
        done();
    }
    memset(id, 'x', sizeof id);
    id[129] = 0;
    EXPECT(run("request_id: {trust: true}", id));
    EXPECT_EQ(x->request_id.n, 32);
    done();
    id[128] = 0;
    EXPECT(run("request_id: {trust: true}", id));
    EXPECT_EQ(x->request_id.n, 128);
    done();
}

TEST(two_ids_name_nothing)
{
    trial_load(&t, &middleware_request_id, "request_id: {trust: true}");
    EXPECT(t.config);
    x = testing_exchange("GET", "http://example.com/", "X-Request-ID", "one", "x-request-id", "two",
                         NULL);
    trial_run(&t, x, &testing_terminal);
    EXPECT_EQ(x->request_id.n, 32);
    EXPECT_EQ(x->request.fields.n, 1);
    done();
}

TEST(the_field_can_have_another_name_and_stay_inside)
{
    EXPECT(run("request_id: {header: X-Trace, response: false}", "abc"));
    EXPECT(slice_eq(sent("X-Trace"), x->request_id));
    EXPECT_STR(sent("X-Request-ID"), "abc");
    EXPECT(!slice_is_present(testing_field(x, "X-Trace")));
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_request_id, "request_id: {header: 'a b'}",
                      "is not the name of a field"));
    EXPECT(is_refused(&middleware_request_id, "request_id: {header: Connection}",
                      "belongs to one connection"));
}
