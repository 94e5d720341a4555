/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/structure.c - the kinds that are made of other values: objects, variants, pairs, anything.
 */
#include "config/bind.h"

#include "base/check.h"

static void
any_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{}");
}

/* ------------------------------------------------------------------ objects */

static bool
objects_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
              void *out)
{
    bool apart = (o->flags & OPTION_POINTER) && !(o->flags & (OPTION_LIST | OPTION_MAP));
    enum bind_how how = o->flags & OPTION_MAP ? BIND_KEYED : BIND_PLAIN;
    void *object;

    if (!apart)
        return bind_object(b, o->object, node, how, out);
    object = arena_calloc(config_bind_arena(b), 1, o->object->size + 1);
    if (!object)
        return tree_no_memory(b->loader);
    if (!bind_object(b, o->object, node, how, object))
        return false;
    memcpy(out, &object, sizeof(object));
    return true;
}

const struct option_kind option_objects = {
    .name = "object",
    .syntax = "a map of its own keys",
    .size = sizeof(void *), /* the table's object says it when it is not a pointer */
    .parse = objects_parse,
    .schema = any_schema,
};

/* ------------------------------------------------------------------ variants */

static const struct option_object *
find_variant(const struct option *o, struct slice name)
{
    for (const struct option_object *const *v = o->variants; *v; v++)
        if (slice_eq(slice_str((*v)->name), name))
            return *v;
    return NULL;
}

static bool
unknown_variant(struct config_bind *b, const struct option *o, struct config_mark mark,
                struct slice name)
{
    struct config_node where = {.mark = mark};
    struct slice names[OPTIONS_MAX];
    const char *hint;
    size_t n = 0;

    for (const struct option_object *const *v = o->variants; *v && n < countof(names); v++)
        names[n++] = slice_str((*v)->name);
    hint = config_suggest(&b->loader->report->arena, name, names, n);
    if (!hint)
        hint = message_names(b, "one of", names, n);
    return option_error(b, &where, hint, "unknown `%.*s` in `%s`", SLICE_ARG(name), o->name);
}

static bool
several_variants(struct config_bind *b, const struct option *o, const struct config_node *first)
{
    struct config_node where = {.mark = first->next->key_mark};
    const char *hint = o->flags & OPTION_LIST ? "start every item of the list with a dash" : NULL;

    return option_error(b, &where, hint, "expected one name, found `%.*s` and `%.*s`",
                        SLICE_ARG(first->key), SLICE_ARG(first->next->key));
}

static bool
bind_variant(struct config_bind *b, const struct option_object *object,
             const struct config_node *node, enum bind_how how, struct option_variant *out)
{
    void *value = arena_calloc(config_bind_arena(b), 1, object->size + 1);

    if (!value)
        return tree_no_memory(b->loader);
    if (!bind_object(b, object, node, how, value))
        return false;
    *out = (struct option_variant){object, value};
    return true;
}

static bool
variants_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
               void *out)
{
    const struct config_node *value = node->first;
    const struct option_object *object;

    if (node->kind == CONFIG_SCALAR) {
        object = find_variant(o, node->text);
        return object ? bind_variant(b, object, node, BIND_EMPTY, out)
                      : unknown_variant(b, o, node->mark, node->text);
    }
    if (node->kind != CONFIG_MAP)
        return option_error(b, node, NULL, "expected a name, or a map with one, found a list");
    if (!value)
        return option_error(b, node, NULL, "expected a name, found an empty map");
    if (value->next)
        return several_variants(b, o, value);
    object = find_variant(o, value->key);
    if (!object)
        return unknown_variant(b, o, value->key_mark, value->key);
    return bind_variant(b, object, value, config_node_is_null(value) ? BIND_EMPTY : BIND_PLAIN,
                        out);
}

const struct option_kind option_variants = {
    .name = "name",
    .syntax = "`name`, or `name: {...}` with its own keys",
    .size = sizeof(struct option_variant),
    .parse = variants_parse,
    .schema = any_schema,
};

/* ------------------------------------------------------------------ pairs */

static bool
pairs_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    struct option_pair *pair = out;

    if (!(o->flags & OPTION_MAP)) { /* in a list, or alone: a map with one key */
        if (node->kind != CONFIG_MAP || !node->first || node->first->next)
            return option_error(b, node, NULL, "expected a map with one key, found %s",
                                node->kind == CONFIG_MAP ? "several or none"
                                                         : message_found(b, node));
        node = node->first;
    }
    if (node->kind != CONFIG_SCALAR)
        return option_error(b, node, NULL, "expected a string, found %s", message_found(b, node));
    *pair = (struct option_pair){node->key, node->text};
    return true;
}

static void
pairs_schema(const struct option *o, struct text *out)
{
    if (o->flags & OPTION_MAP)
        text_literal(out, "{\"type\":[\"string\",\"number\",\"boolean\"]}");
    else
        text_literal(out,
                     "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,"
                     "\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}");
}

const struct option_kind option_pairs = {
    .name = "string",
    .syntax = "`name: value`",
    .size = sizeof(struct option_pair),
    .parse = pairs_parse,
    .schema = pairs_schema,
};

/* ------------------------------------------------------------------ anything */

static bool
any_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    (void) b;
    (void) o;
    memcpy(out, &node, sizeof(node));
    return true;
}

const struct option_kind option_any = {
    .name = "any value",
    .syntax = "any YAML",
    .size = sizeof(struct config_node *),
    .parse = any_parse,
    .schema = any_schema,
};
