/* SPDX-License-Identifier: Apache-2.0 */
/* The test beside skeleton.c, to be copied with it: one function a behaviour, named as a
 * sentence. */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

TEST(it_greets)
{
    struct trial t;
    struct exchange *x = testing_exchange("GET", "http://example.com/", NULL);

    trial_load(&t, &middleware_skeleton, "skeleton: {field: X-Hi, value: 'Hi, ${client.ip}'}");
    EXPECT(t.config);
    trial_run(&t, x, &testing_terminal);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "X-Hi"), "Hi, 192.0.2.1");
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(it_has_defaults)
{
    struct trial t;
    struct exchange *x = testing_exchange("GET", "http://example.com/", NULL);

    trial_load(&t, &middleware_skeleton, "skeleton");
    EXPECT(t.config);
    trial_run(&t, x, &testing_terminal);
    EXPECT_STR(testing_field(x, "X-Greeting"), "Hello, 192.0.2.1");
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(it_refuses_long_paths)
{
    struct trial t;
    struct exchange *x = testing_exchange("GET", "http://example.com/long", NULL);

    trial_load(&t, &middleware_skeleton, "skeleton: {max_length: 4}");
    EXPECT(t.config);
    trial_run(&t, x, &testing_terminal);
    EXPECT_EQ(x->response.status, 414);
    EXPECT_EQ(x->fault.reason, REASON_TARGET_TOO_LONG);
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(it_sends_no_line_breaks)
{
    struct trial t;
    struct exchange *x = testing_exchange("GET", "http://example.com/?q=a%0D%0Ab:c", NULL);

    trial_load(&t, &middleware_skeleton, "skeleton: \"${query('q')}\"");
    EXPECT(t.config);
    trial_run(&t, x, &testing_terminal);
    EXPECT(!slice_is_present(testing_field(x, "X-Greeting")));
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(
        is_refused(&middleware_skeleton, "skeleton: {field: 'a b'}", "is not the name of a field"));
    EXPECT(is_refused(&middleware_skeleton, "skeleton: {max_length: 0}", "max_length"));
}
