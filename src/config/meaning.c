/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/meaning.c - from a node's place to what the tables say of it.
 */
#include "config/meaning.h"

#include "base/check.h"
#include "config/describe.h"

#include <stdlib.h>

enum { LINEAR_KEYS = 16 }; /* up to so many members a map is searched one by one */

/* ------------------------------------------------------------------ types */

static struct meaning
of_item(const struct option *o)
{
    struct meaning m = {.kind = MEANING_VALUE, .option = o};

    if (o->kind == &option_objects) {
        m.kind = MEANING_OBJECT;
        m.object = o->object;
    } else if (o->kind == &option_variants) {
        m.kind = MEANING_VARIANT;
    } else if (o->kind == &option_any || (o->kind == &option_pairs && !(o->flags & OPTION_MAP))) {
        m.kind = MEANING_ANY;
    }
    return m;
}

static struct meaning
of_option(const struct option *o)
{
    if (o->flags & OPTION_LIST)
        return (struct meaning){.kind = MEANING_LIST, .option = o};
    if (o->flags & OPTION_MAP)
        return (struct meaning){.kind = MEANING_MAP, .option = o};
    return of_item(o);
}

static bool
is_named(const char *name, struct slice key)
{
    return key.n && name[0] == key.at[0] && strncmp(name, key.at, key.n) == 0 &&
           name[key.n] == '\0';
}

static const struct option *
find_option(const struct option_object *object, struct slice name)
{
    for (const struct option *o = object->options; o && o->name; o++)
        if (is_named(o->name, name))
            return o;
    return NULL;
}

static struct meaning
of_variant(const struct option *o, struct slice name)
{
    for (const struct option_object *const *v = o->variants; *v; v++)
        if (is_named((*v)->name, name))
            return (struct meaning){.kind = MEANING_OBJECT, .option = o, .object = *v};
    return (struct meaning){.kind = MEANING_ANY};
}

/* The type of that name which takes defaults. */
static struct meaning
of_default(const struct option_object *root, struct slice name)
{
    struct meaning m = {.kind = MEANING_ANY};
    struct description d;

    if (describe(&d, root))
        for (size_t i = 0; i < d.n; i++)
            if (d.types[i].object->takes_defaults && is_named(d.types[i].object->name, name))
                m = (struct meaning){.kind = MEANING_OBJECT, .object = d.types[i].object};
    describe_free(&d);
    return m;
}

struct meaning
meaning_of_root(const struct option_object *type)
{
    return (struct meaning){.kind = MEANING_OBJECT, .root = true, .object = type};
}

struct meaning
meaning_of_member(struct meaning m, struct slice key)
{
    const struct option *o;

    switch (m.kind) {
    case MEANING_OBJECT:
        if (m.root && slice_eq(key, SLICE("defaults")))
            return (struct meaning){.kind = MEANING_DEFAULTS, .object = m.object};
        o = find_option(m.object, key);
        return o ? of_option(o) : (struct meaning){.kind = MEANING_ANY};
    case MEANING_MAP: return of_item(m.option);
    case MEANING_VARIANT: return of_variant(m.option, key);
    case MEANING_DEFAULTS: return of_default(m.object, key);
    case MEANING_LIST:
    case MEANING_VALUE:
    case MEANING_ANY: break;
    }
    return (struct meaning){.kind = MEANING_ANY};
}

struct meaning
meaning_of_item(struct meaning m)
{
    return m.kind == MEANING_LIST ? of_item(m.option) : (struct meaning){.kind = MEANING_ANY};
}

struct meaning
meaning_of_child(struct meaning m, const struct config_node *parent,
                 const struct config_node *child)
{
    const struct option *shorthand = meaning_shorthand(m);

    if (parent->kind == CONFIG_LIST && shorthand)
        m = meaning_of_member(m, slice_str(shorthand->name));
    if (parent->kind == CONFIG_LIST)
        return meaning_of_item(m);
    return meaning_of_member(m.kind == MEANING_LIST ? meaning_of_item(m) : m, child->key);
}

bool
meaning_is_secret(struct meaning m)
{
    return m.kind == MEANING_VALUE && m.option->flags & OPTION_SECRET;
}

const struct option *
meaning_shorthand(struct meaning m)
{
    if (m.kind != MEANING_OBJECT || !m.object->shorthand)
        return NULL;
    return find_option(m.object, slice_str(m.object->shorthand));
}

/* ------------------------------------------------------------------ members */

static bool
is_shorthand(struct meaning m, const struct config_node *node)
{
    return node->kind != CONFIG_MAP && m.kind == MEANING_OBJECT && m.object->shorthand &&
           !config_node_is_null(node);
}

const struct config_node *
meaning_member(struct meaning m, const struct config_node *node, struct slice key)
{
    if (is_shorthand(m, node))
        return is_named(m.object->shorthand, key) ? node : NULL;
    return config_node_get(node, key);
}

const struct config_node *
meaning_first(struct meaning m, const struct config_node *node)
{
    if (is_shorthand(m, node))
        return node;
    return node->kind == CONFIG_MAP ? node->first : NULL;
}

const struct config_node *
meaning_next(const struct config_node *node, const struct config_node *member)
{
    return member == node ? NULL : member->next;
}

struct slice
meaning_key(struct meaning m, const struct config_node *node, const struct config_node *member)
{
    return member == node ? slice_str(m.object->shorthand) : member->key;
}

struct meaning_lookup
meaning_lookup(struct meaning m, const struct config_node *node)
{
    return (struct meaning_lookup){m, node, meaning_first(m, node), {0}};
}

/* Without memory for an index the search goes one by one. */
static bool
fill(struct meaning_lookup *l)
{
    size_t n = 0;

    if (l->index.count)
        return true;
    if (l->node->kind != CONFIG_MAP)
        return false;
    for (const struct config_node *c = l->node->first; c; c = c->next)
        n++;
    if (n <= LINEAR_KEYS)
        return false;
    for (struct config_node *c = l->node->first; c; c = c->next)
        if (!map_put(&l->index, c->key, c)) {
            map_free(&l->index);
            return false;
        }
    return true;
}

const struct config_node *
meaning_look_up(struct meaning_lookup *l, struct slice key)
{
    const struct config_node *found = l->next;

    if (!found || !slice_eq(meaning_key(l->meaning, l->node, found), key))
        found = fill(l) ? map_get(&l->index, key) : meaning_member(l->meaning, l->node, key);
    if (found)
        l->next = meaning_next(l->node, found);
    return found;
}

void
meaning_lookup_free(struct meaning_lookup *l)
{
    map_free(&l->index);
}

/* ------------------------------------------------------------------ items */

bool
meaning_is_list(struct meaning m, const struct config_node *node)
{
    return node->kind == CONFIG_LIST ? m.kind == MEANING_LIST || m.kind == MEANING_ANY
                                     : m.kind == MEANING_LIST && !config_node_is_null(node);
}

size_t
meaning_count_items(const struct config_node *list)
{
    size_t n = 0;

    if (list->kind != CONFIG_LIST)
        return !config_node_is_null(list);
    for (const struct config_node *c = list->first; c; c = c->next)
        n++;
    return n;
}

const struct config_node **
meaning_items(const struct config_node *list, size_t *n)
{
    const struct config_node **items, *c = list->kind == CONFIG_LIST ? list->first : list;

    *n = meaning_count_items(list);
    items = calloc(*n + 1, sizeof(struct config_node *));
    for (size_t i = 0; items && i < *n; i++, c = c->next)
        items[i] = c;
    return items;
}

/* What consists of digits is an index, and `-` the end. */
static bool
can_name(struct slice s)
{
    size_t digits = 0;

    while (digits < s.n && ascii_is_digit(s.at[digits]))
        digits++;
    return digits < s.n && !slice_eq(s, SLICE("-"));
}

struct slice
meaning_identity(struct meaning item, const struct config_node *node)
{
    static const struct slice keys[] = {SLICE_INIT("name"), SLICE_INIT("address")};

    if (item.kind != MEANING_OBJECT && item.kind != MEANING_ANY)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < countof(keys); i++) {
        const struct config_node *n = meaning_member(item, node, keys[i]);

        if (n && n->kind == CONFIG_SCALAR && can_name(n->text) && !config_node_is_null(n))
            return n->text;
    }
    return (struct slice){NULL, 0};
}
