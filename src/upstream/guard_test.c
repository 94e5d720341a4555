/* SPDX-License-Identifier: Apache-2.0 */
/* The guard as a whole: limits, what is counted, options that come and go with a reload. */
#include "upstream/guard.h"

#include "base/check.h"
#include "base/test.h"

#include <pthread.h>

enum { SECOND = 1000000, START = 1000 * SECOND };

static const struct retries_config   retries = {.budget = 200000, .budget_floor = 10};
static const struct breaker_config   limits = {.requests = 2, .pending = 1, .connections = 3};
static const struct breaker_config   by_errors = {.error_rate = 500000,
                                                  .minimum = 10,
                                                  .window_us = 10 * SECOND,
                                                  .open_us = 5 * SECOND,
                                                  .probes = 1};
static const struct concurrency_config learned = {.min = 4, .max = 4, .tolerance = 1500000};

static const struct guard_options nothing = {.retries = &retries};
static const struct guard_options limited = {.retries = &retries, .breaker = &limits};
static const struct guard_options breaking = {.retries = &retries, .breaker = &by_errors};
static const struct guard_options learning = {.retries = &retries, .concurrency = &learned};

static bool
enter(struct guard *g, const struct guard_options *o, struct guard_pass *pass)
{
    struct guard_refusal why;

    return guard_enter(g, o, 0, START, pass, &why);
}

static void
leave(struct guard *g, const struct guard_options *o, const struct guard_pass *pass)
{
    guard_leave(g, o, 0, START, pass, false, 1000);
}

static struct guard_state
look(struct guard *g)
{
    struct guard_state state;

    guard_look(g, &state);
    return state;
}

TEST(without_limits_everybody_passes_and_is_counted)
{
    struct guard *g = guard_new(2);
    struct guard_pass passes[100];

    EXPECT(g);
    for (size_t i = 0; i < countof(passes); i++)
        EXPECT(enter(g, &nothing, &passes[i]) && passes[i].counted && !passes[i].limited);
    EXPECT_EQ(look(g).inflight, 100);
    for (size_t i = 0; i < countof(passes); i++)
        leave(g, &nothing, &passes[i]);
    EXPECT_EQ(look(g).inflight, 0);
    EXPECT_EQ(look(g).limit, 0);
    guard_free(g);
}

TEST(a_limit_of_requests_refuses_and_names_itself)
{
    struct guard *g = guard_new(1);
    struct guard_pass one, two, three;
    struct guard_refusal why;

    EXPECT(enter(g, &limited, &one) && enter(g, &limited, &two));
    EXPECT(!guard_enter(g, &limited, 0, START, &three, &why));
    EXPECT_EQ(why.reason, REASON_SERVERS_BUSY);
    EXPECT(why.limit == &limits.requests);
    EXPECT_STR(slice_str(why.limit_name), "breaker.requests");
    EXPECT_EQ(why.retry_after_s, 1);
    guard_leave(g, &limited, 0, START, &three, true, 0); /* refused: nothing to give back */
    EXPECT(!enter(g, &limited, &three));
    leave(g, &limited, &one);
    EXPECT(guard_enter(g, &limited, 0, START, &three, &why));
    EXPECT_EQ(why.reason, REASON_NONE);
    EXPECT_EQ(look(g).inflight, 2);
    EXPECT_EQ(look(g).refused, 2);
    EXPECT_STR(slice_str(look(g).breaker), "closed");
    guard_free(g);
}

TEST(the_learned_limit_refuses_as_well)
{
    struct guard *g = guard_new(1);
    struct guard_pass pass;
    struct guard_refusal why;

    for (int i = 0; i < 4; i++)
        EXPECT(enter(g, &learning, &pass));
    EXPECT(!guard_enter(g, &learning, 0, START, &pass, &why));
    EXPECT_EQ(why.reason, REASON_SERVERS_BUSY);
    EXPECT_STR(slice_str(why.limit_name), "concurrency");
    EXPECT_EQ(look(g).limit, 4);
    guard_free(g);
}

TEST(an_open_breaker_refuses_and_holds_no_place)
{
    struct breaker_config config = by_errors;
    struct guard_options o = {.retries = &retries, .breaker = &config};
    struct guard *g = guard_new(1);
    struct guard_pass pass;
    struct guard_refusal why;

    config.requests = 5;
    for (int i = 0; i < 10; i++) {
        EXPECT(enter(g, &o, &pass));
        guard_leave(g, &o, 0, START, &pass, true, 0);
    }
    for (int i = 0; i < 10; i++) {
        EXPECT(!guard_enter(g, &o, 0, START, &pass, &why));
        EXPECT_EQ(why.reason, REASON_CIRCUIT_OPEN);
        EXPECT_EQ(why.retry_after_s, 5);
    }
    EXPECT_STR(slice_str(look(g).breaker), "open");
    EXPECT(guard_enter(g, &o, 0, START + 5 * SECOND, &pass, &why));
    EXPECT(pass.probe);
    guard_leave(g, &o, 0, START + 5 * SECOND, &pass, false, 1000);
    EXPECT_STR(slice_str(look(g).breaker), "closed");
    guard_free(g);
}

TEST(a_client_that_goes_away_is_no_failure)
{
    struct guard *g = guard_new(1);
    struct guard_pass pass;

    for (int i = 0; i < 100; i++) {
        EXPECT(enter(g, &breaking, &pass));
        guard_leave(g, &breaking, 0, START, &pass, false, 0);
    }
    EXPECT_STR(slice_str(look(g).breaker), "closed");
    guard_free(g);
}

TEST(a_reload_between_enter_and_leave_keeps_the_counts_right)
{
    struct guard *g = guard_new(1);
    struct guard_pass before, after;

    EXPECT(enter(g, &limited, &before));
    leave(g, &nothing, &before);
    EXPECT(enter(g, &nothing, &before));
    leave(g, &limited, &before);
    EXPECT(enter(g, &limited, &before) && enter(g, &limited, &after));
    EXPECT_EQ(look(g).inflight, 2);
    guard_free(g);
}

TEST(waiting_and_connecting_have_limits_of_their_own)
{
    struct guard *g = guard_new(1);
    struct guard_refusal why;

    EXPECT(guard_pend(g, &limited, &why));
    EXPECT(!guard_pend(g, &limited, &why));
    EXPECT_STR(slice_str(why.limit_name), "breaker.pending");
    guard_unpend(g);
    EXPECT(guard_pend(g, &limited, &why));
    for (int i = 0; i < 3; i++)
        EXPECT(guard_connect(g, &limited, &why));
    EXPECT(!guard_connect(g, &limited, &why));
    EXPECT_STR(slice_str(why.limit_name), "breaker.connections");
    EXPECT(guard_connect(g, &nothing, &why));
    EXPECT_EQ(look(g).connections, 4);
    EXPECT_EQ(look(g).pending, 1);
    guard_disconnect(g);
    guard_disconnect(g);
    EXPECT(guard_connect(g, &limited, &why));
    guard_free(g);
}

TEST(retries_are_taken_from_the_budget_and_counted)
{
    struct guard *g = guard_new(2);
    size_t n = 0;

    while (n < 1000 && guard_retry(g, &nothing, (unsigned) (n % 2), START))
        n++;
    EXPECT_EQ(n, 100);
    EXPECT_EQ(look(g).retries, 100);
    guard_free(g);
}

/* ------------------------------------------------------------------ at once */

enum { WORKERS = 4, ROUNDS = 50000 };

struct crowd {
    struct guard    *g;
    _Atomic unsigned next;
    _Atomic int      inside, most;
};

static void *
come_and_go(void *arg)
{
    struct crowd *c = arg;
    unsigned worker = c->next++;

    for (int i = 0; i < ROUNDS; i++) {
        struct guard_refusal why;
        struct guard_pass pass;
        int n;

        if (!guard_enter(c->g, &limited, worker, START + (uint64_t) i, &pass, &why))
            continue;
        n = ++c->inside;
        if (n > c->most)
            c->most = n;
        c->inside--;
        guard_leave(c->g, &limited, worker, START + (uint64_t) i, &pass, false, 10);
    }
    return NULL;
}

TEST(a_limit_is_exact_for_workers_at_once)
{
    struct crowd c = {.g = guard_new(WORKERS)};
    pthread_t threads[WORKERS];

    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, come_and_go, &c) == 0);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(c.most >= 1 && c.most <= 2);
    EXPECT_EQ(look(c.g).inflight, 0);
    guard_free(c.g);
}
