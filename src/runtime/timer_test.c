/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/timer_test.c */
#include "runtime/timer.h"

#include "base/clock.h"
#include "base/test.h"

#include <stdlib.h>

struct probe {
    struct timer timer;
    uint64_t     wanted_us;
    uint64_t     fired_us;
    unsigned     times;
};

static uint64_t now_us;

static void
on_fire(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);

    p->fired_us = now_us;
    p->times++;
}

TEST(a_timer_fires_once_at_its_time_or_within_a_tick_after)
{
    struct timers w;
    struct probe p = {.timer.fire = on_fire};

    timers_init(&w, now_us = 5000000);
    timer_set(&w, &p.timer, 5100000);
    timers_run(&w, now_us = 5099000);
    EXPECT_EQ(p.times, 0);
    timers_run(&w, now_us = 5102048);
    EXPECT_EQ(p.times, 1);
    timers_run(&w, now_us = 9000000);
    EXPECT_EQ(p.times, 1);
    EXPECT(!timer_is_set(&p.timer));
}

TEST(a_cleared_timer_does_not_fire)
{
    struct timers w;
    struct probe p = {.timer.fire = on_fire};

    timers_init(&w, now_us = 0);
    timer_set(&w, &p.timer, 70000);
    timer_clear(&w, &p.timer);
    timer_clear(&w, &p.timer);
    timers_run(&w, now_us = 1000000);
    EXPECT_EQ(p.times, 0);
    EXPECT(timers_next_us(&w) == TIMER_NEVER);
}

TEST(a_timer_set_again_moves)
{
    struct timers w;
    struct probe p = {.timer.fire = on_fire};

    timers_init(&w, now_us = 0);
    timer_set(&w, &p.timer, 70000);
    timer_set(&w, &p.timer, 7000000);
    timers_run(&w, now_us = 1000000);
    EXPECT_EQ(p.times, 0);
    timers_run(&w, now_us = 7100000);
    EXPECT_EQ(p.times, 1);
}

TEST(thousands_of_timers_fire_once_each_never_early_hardly_late)
{
    enum { N = 5000 };
    struct timers w;
    struct probe *p = calloc(N, sizeof(*p));
    struct dice d;

    dice_init(&d, 7);
    timers_init(&w, now_us = 123456789);
    for (int i = 0; i < N; i++) {
        /* From microseconds to months. */
        p[i].wanted_us = now_us + (dice_next(&d) >> (20 + dice_next(&d) % 40)) % 8000000000000u;
        p[i].timer.fire = on_fire;
        timer_set(&w, &p[i].timer, p[i].wanted_us);
    }
    for (int i = 0; i < N; i += 7)
        timer_clear(&w, &p[i].timer);
    while (timers_next_us(&w) != TIMER_NEVER) {
        now_us = timers_next_us(&w);
        timers_run(&w, now_us);
    }
    for (int i = 0; i < N; i++) {
        EXPECT_EQ(p[i].times, i % 7 != 0);
        EXPECT(i % 7 == 0 ||
               (p[i].fired_us >= p[i].wanted_us && p[i].fired_us <= p[i].wanted_us + 2048));
    }
    free(p);
}

static struct timers wheel;

static void
set_again(struct timer *t)
{
    on_fire(t);
    if (container_of(t, struct probe, timer)->times < 5)
        timer_set(&wheel, t, now_us);
}

TEST(a_timer_may_set_itself_while_it_fires)
{
    struct probe p = {.timer.fire = set_again};

    timers_init(&wheel, now_us = 0);
    timer_set(&wheel, &p.timer, 1000);
    for (int i = 0; i < 20; i++)
        timers_run(&wheel, now_us += 1024);
    EXPECT_EQ(p.times, 5);
}
