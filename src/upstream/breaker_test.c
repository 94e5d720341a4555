/* SPDX-License-Identifier: Apache-2.0 */
/* The breaker's states, one step after the other and with workers that run at once. */
#include "upstream/breaker.h"

#include "base/check.h"
#include "base/test.h"

#include <pthread.h>

enum { SECOND = 1000000, START = 1000 * SECOND };

static const struct breaker_config half = {
    .error_rate = 500000,
    .minimum = 10,
    .window_us = 10 * SECOND,
    .open_us = 5 * SECOND,
    .probes = 1,
};

static bool
enter(struct breaker *b, uint64_t now_us, struct breaker_pass *pass)
{
    unsigned retry_after_s;

    return breaker_enter(b, &half, now_us, pass, &retry_after_s);
}

/* An exchange that is over at once; false: it was refused. */
static bool
exchange(struct breaker *b, uint64_t now_us, enum breaker_verdict verdict)
{
    struct breaker_pass pass;

    if (!enter(b, now_us, &pass))
        return false;
    breaker_leave(b, &half, 0, now_us, &pass, verdict);
    return true;
}

static bool
is_now(const struct breaker *b, const char *state)
{
    return slice_eq(slice_str(breaker_words(b)), slice_str(state));
}

/* As it is after so many failures. */
static void
open_breaker(struct breaker *b)
{
    CHECK(breaker_init(b, 4));
    for (int i = 0; i < 10; i++)
        exchange(b, START, BREAKER_FAILED);
    CHECK(is_now(b, "open"));
}

/* ------------------------------------------------------------------ opening */

TEST(too_few_failures_say_nothing)
{
    struct breaker b;

    EXPECT(breaker_init(&b, 1));
    for (int i = 0; i < 9; i++)
        EXPECT(exchange(&b, START, BREAKER_FAILED));
    EXPECT(is_now(&b, "closed"));
    exchange(&b, START, BREAKER_FAILED);
    EXPECT(is_now(&b, "open"));
    EXPECT(!exchange(&b, START, BREAKER_ANSWERED));
    breaker_free(&b);
}

TEST(the_share_within_the_window_decides)
{
    struct breaker b;

    EXPECT(breaker_init(&b, 1));
    for (int i = 0; i < 100; i++)
        exchange(&b, START, BREAKER_ANSWERED);
    for (int i = 0; i < 99; i++)
        exchange(&b, START, BREAKER_FAILED);
    EXPECT(is_now(&b, "closed"));
    for (int i = 0; i < 9; i++) /* what was answered lies too far back by now */
        exchange(&b, START + 12 * SECOND, BREAKER_FAILED);
    EXPECT(is_now(&b, "closed"));
    exchange(&b, START + 12 * SECOND, BREAKER_FAILED);
    EXPECT(is_now(&b, "open"));
    breaker_free(&b);
}

TEST(who_goes_away_counts_neither_way)
{
    struct breaker b;

    EXPECT(breaker_init(&b, 1));
    for (int i = 0; i < 1000; i++)
        exchange(&b, START, BREAKER_UNKNOWN);
    for (int i = 0; i < 9; i++)
        exchange(&b, START, BREAKER_FAILED);
    EXPECT(is_now(&b, "closed"));
    breaker_free(&b);
}

TEST(without_a_rate_it_never_opens_and_what_was_open_does_not_matter)
{
    struct breaker_config off = half;
    struct breaker b;
    struct breaker_pass pass;
    unsigned retry_after_s;

    off.error_rate = 0;
    open_breaker(&b);
    for (int i = 0; i < 100; i++) {
        EXPECT(breaker_enter(&b, &off, START, &pass, &retry_after_s));
        breaker_leave(&b, &off, 0, START, &pass, BREAKER_FAILED);
    }
    breaker_free(&b);
}

/* ------------------------------------------------------------------ finding out */

TEST(refused_ones_are_told_when_to_come_again)
{
    struct breaker b;
    struct breaker_pass pass;
    unsigned retry_after_s = 0;

    open_breaker(&b);
    EXPECT(!breaker_enter(&b, &half, START + SECOND / 2, &pass, &retry_after_s));
    EXPECT_EQ(retry_after_s, 5);
    EXPECT(!breaker_enter(&b, &half, START + 4 * SECOND + 1000, &pass, &retry_after_s));
    EXPECT_EQ(retry_after_s, 1);
    breaker_free(&b);
}

TEST(one_at_a_time_finds_out_and_success_closes)
{
    struct breaker b;
    struct breaker_pass probe, other;

    open_breaker(&b);
    EXPECT(!enter(&b, START + 5 * SECOND - 1000, &probe));
    EXPECT(enter(&b, START + 5 * SECOND, &probe));
    EXPECT(probe.probe);
    EXPECT(is_now(&b, "probing"));
    EXPECT(!enter(&b, START + 5 * SECOND, &other));
    breaker_leave(&b, &half, 1, START + 6 * SECOND, &probe, BREAKER_ANSWERED);
    EXPECT(is_now(&b, "closed"));
    /* With an empty window: one failure, among those of before, would be enough to open it. */
    EXPECT(exchange(&b, START + 6 * SECOND, BREAKER_FAILED));
    EXPECT(is_now(&b, "closed"));
    breaker_free(&b);
}

TEST(a_probe_that_fails_opens_for_as_long_again)
{
    struct breaker b;

    open_breaker(&b);
    EXPECT(exchange(&b, START + 5 * SECOND, BREAKER_FAILED));
    EXPECT(is_now(&b, "open"));
    EXPECT(!exchange(&b, START + 9 * SECOND, BREAKER_ANSWERED));
    EXPECT(exchange(&b, START + 10 * SECOND, BREAKER_ANSWERED));
    EXPECT(is_now(&b, "closed"));
    breaker_free(&b);
}

TEST(a_probe_without_a_verdict_makes_room_for_another)
{
    struct breaker b;
    struct breaker_pass probe;

    open_breaker(&b);
    EXPECT(exchange(&b, START + 5 * SECOND, BREAKER_UNKNOWN));
    EXPECT(is_now(&b, "probing"));
    EXPECT(enter(&b, START + 5 * SECOND, &probe));
    EXPECT(probe.probe);
    breaker_free(&b);
}

TEST(a_probe_that_never_comes_back_is_given_up)
{
    struct breaker b;
    struct breaker_pass lost, next;

    open_breaker(&b);
    EXPECT(enter(&b, START + 5 * SECOND, &lost));
    EXPECT(!enter(&b, START + 10 * SECOND - 1000, &next));
    EXPECT(enter(&b, START + 10 * SECOND, &next));
    /* What the lost one says after all is not news any more. */
    breaker_leave(&b, &half, 0, START + 11 * SECOND, &lost, BREAKER_ANSWERED);
    EXPECT(is_now(&b, "probing"));
    breaker_leave(&b, &half, 0, START + 11 * SECOND, &next, BREAKER_ANSWERED);
    EXPECT(is_now(&b, "closed"));
    breaker_leave(&b, &half, 0, START + 11 * SECOND, &lost, BREAKER_FAILED);
    EXPECT(is_now(&b, "closed"));
    breaker_free(&b);
}

TEST(several_probes_at_a_time)
{
    struct breaker_config three = half;
    struct breaker b;
    struct breaker_pass pass;
    unsigned retry_after_s;

    three.probes = 3;
    open_breaker(&b);
    for (int i = 0; i < 3; i++)
        EXPECT(breaker_enter(&b, &three, START + 5 * SECOND, &pass, &retry_after_s));
    EXPECT(!breaker_enter(&b, &three, START + 5 * SECOND, &pass, &retry_after_s));
    breaker_free(&b);
}

TEST(what_began_before_it_opened_does_not_count_after_it_closed)
{
    struct breaker b;
    struct breaker_pass slow[20];

    EXPECT(breaker_init(&b, 2));
    for (size_t i = 0; i < countof(slow); i++)
        EXPECT(enter(&b, START, &slow[i]));
    for (int i = 0; i < 10; i++)
        exchange(&b, START, BREAKER_FAILED);
    EXPECT(exchange(&b, START + 5 * SECOND, BREAKER_ANSWERED));
    for (size_t i = 0; i < countof(slow); i++)
        breaker_leave(&b, &half, 0, START + 6 * SECOND, &slow[i], BREAKER_FAILED);
    EXPECT(is_now(&b, "closed"));
    breaker_free(&b);
}

/* ------------------------------------------------------------------ at once */

enum { WORKERS = 4, ROUNDS = 1000 };

struct crowd {
    struct breaker    b;
    pthread_barrier_t barrier;
    _Atomic unsigned  next;
    _Atomic unsigned  probes;
};

/* All come at the same moment, when the breaker has just been open for long enough; who may pass
 * fails, so that it is open again for the next round. */
static void *
come_again_and_again(void *arg)
{
    struct crowd *c = arg;
    unsigned worker = c->next++;

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint64_t now_us = START + round * 5 * SECOND;
        struct breaker_pass pass;
        bool passed;

        pthread_barrier_wait(&c->barrier);
        passed = enter(&c->b, now_us, &pass);
        c->probes += passed;
        pthread_barrier_wait(&c->barrier);
        if (passed)
            breaker_leave(&c->b, &half, worker, now_us, &pass, BREAKER_FAILED);
    }
    return NULL;
}

TEST(of_all_workers_at_once_one_probes)
{
    struct crowd c = {.probes = 0};
    pthread_t threads[WORKERS];

    open_breaker(&c.b);
    pthread_barrier_init(&c.barrier, NULL, WORKERS);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, come_again_and_again, &c) == 0);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(c.probes, ROUNDS);
    pthread_barrier_destroy(&c.barrier);
    breaker_free(&c.b);
}
