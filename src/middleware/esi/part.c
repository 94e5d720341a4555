/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/part.c - see part.h. */
#include "middleware/esi/part.h"

#include "base/check.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ parts */

static struct esi_part *
part_add(struct esi_page *p, struct esi_builder *b, enum esi_part_kind kind)
{
    struct esi_part *part = calloc(1, sizeof(*part));

    if (!part)
        return NULL;
    part->kind = kind;
    esi_queue_init(&part->text);
    list_init(&part->parts);
    text_init(&part->except, ESI_KEPT_MAX);
    part->outer = *b->open;
    part->level = b->level;
    list_append(*b->open ? &(*b->open)->parts : b->list, &part->link);
    p->held += ESI_PART_COST;
    return part;
}

void
esi_part_drop(struct esi_page *p, struct esi_part *part)
{
    list_remove(&part->link);
    p->held -= ESI_PART_COST + part->text.n + part->except.n;
    esi_queue_clear(&part->text);
    text_free(&part->except);
    if (part->fragment)
        esi_fragment_drop(take(&part->fragment));
    free(part);
}

/* Blocks are inside of each other only so deep. */
void
esi_parts_drop(struct esi_page *p, struct list *parts)
{
    list_each (link, parts) {
        struct esi_part *part = list_entry(link, struct esi_part, link);

        esi_parts_drop(p, &part->parts);
        esi_part_drop(p, part);
    }
}

struct esi_part *
esi_part_first(const struct list *parts)
{
    return list_is_empty(parts) ? NULL : list_entry(parts->next, struct esi_part, link);
}

/* ------------------------------------------------------------------ failing */

void
esi_page_stop(struct esi_page *p, enum err e)
{
    p->ended = true;
    if (p->failed == OK)
        p->failed = e;
}

static void
stop_for_memory(struct esi_page *p)
{
    exchange_fault(p->x, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, "esi");
    esi_page_stop(p, ERR_NO_MEMORY);
}

void
esi_page_stop_at_limit(struct esi_page *p, const void *field, const char *name, const char *what)
{
    exchange_fault(p->x, REASON_COMPOSITION_LIMIT, ERR_LIMIT, "esi: %s", what);
    p->x->fault.limit = field;
    p->x->fault.limit_name = name;
    esi_page_stop(p, ERR_LIMIT);
}

void
esi_page_stop_for(struct esi_page *p, const struct esi_fragment *f)
{
    if (f->status)
        exchange_fault(p->x, REASON_PART_FAILED, ERR_IO, "esi: %.*s: status %u, %s",
                       SLICE_ARG(text_slice(&f->src)), f->status, f->problem);
    else
        exchange_fault(p->x, REASON_PART_FAILED, ERR_IO, "esi: %.*s: %s",
                       SLICE_ARG(text_slice(&f->src)), f->problem);
    esi_page_stop(p, ERR_IO);
}

/* ------------------------------------------------------------------ building */

static void
build_text(struct esi_page *p, struct esi_builder *b, struct slice text)
{
    struct list *list = *b->open ? &(*b->open)->parts : b->list;
    struct esi_part *last =
        list_is_empty(list) ? NULL : list_entry(list->prev, struct esi_part, link);

    if (!last || last->kind != ESI_PART_TEXT)
        last = part_add(p, b, ESI_PART_TEXT);
    if (!last || !esi_queue_put(&last->text, text))
        stop_for_memory(p);
    else
        p->held += text.n;
}

static void
build_fetch(struct esi_page *p, struct esi_builder *b, const struct esi_event *event)
{
    const struct esi *config = p->config;
    struct esi_part *part;

    if (p->x->depth >= (unsigned) config->depth) {
        esi_page_stop_at_limit(p, &config->depth, "esi.depth",
                               "fragments in fragments in fragments");
        return;
    }
    if (p->tree->parts >= (uint64_t) config->most) {
        esi_page_stop_at_limit(p, &config->most, "esi.fragments", "too many fragments");
        return;
    }
    part = part_add(p, b, ESI_PART_FRAGMENT);
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
build_try(struct esi_page *p, struct esi_builder *b)
{
    struct esi_part *part = part_add(p, b, ESI_PART_TRY);

    if (part)
        *b->open = part;
    else
        stop_for_memory(p);
}

static void
build_except(struct esi_page *p, struct esi_builder *b, struct slice source)
{
    struct esi_part *part = *b->open;

    text_put(&part->except, source);
    p->held += part->except.n;
    if (part->except.full)
        stop_for_memory(p);
}

void
esi_build(struct esi_page *p, struct esi_builder *b, const struct esi_event *event)
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
        esi_page_stop(p, ERR_MALFORMED);
        break;
    }
}
