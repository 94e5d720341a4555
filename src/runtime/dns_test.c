/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/dns_test.c - as far as a machine without name servers can tell. */
#include "runtime/dns.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct dns_answer answer;
static enum err error;

static void
look_up(void *name)
{
    error = dns_resolve(slice_str(name), 8080, &answer);
}

static void
until_answered(struct loop *loop)
{
    while (fiber_count() > 0)
        loop_once(loop, loop->now_us + 100000);
}

TEST(localhost_comes_from_the_hosts_file)
{
    char name[] = "localhost";
    struct loop loop;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    fiber_start("asks", look_up, name);
    until_answered(&loop);
    EXPECT_EQ(error, OK);
    EXPECT(answer.n >= 1);
    EXPECT_EQ(address_port(&answer.addresses[0]), 8080);
    dns_exit();
    loop_exit(&loop);
}

TEST(a_name_that_is_too_long_does_not_exist)
{
    char name[400];
    struct loop loop;

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    fiber_start("asks", look_up, name);
    until_answered(&loop);
    EXPECT_EQ(error, ERR_NOT_FOUND);
    dns_exit();
    loop_exit(&loop);
}

TEST(a_cancelled_question_is_given_up)
{
    char name[] = "nobody.invalid";
    struct loop loop;
    struct fiber *f;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    f = fiber_start("asks", look_up, name);
    loop_once(&loop, loop.now_us);
    if (fiber_count() > 0)
        fiber_cancel(f, ERR_CANCELLED);
    until_answered(&loop);
    EXPECT(error == ERR_CANCELLED || error == ERR_NOT_FOUND || error == ERR_REFUSED ||
           error == ERR_TIMEOUT);
    dns_exit();
    loop_exit(&loop);
}
