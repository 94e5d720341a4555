/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_wait.c - a fiber waits for another fiber, or for the loop's context.
 *
 * Waking only makes the fiber ready: it runs when the loop is back from whatever it is doing, so
 * never inside of a callback of nghttp2.
 */
#include "edge/h2.h"

struct wait {
    struct io     io; /* in no loop's hands: fiber_cancel() then resumes the fiber */
    struct timer  timer;
    struct fiber *fiber;
    bool          late;
};

static void
on_late(struct timer *t)
{
    struct wait *w = container_of(t, struct wait, timer);

    w->late = true;
    fiber_resume(w->fiber);
}

enum err
h2_wait(struct fiber **place, uint64_t deadline_us)
{
    struct wait w = {.fiber = fiber_self(), .timer.fire = on_late};

    if (w.fiber->cancelled != OK)
        return w.fiber->cancelled;
    timer_set(&loop_self()->timers, &w.timer, deadline_us);
    *place = w.fiber;
    w.fiber->waits = &w.io;
    fiber_suspend();
    w.fiber->waits = NULL;
    *place = NULL;
    timer_clear(&loop_self()->timers, &w.timer);
    if (w.fiber->cancelled != OK)
        return w.fiber->cancelled;
    return w.late ? ERR_TIMEOUT : OK;
}

void
h2_wait_out(struct fiber **place)
{
    *place = fiber_self();
    fiber_suspend();
    *place = NULL;
}

void
h2_wake(struct fiber **place)
{
    struct fiber *f = take(place);

    if (f)
        fiber_resume(f);
}
