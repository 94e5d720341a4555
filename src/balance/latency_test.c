/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/latency_test.c - groups of servers with queues, simulated event by event with seeded
 * dice: what the policies are good for.
 *
 * Each server works on one thing at a time, in the order of arrival.
 */
#include "balance/testing.h"

#include <stdio.h>

enum { ARRIVALS = 100000, COLD = 5000 /* of them, not counted */ };

struct job {
    uint64_t end_us;
    uint32_t took_us;
    uint32_t server;
};

struct simulation {
    struct group group;
    uint64_t    *free_us;    /* when each server has worked off its queue */
    uint32_t    *service_us; /* what each needs for one, on average */
    struct job  *jobs;       /* under way: a heap, the next to end first */
    size_t       n_jobs;
    uint32_t    *took_us; /* of each arrival */
    uint32_t     longest; /* queue that ever was */
    uint64_t     now_us;
};

static void
start(struct simulation *s, const struct lb_policy_ops *ops, size_t n)
{
    group_make(&s->group, ops, n, NULL);
    s->free_us = calloc(n, sizeof(*s->free_us));
    s->service_us = calloc(n, sizeof(*s->service_us));
    s->jobs = calloc(ARRIVALS + 1, sizeof(*s->jobs));
    s->took_us = calloc(ARRIVALS, sizeof(*s->took_us));
    CHECK(s->free_us && s->service_us && s->jobs && s->took_us);
    s->n_jobs = 0;
    s->longest = 0;
    s->now_us = 1000000;
    for (size_t i = 0; i < n; i++)
        s->service_us[i] = 1000;
}

static void
end(struct simulation *s)
{
    free(s->free_us);
    free(s->service_us);
    free(s->jobs);
    free(s->took_us);
    group_free(&s->group);
}

static void
push(struct simulation *s, struct job job)
{
    size_t at = ++s->n_jobs;

    for (; at > 1 && s->jobs[at / 2].end_us > job.end_us; at /= 2)
        s->jobs[at] = s->jobs[at / 2];
    s->jobs[at] = job;
}

static struct job
pop(struct simulation *s)
{
    struct job first = s->jobs[1], last = s->jobs[s->n_jobs--];
    size_t at = 1, child;

    for (; (child = at * 2) <= s->n_jobs; at = child) {
        child += child < s->n_jobs && s->jobs[child + 1].end_us < s->jobs[child].end_us;
        if (last.end_us <= s->jobs[child].end_us)
            break;
        s->jobs[at] = s->jobs[child];
    }
    s->jobs[at] = last;
    return first;
}

static void
finish_until(struct simulation *s, uint64_t now_us)
{
    while (s->n_jobs && s->jobs[1].end_us <= now_us) {
        struct job job = pop(s);

        s->group.targets[job.server].inflight--;
        lb_observe(&s->group.targets[job.server], job.took_us, job.end_us);
    }
}

/* Between half and one and a half of the average. */
static uint64_t
around(struct simulation *s, uint64_t average)
{
    return average / 2 + dice_next(&s->group.dice) % (average + 1);
}

static uint32_t
arrive(struct simulation *s)
{
    struct lb_ask ask = group_ask(&s->group);
    uint64_t begin_us;
    uint32_t took_us, inflight;
    size_t at;

    ask.now_us = s->now_us;
    at = group_pick(&s->group, &ask);
    CHECK(at != LB_NONE);
    inflight = ++s->group.targets[at].inflight;
    s->longest = inflight > s->longest ? inflight : s->longest;
    begin_us = s->free_us[at] > s->now_us ? s->free_us[at] : s->now_us;
    s->free_us[at] = begin_us + around(s, s->service_us[at]);
    took_us = (uint32_t) (s->free_us[at] - s->now_us);
    push(s, (struct job){s->free_us[at], took_us, (uint32_t) at});
    return took_us;
}

/* An arrival each `every_us`, more or less. */
static void
run(struct simulation *s, uint64_t every_us)
{
    for (size_t i = 0; i < ARRIVALS; i++) {
        s->now_us += around(s, every_us);
        finish_until(s, s->now_us);
        s->took_us[i] = arrive(s);
    }
}

static int
by_time(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *) a, two = *(const uint32_t *) b;

    return one < two ? -1 : one > two;
}

static uint32_t
p99(struct simulation *s)
{
    qsort(s->took_us + COLD, ARRIVALS - COLD, sizeof(*s->took_us), by_time);
    return s->took_us[COLD + (size_t) (ARRIVALS - COLD) * 99 / 100];
}

/* Nine servers of 1 ms, at 60 % of what they can do, and perhaps a tenth of 10 ms. */
static uint32_t
p99_of(const struct lb_policy_ops *ops, bool with_slow_one)
{
    struct simulation s;
    uint32_t result;

    start(&s, ops, with_slow_one ? 10 : 9);
    if (with_slow_one)
        s.service_us[4] = 10000;
    run(&s, 185);
    result = p99(&s);
    end(&s);
    return result;
}

TEST(peak_ewma_hides_a_server_that_is_ten_times_slower)
{
    uint32_t without = p99_of(&lb_peak_ewma, false), with = p99_of(&lb_peak_ewma, true);
    uint32_t plain = p99_of(&lb_round_robin, true);

    printf("# p99: %u us without the slow one, %u us with it, %u us under round_robin\n", without,
           with, plain);
    EXPECT(with * 2 <= without * 3);
    EXPECT(plain > without * 10);
}

TEST(least_time_hides_it_as_well)
{
    uint32_t without = p99_of(&lb_least_time, false), with = p99_of(&lb_least_time, true);

    printf("# p99: %u us without the slow one, %u us with it\n", without, with);
    EXPECT(with * 2 <= without * 3);
}

/* It was slow, and is not any more: it gets its share again. */
TEST(who_has_recovered_is_found_out)
{
    static const struct lb_policy_ops *const timed[] = {&lb_peak_ewma, &lb_least_time};

    for (size_t i = 0; i < countof(timed); i++) {
        struct simulation s;

        start(&s, timed[i], 10);
        s.service_us[4] = 10000;
        run(&s, 185);
        EXPECT_OF(timed[i], group_share(&s.group, 4) < 0.02);
        s.service_us[4] = 1000;
        run(&s, 1000); /* 100 s */
        memset(s.group.picked, 0, 10 * sizeof(s.group.picked[0]));
        run(&s, 185);
        EXPECT_OF(timed[i], group_share(&s.group, 4) > 0.05);
        end(&s);
    }
}

static uint32_t
longest_queue(const struct lb_policy_ops *ops)
{
    struct simulation s;
    uint32_t longest;

    start(&s, ops, 100);
    run(&s, 11); /* 90 % of what a hundred can do */
    longest = s.longest;
    end(&s);
    return longest;
}

TEST(two_choices_keep_queues_far_shorter_than_one)
{
    uint32_t one = longest_queue(&lb_random), two = longest_queue(&lb_two_choices);
    uint32_t all = longest_queue(&lb_least_connections);

    printf("# longest queue: random %u, two_choices %u, least_connections %u\n", one, two, all);
    EXPECT(two * 3 <= one);
    EXPECT(all <= two);
}
