/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/hedge.c - a read that takes long is asked of another server too; the first answer wins
 * (Dean and Barroso, "The Tail at Scale", 2013).
 *
 * Each attempt runs on a fiber of its own; the exchange's waits for the first of them that is
 * answered, cancels the others and waits until they are gone.  Only requests whose body is nothing
 * or in memory come here.
 */
#include "upstream/relay.h"

#include "runtime/fiber.h"

enum { RACERS_MAX = 4 };

struct race;

struct racer {
    struct race   *race;
    struct relay  *relay;
    struct server *server;
    struct fiber  *fiber;
    struct failure failure;
    bool           done, answered;
};

struct race {
    struct racer  racers[RACERS_MAX];
    size_t        n, running;
    struct racer *winner;
    struct fiber *waiter;
};

static void
run(void *arg)
{
    struct racer *one = arg;
    struct race *race = one->race;

    one->answered = relay_attempt(one->relay, one->server, false, &one->failure);
    one->done = true;
    race->running--;
    if (one->answered && !race->winner)
        race->winner = one;
    fiber_resume(race->waiter);
}

static bool
start(struct race *race, struct relay *r, struct server *s)
{
    struct racer *one = &race->racers[race->n];

    *one = (struct racer){.race = race, .relay = r, .server = s};
    one->fiber = fiber_start("hedge", run, one);
    if (!one->fiber)
        return false;
    race->n++;
    race->running++;
    return true;
}

/* One more server, if there is one and the budget bears it. */
static void
join(struct race *race, struct relay_plan *plan)
{
    struct upstream *u = plan->to->upstream;
    unsigned worker = loop_self()->number;
    struct relay *r;
    struct server *s;

    if (!guard_retry(u->guard, &plan->guards, worker, loop_now_us()))
        return;
    s = relay_choose(plan);
    r = s ? relay_new(plan) : NULL;
    if (!r || !start(race, r, s))
        return;
    plan->x->relay.attempts++;
    atomic_fetch_add_explicit(&u->counters[worker].hedges, 1, memory_order_relaxed);
}

/* Those that have not won are ended. */
static void
clear(struct race *race)
{
    for (size_t i = 0; i < race->n; i++)
        if (!race->racers[i].done)
            fiber_cancel(race->racers[i].fiber, ERR_CANCELLED);
    while (race->running)
        fiber_suspend();
    for (size_t i = 0; i < race->n; i++) {
        struct racer *one = &race->racers[i];

        if (one == race->winner)
            continue;
        relay_abandon(one->relay);
        relay_release(one->relay);
    }
}

bool
relay_hedge(struct relay **r, struct server *s, struct failure *f)
{
    struct relay_plan *plan = (*r)->plan;
    const struct hedge_config *config = plan->to->config->hedge;
    struct race race = {.waiter = fiber_self()};
    size_t most = (size_t) config->most + 1;
    bool cancelled = false;

    if (!start(&race, *r, s)) {
        *f = (struct failure){.reason = REASON_OUT_OF_MEMORY, .err = ERR_NO_MEMORY};
        return false;
    }
    while (race.running && !race.winner && !cancelled) {
        uint64_t wake_us = race.n < most ? loop_now_us() + config->after_us : TIMER_NEVER;
        size_t running = race.running;

        cancelled = fiber_sleep_until(wake_us) != OK;
        if (!cancelled && !race.winner && race.running == running && race.n < most) {
            if (plan->n_tried < ATTEMPTS_MAX)
                join(&race, plan);
            if (race.running == running)
                most = race.n; /* nobody else is to be had */
        }
    }
    clear(&race);
    if (race.winner) {
        *r = race.winner->relay;
        return true;
    }
    *r = race.racers[0].relay;
    *f = race.racers[0].failure;
    return false;
}
