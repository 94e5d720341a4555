/* SPDX-License-Identifier: Apache-2.0 */
/* acme/duty_test.c */
#include "acme/duty.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdio.h>

enum { THINGS = 6 };

struct thing {
    struct acme_duty duty;
    enum acme_turn   turn;
    unsigned         seen;
    bool             freed;
};

static struct loop loop;
static struct thing things[THINGS];
static char order[64]; /* in which they were seen to */
static size_t most;
static bool wait_long;
static unsigned cancelled;

static struct thing *
thing_of(struct acme_duty *d)
{
    return container_of(d, struct thing, duty);
}

static enum acme_turn
turn(struct acme_duty *d)
{
    return thing_of(d)->turn;
}

static void
attend(struct acme_duty *d)
{
    struct thing *t = thing_of(d);
    size_t n = strlen(order);

    snprintf(order + n, sizeof(order) - n, "%td", t - things);
    if (d->of->attendants > most)
        most = d->of->attendants;
    if (fiber_sleep_until(loop_now_us() + (wait_long ? 60000000 : 2000)) == ERR_CANCELLED)
        cancelled++;
    t->seen++;
}

/* Once. */
static uint64_t
next_us(const struct acme_duty *d)
{
    return container_of(d, const struct thing, duty)->seen ? TIMER_NEVER
                                                           : acme_soon_us(loop_now_us());
}

static void
set_free(struct acme_duty *d)
{
    thing_of(d)->freed = true;
}

static ACME_DUTIES(chores, .name = "chores", .attendants_max = 2, .turn = turn, .attend = attend,
                   .next_us = next_us, .free = set_free);

static void
begin(void)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    memset(things, 0, sizeof(things));
    order[0] = '\0';
    most = cancelled = 0;
    wait_long = false;
    for (size_t i = 0; i < THINGS; i++) {
        things[i].turn = ACME_TURN_LAST;
        acme_duty_init(&things[i].duty, &chores);
    }
}

static void
run_ms(unsigned ms)
{
    const uint64_t until_us = clock_monotonic_us() + ms * 1000;

    while (clock_monotonic_us() < until_us)
        loop_once(&loop, until_us);
}

TEST(all_are_seen_to_by_a_few)
{
    begin();
    for (size_t i = 0; i < THINGS; i++)
        acme_duty_wake(&things[i].duty);
    EXPECT(!acme_duty_is_idle(&things[0].duty));
    run_ms(60);
    EXPECT_EQ(strlen(order), THINGS);
    EXPECT_EQ(most, 2);
    EXPECT_EQ(chores.attendants, 0);
    for (size_t i = 0; i < THINGS; i++) {
        EXPECT_EQ(things[i].seen, 1);
        EXPECT(acme_duty_is_idle(&things[i].duty));
    }
    loop_exit(&loop);
}

/* Two are seen to at once; those that come then change the order of the rest. */
TEST(some_come_first_and_some_not_at_all)
{
    begin();
    for (size_t i = 0; i < 4; i++)
        acme_duty_wake(&things[i].duty);
    things[4].turn = ACME_TURN_NONE;
    acme_duty_wake(&things[4].duty);
    wait_long = true;
    run_ms(10);
    EXPECT_EQ(strlen(order), 2);
    wait_long = false;
    things[5].turn = ACME_TURN_FIRST;
    acme_duty_wake(&things[5].duty);
    run_ms(10);
    acme_duty_drop(&things[order[0] - '0'].duty);
    run_ms(20);
    EXPECT_EQ(order[2], '5');
    EXPECT_EQ(strlen(order), 5);
    EXPECT_EQ(things[4].seen, 0);
    acme_duty_drop(&things[order[1] - '0'].duty);
    run_ms(10);
    EXPECT_EQ(chores.attendants, 0);
    loop_exit(&loop);
}

TEST(what_is_dropped_is_freed_by_its_attendant)
{
    begin();
    wait_long = true;
    for (size_t i = 0; i < 3; i++)
        acme_duty_wake(&things[i].duty);
    run_ms(10);
    EXPECT_EQ(strlen(order), 2);
    for (size_t i = 0; i < 4; i++)
        acme_duty_drop(&things[i].duty);
    /* One that waits for its turn goes at once, and one that nothing was wanted of. */
    EXPECT(things[2].freed + things[1].freed + things[0].freed == 1 && things[3].freed);
    run_ms(10);
    EXPECT(things[0].freed && things[1].freed && things[2].freed);
    EXPECT_EQ(cancelled, 2);
    EXPECT_EQ(chores.attendants, 0);
    loop_exit(&loop);
}
