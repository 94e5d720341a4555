/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/dns_test.c - as far as a machine without name servers can tell. */
#include "runtime/dns.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

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

/* ------------------------------------------------------------------ SRV records */

static char message[65536];
static size_t message_n;
static struct dns_srv_answer services;

static void
put(const void *bytes, size_t n)
{
    memcpy(message + message_n, bytes, n);
    message_n += n;
}

static void
put_16(unsigned value)
{
    put((unsigned char[]){(unsigned char) (value >> 8), (unsigned char) value}, 2);
}

/* A question for "s.test", and what is said of the number of answers. */
static void
begin(unsigned answers)
{
    message_n = 0;
    put("\x12\x34\x81\x80\0\1", 6);
    put_16(answers);
    put("\0\0\0\0\1s\4test\0\0\41\0\1", 16);
}

/* name: on the wire, without the pointer to "test" that ends it. */
static void
add_srv(unsigned ttl_s, unsigned priority, unsigned weight, unsigned port, const char *name)
{
    put("\xc0\x0c\0\41\0\1", 6);
    put_16(ttl_s >> 16);
    put_16(ttl_s & 0xffff);
    put_16((unsigned) strlen(name) + 8);
    put_16(priority);
    put_16(weight);
    put_16(port);
    put(name, strlen(name));
    put("\xc0\x0e", 2);
}

static enum err
read_message(void)
{
    return dns_srv_read(slice_of(message, message_n), &services);
}

TEST(srv_records_are_sorted_by_priority_and_name)
{
    begin(3);
    add_srv(300, 20, 5, 81, "\1b");
    add_srv(60, 10, 0, 82, "\1c");
    add_srv(90, 20, 7, 80, "\1a");
    EXPECT_EQ(read_message(), OK);
    EXPECT_EQ(services.n, 3);
    EXPECT_EQ(services.ttl_s, 60);
    EXPECT_STR(slice_str(services.targets[0].name), "c.test");
    EXPECT_EQ(services.targets[0].port, 82);
    EXPECT_STR(slice_str(services.targets[1].name), "a.test");
    EXPECT_EQ(services.targets[1].weight, 7);
    EXPECT_EQ(services.targets[1].priority, 20);
    EXPECT_STR(slice_str(services.targets[2].name), "b.test");
}

TEST(an_alias_before_the_records_bounds_their_time)
{
    begin(2);
    put("\xc0\x0c\0\5\0\1\0\0\0\7\0\2\xc0\x0e", 14);
    add_srv(60, 1, 1, 80, "\1a");
    EXPECT_EQ(read_message(), OK);
    EXPECT_EQ(services.n, 1);
    EXPECT_EQ(services.ttl_s, 7);
}

TEST(a_target_of_the_root_says_that_there_is_no_service)
{
    begin(1);
    put("\xc0\x0c\0\41\0\1\0\0\0\x3c\0\7\0\0\0\0\0\0\0", 19);
    EXPECT_EQ(read_message(), OK);
    EXPECT_EQ(services.n, 0);
    EXPECT_EQ(services.ttl_s, 60);
}

TEST(an_answer_without_srv_records_is_none)
{
    begin(1);
    put("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1", 16);
    EXPECT_EQ(read_message(), ERR_NOT_FOUND);
    begin(0);
    EXPECT_EQ(read_message(), ERR_NOT_FOUND);
}

TEST(a_negative_ttl_is_zero)
{
    begin(1);
    add_srv(0x80000001, 1, 1, 80, "\1a");
    EXPECT_EQ(read_message(), OK);
    EXPECT_EQ(services.ttl_s, 0);
}

TEST(of_too_many_targets_the_first_are_kept_in_whatever_order_they_come)
{
    begin(100);
    for (unsigned i = 0; i < 100; i++)
        add_srv(60, (i * 37) % 100, 1, 80, "\1a");
    EXPECT_EQ(read_message(), OK);
    EXPECT_EQ(services.n, DNS_SRV_MAX);
    for (unsigned i = 0; i < DNS_SRV_MAX; i++)
        EXPECT_EQ(services.targets[i].priority, i);
}

/* Every cut is noticed, and none is read beyond: the copies end where their memory ends. */
TEST(a_message_that_ends_early_is_malformed)
{
    begin(2);
    add_srv(60, 1, 1, 80, "\1a");
    add_srv(60, 1, 1, 80, "\1b");
    for (size_t n = 0; n < message_n; n++) {
        char *cut = malloc(n ? n : 1);

        memcpy(cut, message, n);
        EXPECT_EQ(dns_srv_read(slice_of(cut, n), &services), ERR_MALFORMED);
        free(cut);
    }
}

TEST(a_name_that_points_to_itself_is_malformed)
{
    begin(1);
    put("\xc0\x0c\0\41\0\1\0\0\0\x3c\0\10\0\1\0\1\0\120\xc0\x32", 20);
    message[message_n - 1] = (char) (message_n - 2);
    EXPECT_EQ(read_message(), ERR_MALFORMED);
}

TEST(a_label_of_an_unknown_kind_is_malformed)
{
    begin(1);
    message[12] = 0x41;
    add_srv(60, 1, 1, 80, "\1a");
    EXPECT_EQ(read_message(), ERR_MALFORMED);
}
