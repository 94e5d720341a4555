/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/marks.c - what was set where.
 *
 * One pair of pointers for each value: the field and its node, which knows its place.  They are
 * added in the order of binding, which is nearly that of the addresses, and sorted once at the end.
 */
#include "config/bind.h"

#include <stdlib.h>

static const struct config_node *
node_of(const struct config_place *p)
{
    return (const struct config_node *) (p->node & ~(uintptr_t) (PLACE_KEY | PLACE_OBJECT));
}

static struct config_mark
mark_of(const struct config_place *p)
{
    return p->node & PLACE_KEY ? node_of(p)->key_mark : node_of(p)->mark;
}

static bool
is_object(const struct config_place *p)
{
    return p->node & PLACE_OBJECT;
}

bool
marks_add(struct config_marks *m, const void *field, const struct config_node *node,
          enum place_flags flags)
{
    if (node->mark.line == 0)
        return true;
    if (m->n == m->room) {
        size_t room = m->room ? m->room * 2 : 64;
        struct config_place *grown = realloc(m->places, room * sizeof(*grown));

        if (!grown)
            return false;
        m->places = grown;
        m->room = room;
    }
    m->places[m->n++] = (struct config_place){field, (uintptr_t) node | (uintptr_t) flags};
    return true;
}

/* By address, an object before the field at its start. */
static int
by_address(const void *one, const void *two)
{
    const struct config_place *a = one, *b = two;

    if (a->field != b->field)
        return (uintptr_t) a->field < (uintptr_t) b->field ? -1 : 1;
    return is_object(b) - is_object(a);
}

void
marks_finish(struct config_marks *m)
{
    struct config_place *fitting;

    if (m->n == 0)
        return;
    qsort(m->places, m->n, sizeof(*m->places), by_address);
    fitting = realloc(m->places, m->n * sizeof(*m->places));
    if (fitting) {
        m->places = fitting;
        m->room = m->n;
    }
}

void
marks_free(struct config_marks *m)
{
    free(m->places);
    *m = (struct config_marks){0};
}

struct config_mark
marks_search(const struct config_marks *m, const void *field, enum place_flags flags)
{
    for (size_t i = m->n; i-- > 0;) {
        const struct config_place *p = &m->places[i];

        if (p->field == field && is_object(p) == (flags == PLACE_OBJECT))
            return mark_of(p);
    }
    return (struct config_mark){0};
}

struct config_mark
marks_nearest_object(const struct config_marks *m, const void *field)
{
    const struct config_place *best = NULL;

    for (size_t i = 0; i < m->n; i++) {
        const struct config_place *p = &m->places[i];

        if (is_object(p) && (uintptr_t) p->field <= (uintptr_t) field &&
            (!best || (uintptr_t) p->field > (uintptr_t) best->field))
            best = p;
    }
    return best ? mark_of(best) : (struct config_mark){0};
}

/* The first place at that address in sorted marks; m->n when there is none. */
static size_t
first_at(const struct config_marks *m, const void *field)
{
    size_t low = 0, high = m->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((uintptr_t) m->places[middle].field < (uintptr_t) field)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct config_mark
look_up(const struct config_marks *m, const void *field, bool object)
{
    for (size_t i = first_at(m, field); i < m->n && m->places[i].field == field; i++)
        if (is_object(&m->places[i]) == object)
            return mark_of(&m->places[i]);
    return (struct config_mark){0};
}

struct config_mark
config_where(const struct config *c, const void *field)
{
    return look_up(&c->marks, field, false);
}

struct config_mark
config_where_object(const struct config *c, const void *object)
{
    return look_up(&c->marks, object, true);
}

struct slice
config_where_text(const struct config *c, const void *field, struct arena *arena)
{
    struct config_mark m = config_where(c, field);

    if (m.line == 0 || m.file >= c->n_files)
        return SLICE("default");
    return arena_printf(arena, "%s:%u:%u", c->files[m.file].path.at, m.line, m.column);
}
