/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/loop.h"
#include "upstream/upstream.h"

static struct loop loop;
static struct trial t;
static struct exchange *x;

static bool
run(const char *method)
{
    if (loop_init(&loop, NULL, 0) != OK)
        return false;
    upstreams_init(1);
    trial_load(&t, &middleware_status, "status");
    x = testing_exchange(method, "http://example.com/status", NULL);
    if (t.config)
        trial_run(&t, x, &testing_terminal);
    return t.config != NULL;
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
    upstreams_exit();
    loop_exit(&loop);
}

TEST(it_answers_json_that_nobody_keeps)
{
    struct slice body;

    EXPECT(run("GET"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/json");
    EXPECT_STR(testing_field(x, "Cache-Control"), "no-store");
    EXPECT(x->response.body && x->response.body->length > 0);
    body = testing_pull(x, x->response.body);
    EXPECT_EQ(body.n, x->response.body->length);
    EXPECT(slice_starts(body, SLICE("{")));
    done();
}

TEST(it_answers_head)
{
    EXPECT(run("HEAD"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->response.body && x->response.body->length > 0);
    done();
}

TEST(and_nothing_else)
{
    EXPECT(run("POST"));
    EXPECT_EQ(x->response.status, 405);
    EXPECT_STR(testing_field(x, "Allow"), "GET, HEAD");
    done();
}
