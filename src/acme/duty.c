/* SPDX-License-Identifier: Apache-2.0 */
/* acme/duty.c - turns, and those who see to them. */
#include "acme/duty.h"

#include "base/clock.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum { SOON_US = 1000, NO_FIBER_US = 1000000 };

static void
set_timer(struct acme_duty *d, uint64_t at_us)
{
    timer_set(&loop_self()->timers, &d->timer, at_us);
}

static void
attend_all(void *arg)
{
    struct acme_duties *of = arg;
    struct list *first;

    while ((first = list_pop(&of->queue))) {
        struct acme_duty *d = list_entry(first, struct acme_duty, queue);

        d->attendant = fiber_self();
        of->attend(d);
        d->attendant = NULL;
        fiber_uncancel(fiber_self());
        if (d->gone)
            of->free(d);
        else
            acme_duty_wake(d);
    }
    of->attendants--;
}

static void
on_time(struct timer *t)
{
    struct acme_duty *d = container_of(t, struct acme_duty, timer);
    struct acme_duties *of = d->of;

    switch (of->turn(d)) {
    case ACME_TURN_FIRST: list_push(&of->queue, &d->queue); break;
    case ACME_TURN_LAST: list_append(&of->queue, &d->queue); break;
    case ACME_TURN_NONE: return;
    }
    if (of->attendants == of->attendants_max)
        return;
    if (fiber_start(of->name, attend_all, of)) {
        of->attendants++;
    } else if (of->attendants == 0) {
        list_remove(&d->queue);
        set_timer(d, loop_now_us() + NO_FIBER_US);
    }
}

/* ------------------------------------------------------------------ from outside */

void
acme_duty_init(struct acme_duty *d, struct acme_duties *of)
{
    d->of = of;
    d->timer.fire = on_time;
    list_init(&d->queue);
}

void
acme_duty_wake(struct acme_duty *d)
{
    uint64_t next_us;

    if (d->attendant || !list_is_empty(&d->queue))
        return;
    next_us = d->of->next_us(d);
    if (next_us != TIMER_NEVER)
        set_timer(d, next_us);
}

bool
acme_duty_is_idle(const struct acme_duty *d)
{
    return !d->attendant && !timer_is_set(&d->timer) && list_is_empty(&d->queue);
}

void
acme_duty_drop(struct acme_duty *d)
{
    timer_clear(&loop_self()->timers, &d->timer);
    list_remove(&d->queue);
    if (!d->attendant) {
        d->of->free(d);
        return;
    }
    d->gone = true;
    fiber_cancel(d->attendant, ERR_CANCELLED);
}

/* ------------------------------------------------------------------ times */

int64_t
acme_now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

uint64_t
acme_soon_us(uint64_t at_us)
{
    const uint64_t soon_us = loop_now_us() + SOON_US;

    return at_us < soon_us ? soon_us : at_us;
}
