/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_behind.c - work that goes on behind the clients: refreshes, pieces, bodies
 * on their way into the store.
 *
 * No drain waits for it, and the end of the process ends it: a server that does not answer must not
 * keep a process that nobody needs any more.
 */
#include "middleware/cache/caching.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum { LOOK_US = 50000 }; /* how often one looks whether the loop ends */

struct work {
    struct list   link;
    fiber_run_f  *run;
    void         *arg;
    struct fiber *fiber;
};

/* Of this worker; zeroed: none so far. */
static _Thread_local struct list all;
static _Thread_local struct timer look;

static void
set_look(void)
{
    timer_set(&loop_self()->timers, &look, loop_now_us() + LOOK_US);
}

static void
on_look(struct timer *t)
{
    (void) t;
    if (loop_self()->stopping)
        list_each (link, &all)
            fiber_cancel(list_entry(link, struct work, link)->fiber, ERR_CANCELLED);
    set_look();
}

static void
enter(struct work *w)
{
    if (!all.next)
        list_init(&all);
    if (list_is_empty(&all)) {
        look.fire = on_look;
        set_look();
    }
    list_append(&all, &w->link);
}

static void
leave(struct work *w)
{
    list_remove(&w->link);
    if (list_is_empty(&all))
        timer_clear(&loop_self()->timers, &look);
}

static void
work(void *arg)
{
    struct work *w = arg;

    w->run(w->arg);
    leave(w);
    free(w);
}

bool
cache_behind(const char *name, fiber_run_f *run, void *arg)
{
    struct work *w = malloc(sizeof(*w));

    if (!w)
        return false;
    *w = (struct work){.run = run, .arg = arg};
    w->fiber = fiber_start(name, work, w);
    if (!w->fiber) {
        free(w);
        return false;
    }
    enter(w);
    return true;
}
