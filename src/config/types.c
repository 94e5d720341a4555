/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/types.c - what is worked out once for every type of object.
 *
 * Above all the image: an object of which nothing is set.  Ten thousand routes start as copies of
 * it instead of reading each of their defaults from text again.  Defaults that hold objects are
 * bound anew in every object, for two objects must not share what their owners may tell apart by
 * address.
 */
#include "config/bind.h"

#include "base/check.h"

bool
option_is_embedded(const struct option *o)
{
    return o->kind == &option_objects && !(o->flags & (OPTION_POINTER | OPTION_LIST | OPTION_MAP));
}

size_t
option_item_bytes(const struct option *o)
{
    return o->kind == &option_objects ? o->object->size : o->kind->size;
}

size_t
option_field_bytes(const struct option *o)
{
    if (o->flags & (OPTION_LIST | OPTION_MAP))
        return sizeof(struct option_list);
    if (o->flags & OPTION_POINTER)
        return sizeof(void *);
    return option_item_bytes(o);
}

const struct option *
type_find(const struct bind_type *type, struct slice name)
{
    for (size_t i = 0; i < type->n; i++)
        if (slice_eq(type->names[i], name))
            return &type->object->options[i];
    return NULL;
}

/* A default is written as a user would write it; only what has structure or quotes needs a
 * parser. */
static struct config_node *
parse_preset(struct loader *l, struct slice text)
{
    struct config_node *node;

    if (text.n && strchr("[{\"'", text.at[0]))
        return yaml_parse(l, text, -1);
    node = tree_new(l, CONFIG_SCALAR, (struct config_mark){0});
    if (node) {
        node->text = text;
        node->quoted = true;
    }
    return node;
}

const struct config_node *
type_preset(struct config_bind *b, const struct bind_type *type, const struct option *o)
{
    struct config_node **node = &type->presets[o - type->object->options];

    if (!*node && o->preset)
        *node = parse_preset(b->loader, slice_str(o->preset));
    return *node;
}

/* False when the default needs work in every object. */
static bool
put_into_image(struct config_bind *b, struct bind_type *type, const struct option *o)
{
    const struct option *outer = b->preset;
    const struct config_node *node;

    if (option_is_embedded(o)) {
        const struct bind_type *inner = type_of(b, o->object);

        if (!inner)
            return false;
        memcpy((char *) type->image + o->offset, inner->image, o->object->size);
        return !o->preset && !inner->settles && !o->object->check;
    }
    if (!o->preset || o->flags & OPTION_REQUIRED)
        return true;
    if (o->kind == &option_objects || o->kind == &option_variants)
        return false;
    b->preset = o;
    node = type_preset(b, type, o);
    if (node)
        bind_option(b, type, o, node, type->image);
    b->preset = outer;
    return true;
}

static void
note_option(struct config_bind *b, struct bind_type *type, size_t i)
{
    const struct option *o = &type->object->options[i];

    type->names[i] = slice_str(o->name);
    if (o->flags & OPTION_REQUIRED)
        type->has_required = true;
    if (o->flags & OPTION_KEY)
        type->key = o;
    if (type->object->shorthand && strcmp(type->object->shorthand, o->name) == 0)
        type->shorthand = o;
    if (!put_into_image(b, type, o))
        type->settles = true;
}

static struct bind_type *
type_new(struct config_bind *b, const struct option_object *object)
{
    struct arena *arena = config_bind_arena(b);
    struct bind_type *type = arena_new(arena, struct bind_type);
    size_t n = 0;

    while (object->options && object->options[n].name)
        n++;
    CHECK(n <= OPTIONS_MAX);
    if (!type)
        return NULL;
    *type = (struct bind_type){.object = object, .n = n};
    type->names = arena_calloc(arena, n + 1, sizeof(*type->names));
    type->presets = arena_calloc(arena, n + 1, sizeof(*type->presets));
    type->image = arena_calloc(arena, 1, object->size + 1);
    return type->names && type->presets && type->image ? type : NULL;
}

static struct bind_type **
bucket_of(struct config_bind *b, const struct option_object *object)
{
    return &b->types[((uintptr_t) object >> 4) % TYPE_BUCKETS];
}

struct bind_type *
type_of(struct config_bind *b, const struct option_object *object)
{
    struct bind_type **bucket = bucket_of(b, object), *type;

    for (type = *bucket; type; type = type->next)
        if (type->object == object)
            return type;
    type = type_new(b, object);
    if (!type) {
        tree_no_memory(b->loader);
        return NULL;
    }
    for (size_t i = 0; i < type->n; i++)
        note_option(b, type, i);
    CHECK(!object->shorthand || type->shorthand);
    type->next = *bucket; /* other types may have come in meanwhile */
    *bucket = type;
    return type;
}
