/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static void
answer_timeouts(const struct middleware *self, struct exchange *x)
{
    (void) self;
    testing_answer(x, x->timeouts->response_us == 600000000 ? 200 : 500, "", "");
}

static const struct middleware_ops terminal = {
    .options = {.name = "terminal", .doc = "Looks at the time-outs."},
    .handle = answer_timeouts,
};

TEST(what_lies_behind_waits_as_long_as_it_is_told)
{
    struct trial t;
    struct exchange *x = testing_exchange("GET", "http://example.com/", NULL);

    trial_load(&t, &middleware_timeouts, "timeouts: {response: 10m, total: 1h}");
    EXPECT(t.config);
    trial_run(&t, x, &terminal);
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->timeouts == (const void *) t.chain[0].config);
    EXPECT_EQ(x->timeouts->connect_us, 5000000);
    EXPECT_EQ(x->timeouts->send_us, 60000000);
    EXPECT_EQ(x->timeouts->body_us, 60000000);
    EXPECT_EQ(x->timeouts->total_us, 3600000000);
    EXPECT_EQ(x->timeouts->tunnel_us, 3600000000);
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(total_is_without_limit_by_default)
{
    struct trial t;

    trial_load(&t, &middleware_timeouts, "timeouts");
    EXPECT(t.config);
    EXPECT_EQ(((const struct exchange_timeouts *) t.chain[0].config)->total_us, 0);
    trial_free(&t);
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_timeouts, "timeouts: {response: 60}", "did you mean `60s`"));
    EXPECT(is_refused(&middleware_timeouts, "timeouts: {connect: 0}", "1ms"));
    EXPECT(is_refused(&middleware_timeouts, "timeouts: {connect: -1s}", "trial.yaml:2:"));
    EXPECT(is_refused(&middleware_timeouts, "timeouts: {repsonse: 1s}", "did you mean `response`"));
}
