/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct loop loop;
static struct trial t;
static struct exchange *x;
static uint64_t took_us; /* until the response was there */
static enum err cancelled;
static struct fiber *client;

/* The chain alone: unlike trial_run(), it may leave no answer. */
static void
run(void *arg)
{
    uint64_t began_us = clock_monotonic_us();

    (void) arg;
    client = fiber_self();
    t.chain[1] = (struct middleware){&testing_terminal, NULL};
    x->chain = x->next = t.chain;
    exchange_next(x);
    took_us = clock_monotonic_us() - began_us;
    cancelled = fiber_self()->cancelled;
}

static void
until_quiet(void)
{
    for (int i = 0; i < 1000 && fiber_count() > 0; i++)
        loop_once(&loop, loop.now_us + 10000);
}

static bool
begin(const char *item)
{
    if (loop_init(&loop, NULL, 0) != OK)
        return false;
    dice_init(&loop.dice, 3);
    trial_load(&t, &middleware_fault, item);
    x = testing_exchange("GET", "http://example.com/a", NULL);
    return t.config || trial_complains(&t, "(it should have been taken)");
}

static void
go(void)
{
    fiber_start("client", run, NULL);
    until_quiet();
}

static void
again(void)
{
    testing_exchange_free(x);
    x = testing_exchange("GET", "http://example.com/a", NULL);
    go();
}

static void
end(void)
{
    testing_exchange_free(x);
    trial_free(&t);
    loop_exit(&loop);
}

TEST(a_delay_delays)
{
    EXPECT(begin("fault: {delay: 20ms}"));
    go();
    EXPECT_EQ(x->response.status, 200);
    EXPECT(took_us >= 19000);
    EXPECT_EQ(x->fault.reason, REASON_NONE);
    end();
}

TEST(who_leaves_does_not_wait)
{
    EXPECT(begin("fault: {delay: 1h}"));
    fiber_start("client", run, NULL);
    loop_once(&loop, loop.now_us);
    fiber_cancel(client, ERR_CANCELLED);
    until_quiet();
    EXPECT_EQ(fiber_count(), 0);
    EXPECT_EQ(x->response.status, 0);
    end();
}

TEST(an_abort_has_a_status_and_a_reason)
{
    EXPECT(begin("fault: {abort: {status: 429}}"));
    go();
    EXPECT_EQ(x->response.status, 429);
    EXPECT_EQ(x->fault.reason, REASON_FAULT_INJECTED);
    EXPECT_EQ(cancelled, OK);
    end();
    EXPECT(begin("fault: {abort: {}}"));
    go();
    EXPECT_EQ(x->response.status, 503);
    end();
}

TEST(a_reset_leaves_no_answer)
{
    EXPECT(begin("fault: {abort: {reset: true}}"));
    go();
    EXPECT_EQ(x->response.status, 0);
    EXPECT_EQ(cancelled, ERR_CANCELLED);
    EXPECT_EQ(x->fault.reason, REASON_FAULT_INJECTED);
    end();
}

TEST(shares_are_drawn)
{
    int aborted = 0;

    EXPECT(begin("fault: {abort: {share: 25%}}"));
    for (int i = 0; i < 2000; i++) {
        again();
        aborted += x->response.status == 503;
    }
    EXPECT(aborted > 420 && aborted < 580);
    end();
    EXPECT(begin("fault: {abort: {share: 0%}}"));
    for (int i = 0; i < 100; i++) {
        again();
        EXPECT_EQ(x->response.status, 200);
    }
    end();
}

TEST(only_when_it_is_said)
{
    EXPECT(begin("fault: {abort: {}, when: \"header('x-chaos') == '1'\"}"));
    go();
    EXPECT_EQ(x->response.status, 200);
    testing_exchange_free(x);
    x = testing_exchange("GET", "http://example.com/a", "X-Chaos", "1", NULL);
    go();
    EXPECT_EQ(x->response.status, 503);
    end();
}

/* ------------------------------------------------------------------ slow answers */

static uint64_t pulled_us;
static size_t   pieces;
static struct text pulled;

static void
run_and_pull(void *arg)
{
    struct slice chunk;
    uint64_t began_us;

    run(arg);
    began_us = clock_monotonic_us();
    pieces = 0;
    while (x->response.body && body_next(x->response.body, &chunk) == OK) {
        pieces++;
        text_put(&pulled, chunk);
    }
    pulled_us = clock_monotonic_us() - began_us;
}

TEST(a_rate_slows_the_body)
{
    char room[16];

    text_fixed(&pulled, room, sizeof(room));
    EXPECT(begin("fault: {rate: 30B/s}")); /* "hello\n" in pieces of three */
    fiber_start("client", run_and_pull, NULL);
    until_quiet();
    EXPECT_STR(text_slice(&pulled), "hello\n");
    EXPECT_EQ(x->response.body->length, 6);
    EXPECT_EQ(pieces, 2);
    EXPECT(pulled_us >= 99000);
    end();
}

TEST(a_share_of_answers_is_not_slowed)
{
    EXPECT(begin("fault: {rate: {share: 0%, to: 1}}"));
    go();
    EXPECT(x->response.body->ready && x->response.status == 200);
    EXPECT_STR(testing_pull(x, x->response.body), "hello\n");
    end();
}

/* ------------------------------------------------------------------ words */

static bool
explains(const char *item, const char *words)
{
    char room[256];
    struct text out;
    bool good;

    text_fixed(&out, room, sizeof(room));
    if (!begin(item))
        return false;
    middleware_fault.explain(t.chain, x, &out);
    good = slice_eq(text_slice(&out), slice_str(words));
    if (!good)
        test_failed(__FILE__, __LINE__, "it says \"%.*s\"", SLICE_ARG(text_slice(&out)));
    end();
    return good;
}

TEST(it_says_what_it_would_do)
{
    EXPECT(explains("fault: {delay: {share: 10%, for: 2s}, abort: {share: 1%}}",
                    "delays 10% by 2 s, refuses 1% with 503"));
    EXPECT(explains("fault: {abort: {reset: yes}, rate: 10KiB/s}",
                    "resets 100%, sends 100% at 10240 bytes a second"));
    EXPECT(explains("fault: {delay: 1s, when: method == POST}", "nothing: `when` is false"));
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_fault, "fault: {}", "no fault is asked for"));
    EXPECT(is_refused(&middleware_fault, "fault: {delay: {share: 5%}}", "for"));
    EXPECT(is_refused(&middleware_fault, "fault: {abort: {status: 200}}", "status"));
    EXPECT(is_refused(&middleware_fault, "fault: {abort: {status: 503, reset: true}}",
                      "nobody sees a status"));
    EXPECT(is_refused(&middleware_fault, "fault: {rate: fast/s}", "expected a speed"));
    EXPECT(is_refused(&middleware_fault, "fault: {rate: 0/s}", "must be"));
    EXPECT(is_refused(&middleware_fault, "fault: {delay: 1s, when: status == 200}",
                      "before there is a response"));
}
