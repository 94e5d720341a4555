/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/mirror_copy.c - an exchange that nobody waits for.
 *
 * It is a child (exchange/child.h) on a fiber of its own.  It ends by itself: after the mirror's
 * time-out it is cancelled, whatever it is at.
 */
#include "exchange/child.h"
#include "middleware/mirror.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

enum { DISCARD_MAX = 16 * 1024 * 1024 }; /* of an answer, to keep its connection */

struct mirror_copy {
    struct exchange     *x;
    struct text          body;
    const struct mirror *mirror;
    struct fiber        *fiber;
    struct timer         timer;
};

struct mirror_counts *
mirror_counts(const struct mirror *m)
{
    return &m->workers[loop_self()->number];
}

static void
drop(struct mirror_copy *c)
{
    text_free(&c->body);
    mirror_counts(c->mirror)->in_flight--;
    if (c->x)
        exchange_child_end(c->x); /* the last that needs the snapshot, and with it the mirror */
    free(c);
}

struct mirror_copy *
mirror_copy_new(const struct mirror *m, const struct exchange *x)
{
    struct mirror_counts *counts = mirror_counts(m);
    struct mirror_copy *c;

    if (counts->in_flight >= (uint64_t) m->most) {
        counts->too_many++;
        log_debug("not mirrored to=%.*s: %llu are in flight", SLICE_ARG(m->to),
                  (unsigned long long) counts->in_flight);
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        counts->no_memory++;
        return NULL;
    }
    c->mirror = m;
    counts->in_flight++;
    text_init(&c->body, m->max_body);
    c->x = exchange_child(x, &m->keeper);
    if (c->x) {
        c->x->timeouts = &m->timeouts;
        /* Whoever answers it can tell, and send no mail for it. */
        if (fields_set_named(&c->x->request.fields, SLICE("X-Mirrored"), SLICE("1")))
            return c;
    }
    counts->no_memory++;
    drop(c);
    return NULL;
}

bool
mirror_copy_put(struct mirror_copy *c, struct slice chunk)
{
    struct mirror_counts *counts = mirror_counts(c->mirror);

    text_put(&c->body, chunk);
    if (!c->body.full)
        return true;
    counts->too_large++;
    log_debug("not mirrored to=%.*s: the body has more than %llu bytes", SLICE_ARG(c->mirror->to),
              (unsigned long long) c->mirror->max_body);
    drop(c);
    return false;
}

void
mirror_copy_break(struct mirror_copy *c)
{
    mirror_counts(c->mirror)->broken++;
    drop(c);
}

/* ------------------------------------------------------------------ its life */

static void
on_timeout(struct timer *t)
{
    fiber_cancel(container_of(t, struct mirror_copy, timer)->fiber, ERR_CANCELLED);
}

static void
note_end(struct mirror_copy *c)
{
    const struct exchange *x = c->x;
    struct mirror_counts *counts = mirror_counts(c->mirror);
    bool answered = x->response.status && x->fault.reason == REASON_NONE;

    counts->answered += answered;
    counts->failed += !answered;
    if (!answered)
        log_debug("mirrored request failed to=%.*s server=%.*s reason=%s failed=%llu answered=%llu",
                  SLICE_ARG(c->mirror->to), SLICE_ARG(x->relay.server),
                  reason_code(x->fault.reason), (unsigned long long) counts->failed,
                  (unsigned long long) counts->answered);
}

static void
live(void *arg)
{
    struct mirror_copy *c = arg;
    struct exchange *x = c->x;

    c->timer.fire = on_timeout;
    timer_set(&loop_self()->timers, &c->timer, loop_now_us() + c->mirror->timeout_us);
    if (c->body.n == 0 || exchange_child_body(x, text_slice(&c->body)))
        exchange_child_run_terminal(x, c->mirror->terminal);
    if (x->response.body)
        (void) body_discard(x->response.body, DISCARD_MAX);
    timer_clear(&loop_self()->timers, &c->timer);
    note_end(c);
    drop(c);
}

void
mirror_copy_send(struct mirror_copy *c)
{
    c->fiber = fiber_start("mirror", live, c);
    if (c->fiber)
        return;
    mirror_counts(c->mirror)->no_memory++;
    drop(c);
}
