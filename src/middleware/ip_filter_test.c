/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

/* The status that a client at this address gets. */
static unsigned
status_for(const char *item, const char *ip)
{
    struct trial t;
    struct exchange *x;
    unsigned status = 0;

    trial_load(&t, &middleware_ip_filter, item);
    if (t.config) {
        x = testing_exchange("GET", "http://example.com/", NULL);
        testing_set_client(x, ip);
        trial_run(&t, x, &testing_terminal);
        status = x->response.status;
        if (status == 403 && (x->fault.reason != REASON_NOT_ALLOWED || x->fault.detail.n == 0))
            status = 0;
        testing_exchange_free(x);
    }
    trial_free(&t);
    return status;
}

TEST(with_allow_only_those_are_let_in)
{
    const char *item = "ip_filter: {allow: [10.0.0.0/8, '2001:db8::/32']}";

    EXPECT_EQ(status_for(item, "10.1.2.3"), 200);
    EXPECT_EQ(status_for(item, "::ffff:10.1.2.3"), 200);
    EXPECT_EQ(status_for(item, "2001:db8::5"), 200);
    EXPECT_EQ(status_for(item, "11.1.2.3"), 403);
    EXPECT_EQ(status_for(item, "2001:db9::5"), 403);
}

TEST(with_deny_only_those_are_kept_out)
{
    const char *item = "ip_filter: {deny: [10.0.0.0/8, ::1]}";

    EXPECT_EQ(status_for(item, "10.1.2.3"), 403);
    EXPECT_EQ(status_for(item, "::ffff:10.1.2.3"), 403);
    EXPECT_EQ(status_for(item, "::1"), 403);
    EXPECT_EQ(status_for(item, "11.1.2.3"), 200);
}

TEST(deny_is_asked_first)
{
    const char *item = "ip_filter: {allow: [10.0.0.0/8], deny: [10.6.6.6]}";

    EXPECT_EQ(status_for(item, "10.6.6.5"), 200);
    EXPECT_EQ(status_for(item, "10.6.6.6"), 403);
    EXPECT_EQ(status_for(item, "192.0.2.1"), 403);
}

TEST(a_list_alone_is_allow)
{
    EXPECT_EQ(status_for("ip_filter: [192.0.2.0/24, 10.0.0.1]", "192.0.2.1"), 200);
    EXPECT_EQ(status_for("ip_filter: 10.0.0.1", "192.0.2.1"), 403);
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_ip_filter, "ip_filter: {}", "lets everybody in"));
    EXPECT(is_refused(&middleware_ip_filter, "ip_filter: {allow: [10.0.0.1/8]}", "10.0.0.1/8"));
    EXPECT(is_refused(&middleware_ip_filter, "ip_filter: {allow: [example.com]}", "example.com"));
}
