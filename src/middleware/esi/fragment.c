/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/fragment.c - one request of our own, on a fiber of its own.
 *
 * A fragment is held back until it is complete, so that one that fails in the middle can still be
 * replaced by `alt`, left out, or excepted.  One that is longer than ESI_HOLD_MAX goes out as it
 * comes, and its server waits until the page gets there.
 */
#include "base/check.h"
#include "exchange/child.h"
#include "middleware/esi/esi.h"
#include "observe/log.h"
#include "runtime/loop.h"

#include <stdlib.h>

static void fragment_start(struct esi_fragment *f);

/* While much is held, only what the page may be waiting for, one at a time. */
static bool
may_start(const struct esi_page *p)
{
    if (p->held < p->config->ahead)
        return p->active < (unsigned) p->config->parallel;
    return p->waiter && p->active == 0;
}

void
esi_fragments_start(struct esi_page *p)
{
    while (may_start(p)) {
        struct list *l = list_pop(&p->queued);

        if (!l)
            return;
        fragment_start(list_entry(l, struct esi_fragment, link));
    }
}

static void
decide(struct esi_fragment *f, enum esi_fragment_state state)
{
    struct esi_counts *counts = esi_counts(loop_self()->number);

    if (f->state != ESI_FRAGMENT_ASKED)
        return;
    f->state = state;
    if (state == ESI_FRAGMENT_FAILED && !f->dropped) {
        counts->failed++;
        counts->late += f->late;
    }
    timer_clear(&loop_self()->timers, &f->timer);
    f->page->active--;
    esi_fragments_start(f->page);
    esi_page_wake(f->page);
}

static bool
say(struct esi_fragment *f, const char *problem)
{
    f->problem = f->late ? "it took too long" : problem;
    return false;
}

static bool
is_usable(struct esi_fragment *f, const struct exchange *c)
{
    struct slice coding = fields_value(&c->response.fields, FIELD_CONTENT_ENCODING);

    f->status = c->response.status;
    if (f->status < 200 || f->status > 299 || f->status == 206)
        return say(f, reason_sentence(c->fault.reason));
    if (coding.n && !slice_eq_nocase(coding, SLICE("identity")))
        return say(f, "its content is encoded");
    return true;
}

/* ------------------------------------------------------------------ the answer */

/* Until the page has taken some; false: nobody will. */
static bool
wait_for_room(struct esi_fragment *f)
{
    bool good = true;

    decide(f, ESI_FRAGMENT_GOOD);
    while (good && f->queue.n >= ESI_HOLD_MAX) {
        f->stalled = true;
        good = fiber_sleep_until(TIMER_NEVER) == OK;
        f->stalled = false;
    }
    return good;
}

static bool
keep(struct esi_fragment *f, struct slice chunk)
{
    struct esi_page *p = f->page;

    f->bytes += chunk.n;
    p->tree->bytes += chunk.n;
    if (f->bytes > p->config->fragment_bytes)
        return say(f, "it is longer than `fragment_bytes`");
    if (p->tree->bytes > p->config->page_bytes)
        return say(f, "the page is longer than `page_bytes`");
    if (!esi_queue_put(&f->queue, chunk))
        return say(f, "out of memory");
    p->held += chunk.n;
    if (f->state == ESI_FRAGMENT_GOOD)
        esi_page_wake(p);
    return f->queue.n < ESI_HOLD_MAX || wait_for_room(f);
}

static bool
pull(struct esi_fragment *f, struct exchange *c)
{
    struct slice chunk;
    enum err e = ERR_END;

    while (c->response.body && (e = body_next(c->response.body, &chunk)) == OK)
        if (!keep(f, chunk))
            return false;
    return e == ERR_END || say(f, "it broke off");
}

static void
forget(struct esi_fragment *f)
{
    f->page->held -= f->queue.n;
    esi_queue_clear(&f->queue);
    f->bytes = 0;
}

static void
on_late(struct timer *t)
{
    struct esi_fragment *f = container_of(t, struct esi_fragment, timer);

    f->late = true;
    fiber_cancel(f->fiber, ERR_CANCELLED);
}

static bool
fetch(struct esi_fragment *f, struct slice reference)
{
    struct exchange *c = exchange_child(f->page->x, &f->page->config->keeper);
    bool good;

    if (!c)
        return say(f, "out of memory");
    f->late = false;
    f->status = 0;
    f->timer.fire = on_late;
    timer_set(&loop_self()->timers, &f->timer, loop_now_us() + f->wait_us);
    good = compose_aim(c, f->page->x, reference,
                       (enum compose_credentials) f->page->config->credentials);
    if (good) {
        exchange_child_run(c);
        good = is_usable(f, c) && pull(f, c);
    } else {
        say(f, "its reference is malformed");
    }
    timer_clear(&loop_self()->timers, &f->timer);
    exchange_child_end(c);
    return good;
}

/* ------------------------------------------------------------------ its life */

static void
fragment_free(struct esi_fragment *f)
{
    forget(f);
    text_free(&f->src);
    text_free(&f->alt);
    free(f);
}

static bool
fetch_or_alt(struct esi_fragment *f)
{
    if (fetch(f, text_slice(&f->src)))
        return true;
    log_debug("esi: fragment failed src=%.*s status=%u problem=%s",
              SLICE_ARG(text_slice(&f->src)), f->status, f->problem);
    if (f->alt.n == 0 || f->dropped || f->state != ESI_FRAGMENT_ASKED)
        return false;
    forget(f);
    fiber_uncancel(fiber_self()); /* it may have been late */
    return fetch(f, text_slice(&f->alt));
}

static void
run(void *arg)
{
    struct esi_fragment *f = arg;
    struct esi_page *p = f->page;

    if (f->dropped || !fetch_or_alt(f)) {
        f->broken = true;
        decide(f, ESI_FRAGMENT_FAILED);
    } else {
        decide(f, ESI_FRAGMENT_GOOD);
    }
    f->done = true;
    f->fiber = NULL;
    if (f->dropped)
        fragment_free(f);
    p->running--;
    esi_page_wake(p);
}

static void
fragment_start(struct esi_fragment *f)
{
    struct esi_page *p = f->page;

    p->active++;
    f->fiber = fiber_start("fragment", run, f);
    if (f->fiber) {
        p->running++;
        esi_counts(loop_self()->number)->fragments++;
        return;
    }
    p->active--;
    f->done = f->broken = true;
    f->state = ESI_FRAGMENT_FAILED;
    say(f, "out of memory");
    esi_page_wake(p);
}

struct esi_fragment *
esi_fragment_new(struct esi_page *p, const struct esi_event *event)
{
    struct esi_fragment *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    list_init(&f->link);
    f->page = p;
    f->wait_us = p->config->timeout_us;
    if (event->wait_us && event->wait_us < f->wait_us)
        f->wait_us = event->wait_us;
    esi_queue_init(&f->queue);
    text_init(&f->src, event->src.n);
    text_init(&f->alt, event->alt.n);
    text_put(&f->src, event->src);
    text_put(&f->alt, event->alt);
    if (f->src.full || f->alt.full) {
        fragment_free(f);
        return NULL;
    }
    list_append(&p->queued, &f->link);
    esi_fragments_start(p);
    return f;
}

struct esi_chunk *
esi_fragment_take(struct esi_fragment *f)
{
    struct esi_chunk *c = esi_queue_pop(&f->queue);

    if (c)
        f->page->held -= c->n;
    if (f->stalled && f->queue.n < ESI_HOLD_MAX)
        fiber_resume(f->fiber);
    if (c)
        esi_fragments_start(f->page);
    return c;
}

void
esi_fragment_drop(struct esi_fragment *f)
{
    list_remove(&f->link);
    if (!f->fiber) {
        fragment_free(f);
        return;
    }
    f->dropped = true;
    fiber_cancel(f->fiber, ERR_CANCELLED);
}
