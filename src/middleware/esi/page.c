/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/page.c - the body of a page: the document with its fragments in it, in order.
 *
 * As long as there is nothing to wait for, texts go through without a copy.  While a fragment is
 * waited for, the document is read on, on a fiber of its own if need be, up to `ahead` bytes: so
 * the fragments behind are asked for meanwhile, and the document's server is free early.  What is
 * read but not sent is a list of parts.
 *
 * An attempt goes out when all of its fragments are there; when one fails, the source of `except`
 * takes its place.  All fibers end before the page does.
 */
#include "base/check.h"
#include "middleware/esi/part.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ reading the document */

/* Some more of it; waits for it when there is none in memory. */
static void
refill(struct esi_page *p)
{
    enum err e = body_next(p->inner, &p->input);

    if (e == OK)
        return;
    p->input = slice_of("", 0);
    p->inner_ended = e == ERR_END;
    if (e != ERR_END)
        esi_page_stop(p, e);
}

/* One event; NONE: nothing of the kind, look again. */
static void
read_event(struct esi_page *p, struct esi_event *event)
{
    esi_parser_next(&p->parser, &p->input, event);
    if (event->kind != ESI_EVENT_NONE)
        return;
    if (!p->inner_ended) {
        refill(p);
        return;
    }
    esi_parser_end(&p->parser, event);
    p->ended |= event->kind == ESI_EVENT_NONE;
}

/* What an attempt takes of `ahead`; of a long fragment only as much as has to be held. */
static size_t
attempt_bytes(const struct esi_part *attempt)
{
    size_t n = attempt->except.n;

    list_each (link, &attempt->parts) {
        const struct esi_part *part = list_entry(link, struct esi_part, link);
        size_t held = part->fragment ? part->fragment->queue.n : 0;

        n += ESI_PART_COST + part->text.n + (held < ESI_HOLD_MAX ? held : ESI_HOLD_MAX);
        n += attempt_bytes(part);
    }
    return n;
}

/* However many fragments are under way: their server may have no connection for them until the
 * document is read.  An attempt that the page waits for has all of the room. */
static bool
has_room(const struct esi_page *p)
{
    const struct esi_part *part = esi_part_first(&p->parts);

    if (part && part->kind == ESI_PART_TRY && !part->complete)
        return attempt_bytes(part) < p->config->ahead;
    return p->held < p->config->ahead;
}

static bool
can_read_at_once(const struct esi_page *p)
{
    return p->input.n || p->inner->ready || p->inner_ended;
}

static void
read_and_build(struct esi_page *p)
{
    struct esi_builder b = {&p->parts, &p->open, 0};
    struct esi_event event;

    read_event(p, &event);
    esi_build(p, &b, &event);
}

static void
read_ahead(void *arg)
{
    struct esi_page *p = arg;

    while (!p->ended && has_room(p) && fiber_self()->cancelled == OK) {
        read_and_build(p);
        esi_page_wake(p);
    }
    p->reader = NULL;
    p->running--;
    esi_page_wake(p);
}

/* Nothing can go out: the time is used to read on, and to wait. */
static enum err
wait_reading(struct esi_page *p)
{
    enum err e;

    if (!p->reader && !p->ended && has_room(p)) {
        if (can_read_at_once(p)) {
            read_and_build(p);
            return OK;
        }
        p->reader = fiber_start("esi", read_ahead, p);
        p->running += p->reader != NULL;
    }
    p->waiter = fiber_self();
    esi_fragments_start(p);
    e = fiber_sleep_until(TIMER_NEVER);
    p->waiter = NULL;
    return e;
}

/* Nothing has to go out before what is read now: texts need no copy. */
static enum err
read_through(struct esi_page *p, struct slice *chunk)
{
    struct esi_builder b = {&p->parts, &p->open, 0};
    struct esi_event event = {.kind = ESI_EVENT_NONE};

    while (!p->ended && event.kind == ESI_EVENT_NONE)
        read_event(p, &event);
    if (event.kind != ESI_EVENT_TEXT) {
        esi_build(p, &b, &event);
        return ERR_END;
    }
    *chunk = event.text;
    return OK;
}

void
esi_page_wake(struct esi_page *p)
{
    if (p->waiter)
        fiber_resume(p->waiter);
}

/* ------------------------------------------------------------------ attempts */

enum outcome { WAITING, GOOD, FAILED };

static enum outcome settle(struct esi_page *p, struct esi_part *attempt);

/* What stands in `except` takes the place of what was attempted. */
static void
except(struct esi_page *p, struct esi_part *attempt)
{
    struct slice source = text_slice(&attempt->except);
    struct esi_part *open = NULL;
    struct esi_builder b = {&attempt->parts, &open, attempt->level + 1};
    struct esi_parser parser;
    struct esi_event event;

    attempt->excepted = true;
    esi_parts_drop(p, &attempt->parts);
    if (b.level > ESI_EXCEPTS_MAX) {
        exchange_fault(p->x, REASON_ESI_MALFORMED, ERR_MALFORMED,
                       "too many excepts inside of each other");
        esi_page_stop(p, ERR_MALFORMED);
        return;
    }
    esi_parser_init(&parser, p->x, &p->inlines);
    do {
        esi_parser_next(&parser, &source, &event);
        if (event.kind == ESI_EVENT_NONE)
            esi_parser_end(&parser, &event);
        esi_build(p, &b, &event);
    } while (event.kind != ESI_EVENT_NONE && event.kind != ESI_EVENT_FAILED && p->failed == OK);
    esi_parser_free(&parser);
}

static enum outcome
settle_part(struct esi_page *p, struct esi_part *part)
{
    switch (part->kind) {
    case ESI_PART_TEXT: return GOOD;
    case ESI_PART_TRY: return settle(p, part);
    case ESI_PART_FRAGMENT: break;
    }
    switch (part->fragment->state) {
    case ESI_FRAGMENT_ASKED: return WAITING;
    case ESI_FRAGMENT_GOOD: return GOOD;
    case ESI_FRAGMENT_FAILED: return part->goes_on ? GOOD : FAILED;
    }
    UNREACHABLE();
}

/* A failed one decides for all. */
static enum outcome
settle_parts(struct esi_page *p, struct list *parts)
{
    enum outcome all = GOOD;

    list_each (link, parts) {
        enum outcome one = settle_part(p, list_entry(link, struct esi_part, link));

        if (one == FAILED)
            return FAILED;
        if (one == WAITING)
            all = WAITING;
    }
    return all;
}

static enum outcome
settle(struct esi_page *p, struct esi_part *attempt)
{
    enum outcome o;

    if (!attempt->complete)
        return WAITING;
    o = settle_parts(p, &attempt->parts);
    if (o != FAILED || attempt->excepted)
        return o;
    except(p, attempt);
    return p->failed == OK ? settle_parts(p, &attempt->parts) : FAILED;
}

static void
stop_for_attempt(struct esi_page *p)
{
    if (p->failed == OK)
        exchange_fault(p->x, REASON_PART_FAILED, ERR_IO,
                       "esi: fragments of an attempt and of its `except` failed");
    esi_page_stop(p, ERR_IO);
}

/* ------------------------------------------------------------------ giving out */

static bool
give(struct esi_page *p, struct esi_chunk *c, struct slice *chunk)
{
    if (!c)
        return false;
    p->spent = c;
    *chunk = slice_of(c->bytes, c->n);
    return true;
}

/* ERR_END: look again. */
static enum err
give_text(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    struct esi_chunk *c = esi_queue_pop(&part->text);

    if (c)
        p->held -= c->n;
    if (list_is_empty(&part->text.chunks))
        esi_part_drop(p, part);
    return give(p, c, chunk) ? OK : ERR_END;
}

static enum err
break_off(struct esi_page *p)
{
    esi_parts_drop(p, &p->parts);
    p->open = NULL;
    esi_counts(loop_self()->number)->broken++;
    return p->failed;
}

static enum err
give_instead(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    bool text = slice_is_present(p->config->on_error);

    if (!part->goes_on && !text) {
        esi_page_stop_for(p, part->fragment);
        return break_off(p);
    }
    if (!part->goes_on)
        *chunk = p->config->on_error;
    text &= !part->goes_on && chunk->n;
    esi_part_drop(p, part);
    return text ? OK : ERR_END;
}

static enum err
give_fragment(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    struct esi_fragment *f = part->fragment;

    if (f->state == ESI_FRAGMENT_FAILED)
        return give_instead(p, part, chunk);
    if (f->state == ESI_FRAGMENT_GOOD && give(p, esi_fragment_take(f), chunk))
        return OK;
    if (!f->done)
        return wait_reading(p) == OK ? ERR_END : ERR_CANCELLED;
    if (f->broken) {
        esi_page_stop_for(p, f);
        return break_off(p);
    }
    esi_part_drop(p, part);
    return ERR_END;
}

static enum err
give_attempt(struct esi_page *p, struct esi_part *part)
{
    switch (settle(p, part)) {
    case GOOD:
        /* Its parts stand in its place. */
        list_each (link, &part->parts) {
            list_remove(link);
            list_insert_after(part->link.prev, link);
        }
        esi_part_drop(p, part);
        return ERR_END;
    case FAILED: stop_for_attempt(p); return break_off(p);
    case WAITING: break;
    }
    if (attempt_bytes(part) >= p->config->ahead) {
        esi_page_stop_at_limit(p, &p->config->ahead, "esi.ahead", "an attempt is longer");
        return break_off(p);
    }
    if (!part->complete && p->ended)
        return break_off(p);
    return wait_reading(p) == OK ? ERR_END : ERR_CANCELLED;
}

static enum err
give_part(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    switch (part->kind) {
    case ESI_PART_TEXT: return give_text(p, part, chunk);
    case ESI_PART_FRAGMENT: return give_fragment(p, part, chunk);
    case ESI_PART_TRY: return give_attempt(p, part);
    }
    UNREACHABLE();
}

static enum err
page_next(struct body *b, struct slice *chunk)
{
    struct esi_page *p = container_of(b, struct esi_page, body);
    enum err e = ERR_END;

    free(take(&p->spent));
    b->ready = false;
    while (e == ERR_END) {
        struct esi_part *part = esi_part_first(&p->parts);

        if (part)
            e = give_part(p, part, chunk);
        else if (p->reader)
            e = wait_reading(p) == OK ? ERR_END : ERR_CANCELLED;
        else if (p->ended)
            return p->failed == OK ? ERR_END : p->failed;
        else
            e = read_through(p, chunk);
    }
    b->ready = esi_part_first(&p->parts) && esi_part_first(&p->parts)->kind == ESI_PART_TEXT;
    return e;
}

/* ------------------------------------------------------------------ life */

/* Everybody who works for it ends first.  What they note while they do is not why it ended. */
static void
end_fibers(struct esi_page *p)
{
    struct exchange_fault fault = p->x->fault;

    esi_parts_drop(p, &p->parts);
    if (p->reader)
        fiber_cancel(p->reader, ERR_CANCELLED);
    p->waiter = fiber_self();
    while (p->running) {
        fiber_suspend();
        esi_parts_drop(p, &p->parts); /* the reader may have added some at last */
    }
    p->waiter = NULL;
    p->x->fault = fault;
}

static void
page_close(struct body *b)
{
    struct esi_page *p = container_of(b, struct esi_page, body);

    end_fibers(p);
    free(take(&p->spent));
    esi_parser_free(&p->parser);
    esi_inlines_free(&p->inlines);
    body_close(take(&p->inner));
    compose_tree_leave(take(&p->tree));
}

static const struct body_ops page_ops = {.next = page_next, .close = page_close};

struct esi_counts *
esi_counts(unsigned worker)
{
    static struct esi_counts counts[WORKERS_MAX];

    return &counts[worker];
}

struct body *
esi_page(const struct esi *config, struct exchange *x, struct body *document)
{
    struct esi_page *p = arena_new(&x->arena, struct esi_page);

    if (!p || !(p->tree = compose_tree_join(x->serial)))
        return NULL;
    p->body = (struct body){.ops = &page_ops, .length = BODY_LENGTH_UNKNOWN};
    p->x = x;
    p->config = config;
    p->inner = document;
    p->input = slice_of("", 0);
    esi_inlines_init(&p->inlines);
    esi_parser_init(&p->parser, x, &p->inlines);
    list_init(&p->parts);
    list_init(&p->queued);
    esi_counts(loop_self()->number)->pages++;
    return &p->body;
}
