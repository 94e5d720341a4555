/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/describe.c - all the types of objects that can be reached from a table.
 *
 * Two rooms may each call an object of theirs `cache`; in a generated text they need two names.
 */
#include "config/describe.h"

#include <stdlib.h>

static struct described *
find(const struct description *d, const struct option_object *object)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->types[i].object == object)
            return &d->types[i];
    return NULL;
}

static bool
append(struct description *d, const struct option_object *object)
{
    struct described new = {.object = object, .number = 1};

    for (size_t i = 0; i < d->n; i++)
        new.number += strcmp(d->types[i].object->name, object->name) == 0;
    if (d->n == d->room) {
        size_t room = d->room ? d->room * 2 : 64;
        struct described *grown = realloc(d->types, room * sizeof(*grown));

        if (!grown)
            return false;
        d->types = grown;
        d->room = room;
    }
    d->types[d->n++] = new;
    return true;
}

static bool
add(struct description *d, const struct option_object *object, bool in_map)
{
    struct described *known = find(d, object);
    bool is_new = !known;

    if (is_new && !append(d, object))
        return false;
    known = known ? known : &d->types[d->n - 1];
    known->outside_map |= !in_map;
    if (!is_new)
        return true;
    for (const struct option *o = object->options; o && o->name; o++) {
        if (o->flags & OPTION_HIDDEN)
            continue;
        if (o->kind == &option_objects && !add(d, o->object, o->flags & OPTION_MAP))
            return false;
        for (const struct option_object *const *v = o->variants; v && *v; v++)
            if (!add(d, *v, false))
                return false;
    }
    return true;
}

bool
describe(struct description *d, const struct option_object *root)
{
    *d = (struct description){0};
    return add(d, root, false);
}

void
describe_free(struct description *d)
{
    free(d->types);
    *d = (struct description){0};
}

const struct described *
describe_find(const struct description *d, const struct option_object *object)
{
    return find(d, object);
}

void
describe_name(const struct description *d, const struct option_object *object, struct text *out)
{
    const struct described *type = find(d, object);

    text_put(out, slice_str(object->name));
    if (type && type->number > 1) {
        text_byte(out, '_');
        text_u64(out, type->number);
    }
}

bool
describe_shows(const struct described *type, const struct option *o)
{
    return !(o->flags & OPTION_HIDDEN) && (!(o->flags & OPTION_KEY) || type->outside_map);
}
