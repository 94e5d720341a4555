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
#include "middleware/esi/esi.h"
#include "observe/log.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

enum { PART_COST = 512 }; /* of memory, roughly, beside its bytes */

enum part_kind { PART_TEXT, PART_FRAGMENT, PART_TRY };

struct esi_part {
    struct list          link;
    enum part_kind       kind;
    struct esi_queue     text;
    struct esi_fragment *fragment;
    bool                 goes_on;
    /* An attempt: */
    struct list          parts;
    struct text          except;   /* source */
    bool                 complete; /* its end was read */
    bool                 excepted; /* parts are those of `except` */
    struct esi_part     *outer;    /* the attempt that it stands in */
};

/* Where parts are added. */
struct builder {
    struct list      *list;
    struct esi_part **open;
};

/* ------------------------------------------------------------------ parts */

static struct esi_part *
part_add(struct esi_page *p, struct builder *b, enum part_kind kind)
{
    struct esi_part *part = calloc(1, sizeof(*part));

    if (!part)
        return NULL;
    part->kind = kind;
    esi_queue_init(&part->text);
    list_init(&part->parts);
    text_init(&part->except, ESI_KEPT_MAX);
    part->outer = *b->open;
    list_append(*b->open ? &(*b->open)->parts : b->list, &part->link);
    p->held += PART_COST;
    return part;
}

static void
part_drop(struct esi_page *p, struct esi_part *part)
{
    list_remove(&part->link);
    p->held -= PART_COST + part->text.n + part->except.n;
    esi_queue_clear(&part->text);
    text_free(&part->except);
    if (part->fragment)
        esi_fragment_drop(take(&part->fragment));
    free(part);
}

/* Blocks are inside of each other only so deep. */
static void
parts_drop(struct esi_page *p, struct list *parts)
{
    list_each (link, parts) {
        struct esi_part *part = list_entry(link, struct esi_part, link);

        parts_drop(p, &part->parts);
        part_drop(p, part);
    }
}

static struct esi_part *
first_part(const struct list *parts)
{
    return list_is_empty(parts) ? NULL : list_entry(parts->next, struct esi_part, link);
}

/* ------------------------------------------------------------------ failing */

/* The document goes no further; what was read of it before goes out. */
static void
stop(struct esi_page *p, enum err e)
{
    p->ended = true;
    if (p->failed == OK)
        p->failed = e;
}

static void
stop_for_memory(struct esi_page *p)
{
    exchange_fault(p->x, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, "esi");
    stop(p, ERR_NO_MEMORY);
}

static void
stop_at_limit(struct esi_page *p, const void *field, const char *name, const char *what)
{
    exchange_fault(p->x, REASON_COMPOSITION_LIMIT, ERR_LIMIT, "esi: %s", what);
    p->x->fault.limit = field;
    p->x->fault.limit_name = name;
    stop(p, ERR_LIMIT);
}

static void
stop_for(struct esi_page *p, const struct esi_fragment *f)
{
    if (f->status)
        exchange_fault(p->x, REASON_PART_FAILED, ERR_IO, "esi: %.*s: status %u, %s",
                       SLICE_ARG(text_slice(&f->src)), f->status, f->problem);
    else
        exchange_fault(p->x, REASON_PART_FAILED, ERR_IO, "esi: %.*s: %s",
                       SLICE_ARG(text_slice(&f->src)), f->problem);
    stop(p, ERR_IO);
}

/* ------------------------------------------------------------------ building */

static void
build_text(struct esi_page *p, struct builder *b, struct slice text)
{
    struct list *list = *b->open ? &(*b->open)->parts : b->list;
    struct esi_part *last =
        list_is_empty(list) ? NULL : list_entry(list->prev, struct esi_part, link);

    if (!last || last->kind != PART_TEXT)
        last = part_add(p, b, PART_TEXT);
    if (!last || !esi_queue_put(&last->text, text))
        stop_for_memory(p);
    else
        p->held += text.n;
}

static void
build_fetch(struct esi_page *p, struct builder *b, const struct esi_event *event)
{
    const struct esi *config = p->config;
    struct esi_part *part;

    if (p->x->depth >= (unsigned) config->depth) {
        stop_at_limit(p, &config->depth, "esi.depth", "fragments in fragments in fragments");
        return;
    }
    if (p->tree->parts >= (uint64_t) config->most) {
        stop_at_limit(p, &config->most, "esi.fragments", "too many fragments");
        return;
    }
    part = part_add(p, b, PART_FRAGMENT);
    if (part)
        part->fragment = esi_fragment_new(p, event);
    if (!part || !part->fragment) {
        stop_for_memory(p);
        return;
    }
    part->goes_on = event->goes_on;
    p->tree->parts++;
}

static void
build_try(struct esi_page *p, struct builder *b)
{
    struct esi_part *part = part_add(p, b, PART_TRY);

    if (part)
        *b->open = part;
    else
        stop_for_memory(p);
}

static void
build_except(struct esi_page *p, struct builder *b, struct slice source)
{
    struct esi_part *part = *b->open;

    text_put(&part->except, source);
    p->held += part->except.n;
    if (part->except.full)
        stop_for_memory(p);
}

static void
build(struct esi_page *p, struct builder *b, const struct esi_event *event)
{
    switch (event->kind) {
    case ESI_EVENT_NONE: break;
    case ESI_EVENT_TEXT: build_text(p, b, event->text); break;
    case ESI_EVENT_FETCH: build_fetch(p, b, event); break;
    case ESI_EVENT_TRY: build_try(p, b); break;
    case ESI_EVENT_EXCEPT: build_except(p, b, event->text); break;
    case ESI_EVENT_TRY_END:
        (*b->open)->complete = true;
        *b->open = (*b->open)->outer;
        break;
    case ESI_EVENT_FAILED:
        exchange_fault(p->x, REASON_ESI_MALFORMED, ERR_MALFORMED, "%s", event->problem);
        stop(p, ERR_MALFORMED);
        break;
    }
}

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
        stop(p, e);
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

/* However many fragments are under way: their server may have no connection for them until the
 * document is read. */
static bool
has_room(const struct esi_page *p)
{
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
    struct builder b = {&p->parts, &p->open};
    struct esi_event event;

    read_event(p, &event);
    build(p, &b, &event);
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
    e = fiber_sleep_until(TIMER_NEVER);
    p->waiter = NULL;
    return e;
}

/* Nothing has to go out before what is read now: texts need no copy. */
static enum err
read_through(struct esi_page *p, struct slice *chunk)
{
    struct builder b = {&p->parts, &p->open};
    struct esi_event event = {.kind = ESI_EVENT_NONE};

    while (!p->ended && event.kind == ESI_EVENT_NONE)
        read_event(p, &event);
    if (event.kind != ESI_EVENT_TEXT) {
        build(p, &b, &event);
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
    struct builder b = {&attempt->parts, &open};
    struct esi_parser parser;
    struct esi_event event;

    attempt->excepted = true;
    parts_drop(p, &attempt->parts);
    esi_parser_init(&parser, p->x, &p->inlines);
    do {
        esi_parser_next(&parser, &source, &event);
        if (event.kind == ESI_EVENT_NONE)
            esi_parser_end(&parser, &event);
        build(p, &b, &event);
    } while (event.kind != ESI_EVENT_NONE && event.kind != ESI_EVENT_FAILED && p->failed == OK);
    esi_parser_free(&parser);
}

static enum outcome
settle_part(struct esi_page *p, struct esi_part *part)
{
    switch (part->kind) {
    case PART_TEXT: return GOOD;
    case PART_TRY: return settle(p, part);
    case PART_FRAGMENT: break;
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
    stop(p, ERR_IO);
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
        part_drop(p, part);
    return give(p, c, chunk) ? OK : ERR_END;
}

static enum err
break_off(struct esi_page *p)
{
    parts_drop(p, &p->parts);
    p->open = NULL;
    esi_counts(loop_self()->number)->broken++;
    return p->failed;
}

static enum err
give_instead(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    bool text = slice_is_present(p->config->on_error);

    if (!part->goes_on && !text) {
        stop_for(p, part->fragment);
        return break_off(p);
    }
    if (!part->goes_on)
        *chunk = p->config->on_error;
    text &= !part->goes_on && chunk->n;
    part_drop(p, part);
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
        stop_for(p, f);
        return break_off(p);
    }
    part_drop(p, part);
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
        part_drop(p, part);
        return ERR_END;
    case FAILED: stop_for_attempt(p); return break_off(p);
    case WAITING: break;
    }
    if (!part->complete && p->held >= p->config->ahead)
        stop_at_limit(p, &p->config->ahead, "esi.ahead", "an attempt is longer");
    if (!part->complete && p->ended)
        return break_off(p);
    return wait_reading(p) == OK ? ERR_END : ERR_CANCELLED;
}

static enum err
give_part(struct esi_page *p, struct esi_part *part, struct slice *chunk)
{
    switch (part->kind) {
    case PART_TEXT: return give_text(p, part, chunk);
    case PART_FRAGMENT: return give_fragment(p, part, chunk);
    case PART_TRY: return give_attempt(p, part);
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
        struct esi_part *part = first_part(&p->parts);

        if (part)
            e = give_part(p, part, chunk);
        else if (p->reader)
            e = wait_reading(p) == OK ? ERR_END : ERR_CANCELLED;
        else if (p->ended)
            return p->failed == OK ? ERR_END : p->failed;
        else
            e = read_through(p, chunk);
    }
    b->ready = first_part(&p->parts) && first_part(&p->parts)->kind == PART_TEXT;
    return e;
}

/* ------------------------------------------------------------------ life */

/* Everybody who works for it ends first.  What they note while they do is not why it ended. */
static void
end_fibers(struct esi_page *p)
{
    struct exchange_fault fault = p->x->fault;

    parts_drop(p, &p->parts);
    if (p->reader)
        fiber_cancel(p->reader, ERR_CANCELLED);
    p->waiter = fiber_self();
    while (p->running) {
        fiber_suspend();
        parts_drop(p, &p->parts); /* the reader may have added some at last */
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
