/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/fiber_test.c */
#include "runtime/fiber.h"

#include "base/test.h"
#include "runtime/loop.h"
#include "runtime/sock.h"

#include <string.h>

static struct loop loop;

static void
until_no_fiber(void)
{
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 1000000);
}

static char order[64];

static void
write_letter(void *arg)
{
    strncat(order, arg, 1);
    fiber_sleep_until(loop_now_us() + 2000);
    strncat(order, arg, 1);
}

TEST(fibers_take_turns)
{
    char a[] = "a", b[] = "b";

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    order[0] = '\0';
    fiber_start("a", write_letter, a);
    fiber_start("b", write_letter, b);
    until_no_fiber();
    EXPECT_STR(slice_str(order), "abab");
    loop_exit(&loop);
}

static enum err slept;

static void
sleep_long(void *arg)
{
    (void) arg;
    slept = fiber_sleep_until(loop_now_us() + 60000000);
}

TEST(a_cancelled_fiber_stops_waiting)
{
    struct fiber *f;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    f = fiber_start("sleeper", sleep_long, NULL);
    loop_once(&loop, loop.now_us);
    fiber_cancel(f, ERR_CANCELLED);
    until_no_fiber();
    EXPECT_EQ(slept, ERR_CANCELLED);
    loop_exit(&loop);
}

static int depth_reached;

static __attribute__((noinline)) int
recurse(int n)
{
    volatile char here[128];

    memset((char *) here, n, sizeof(here));
    if (n == 0)
        return here[5];
    return recurse(n - 1) + here[7];
}

static void
go_deep(void *arg)
{
    (void) arg;
    recurse(150);
    depth_reached++;
}

TEST(stacks_are_deep_enough_and_used_again)
{
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    depth_reached = 0;
    for (int i = 0; i < 1000; i++) {
        fiber_start("deep", go_deep, NULL);
        until_no_fiber();
    }
    EXPECT_EQ(depth_reached, 1000);
    EXPECT_EQ(fiber_pool_idle(), 1);
    fiber_pool_trim();
    fiber_pool_trim();
    EXPECT_EQ(fiber_pool_idle(), 0);
    loop_exit(&loop);
}

static int finished;

static void
wait_a_little(void *arg)
{
    (void) arg;
    fiber_sleep_until(loop_now_us() + 3000);
    finished++;
}

TEST(a_thousand_fibers_at_once)
{
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    finished = 0;
    for (int i = 0; i < 1000; i++)
        EXPECT(fiber_start("many", wait_a_little, NULL) != NULL);
    until_no_fiber();
    EXPECT_EQ(finished, 1000);
    loop_exit(&loop);
}

static int computed;

static void
compute(void *arg)
{
    *(int *) arg = 42;
}

static void
ask_for_computing(void *arg)
{
    (void) arg;
    offload(compute, &computed);
}

TEST(offloaded_work_comes_back)
{
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    fiber_start("asks", ask_for_computing, NULL);
    until_no_fiber();
    EXPECT_EQ(computed, 42);
    offload_exit();
    loop_exit(&loop);
}
