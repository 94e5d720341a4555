/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learned limit against a model of servers, in simulated time.
 *
 * The group works on `capacity` exchanges at a time, each for about `work_us`; the others queue.
 * More clients than it can bear ask again and again, and go away for a moment when refused.
 */
#include "upstream/concurrency.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <math.h>

enum { STEP_US = 1000, MOST = 2000, SECOND = 1000000 };

static const struct concurrency_config usual = {.min = 4, .max = 1000, .tolerance = 1500000};

/* In flight: those at work, then those that queue, in the order in which they came. */
struct flight {
    uint64_t since_us;
    uint64_t left_us; /* of its work */
};

struct model {
    struct concurrency c;
    struct flight      flights[MOST];
    size_t             n;
    size_t             capacity, clients;
    double             work_us;
    uint64_t           now_us;
    uint64_t           answers, took_us; /* since the last look */
    struct dice        dice;
};

static void
build(struct model *m, size_t capacity, size_t clients, double work_us)
{
    *m = (struct model){.capacity = capacity,
                        .clients = clients,
                        .work_us = work_us,
                        .now_us = 1000 * (uint64_t) SECOND};
    CHECK(concurrency_init(&m->c, 1));
    dice_init(&m->dice, 3);
}

/* Between half and one and a half times the average. */
static uint64_t
some_work(struct model *m)
{
    double spread = (double) (dice_next(&m->dice) >> 11) / (double) ((uint64_t) 1 << 53);

    return (uint64_t) (m->work_us * (0.5 + spread));
}

static void
arrive(struct model *m)
{
    while (m->n < m->clients && m->n < concurrency_limit(&m->c, &usual)) {
        m->flights[m->n++] = (struct flight){m->now_us, some_work(m)};
        concurrency_enter(&m->c, (uint32_t) m->n);
    }
}

static void
work(struct model *m)
{
    size_t kept = 0, at_work = m->n < m->capacity ? m->n : m->capacity;

    for (size_t i = 0; i < m->n; i++) {
        struct flight f = m->flights[i];
        uint64_t took_us = m->now_us - f.since_us;

        if (i < at_work && f.left_us <= STEP_US) {
            concurrency_leave(&m->c, &usual, 0, m->now_us, false, took_us);
            m->answers++;
            m->took_us += took_us;
            continue;
        }
        if (i < at_work)
            f.left_us -= STEP_US;
        m->flights[kept++] = f;
    }
    m->n = kept;
}

static void
run(struct model *m, uint64_t seconds)
{
    m->answers = m->took_us = 0;
    for (uint64_t i = 0; i < seconds * SECOND / STEP_US; i++) {
        arrive(m);
        m->now_us += STEP_US;
        work(m);
    }
}

static double
average_us(const struct model *m)
{
    return (double) m->took_us / (double) m->answers;
}

static bool
is_settled(const struct model *m)
{
    double limit = concurrency_limit(&m->c, &usual);

    return limit >= (double) m->capacity / 2 && limit <= (double) m->capacity * 2 &&
           average_us(m) < 2 * (m->work_us + STEP_US);
}

TEST(the_limit_settles_near_what_the_group_bears)
{
    static const size_t capacities[] = {20, 50, 200, 400};

    for (size_t i = 0; i < countof(capacities); i++) {
        static struct model m;

        build(&m, capacities[i], 5 * capacities[i], 20000);
        run(&m, 10);
        for (int look = 0; look < 20; look++) {
            run(&m, 5);
            EXPECT(is_settled(&m));
        }
        concurrency_free(&m.c);
    }
}

TEST(the_group_is_kept_busy)
{
    static struct model m;
    double most;

    build(&m, 50, 500, 20000);
    run(&m, 10);
    run(&m, 120); /* with a few measurements in it */
    most = 120.0 * SECOND / (m.work_us + STEP_US / 2.0) * (double) m.capacity;
    EXPECT((double) m.answers > 0.98 * most);
    concurrency_free(&m.c);
}

TEST(it_follows_when_half_of_the_group_is_gone_and_when_it_is_back)
{
    static struct model m;

    build(&m, 100, 1000, 20000);
    run(&m, 20);
    m.capacity = 50;
    run(&m, 3);
    run(&m, 5);
    EXPECT(is_settled(&m));
    m.capacity = 100;
    run(&m, 40);
    run(&m, 5);
    EXPECT(is_settled(&m));
    concurrency_free(&m.c);
}

TEST(a_group_that_became_slower_for_good_is_measured_anew)
{
    static struct model m;

    build(&m, 100, 1000, 20000);
    run(&m, 20);
    m.work_us = 60000;
    run(&m, 120);
    run(&m, 5);
    EXPECT(is_settled(&m));
    concurrency_free(&m.c);
}

TEST(a_limit_that_nobody_reaches_does_not_grow)
{
    static struct model m;

    build(&m, 100, 5, 20000);
    run(&m, 60);
    EXPECT_EQ(concurrency_limit(&m.c, &usual), 20);
    concurrency_free(&m.c);
}

TEST(the_bounds_hold_whatever_was_learned)
{
    static const struct concurrency_config narrow = {.min = 7, .max = 9, .tolerance = 1500000};
    static struct model m;

    build(&m, 100, 1000, 20000);
    EXPECT_EQ(concurrency_limit(&m.c, &narrow), 9);
    run(&m, 20);
    EXPECT_EQ(concurrency_limit(&m.c, &narrow), 9);
    concurrency_free(&m.c);
}

TEST(what_gets_no_answer_lowers_it_and_errors_that_are_answered_do_not)
{
    static struct model m;

    build(&m, 100, 1000, 20000);
    run(&m, 10);
    for (int i = 0; i < 1000; i++)
        concurrency_leave(&m.c, &usual, 0, m.now_us += 10000, true, 100);
    EXPECT(concurrency_limit(&m.c, &usual) >= 100);
    for (int i = 0; i < 1000; i++)
        concurrency_leave(&m.c, &usual, 0, m.now_us += 10000, true, 0);
    EXPECT_EQ(concurrency_limit(&m.c, &usual), 4);
    concurrency_free(&m.c);
}
