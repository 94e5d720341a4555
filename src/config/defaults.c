/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/defaults.c - `defaults: {route: {...}}`.
 *
 * They are merged into the tree, not into structs, so that an object ends up exactly as though the
 * user had written them in it.
 */
#include "config/bind.h"
#include "config/describe.h"

#include <stdlib.h>

static const struct option_object *
find_object(const struct description *d, struct slice name)
{
    const struct option_object *found = NULL;

    for (size_t i = 0; i < d->n; i++)
        if (slice_eq(slice_str(d->types[i].object->name), name) &&
            (!found || d->types[i].object->takes_defaults))
            found = d->types[i].object;
    return found;
}

static void
report_unknown(struct config_bind *b, const struct description *d, const struct config_node *member,
               bool exists)
{
    struct config_report *r = b->loader->report;
    struct slice *names = calloc(d->n + 1, sizeof(*names));
    const char *hint = NULL;
    size_t n = 0;

    for (size_t i = 0; i < d->n && names; i++)
        if (d->types[i].object->takes_defaults)
            names[n++] = slice_str(d->types[i].object->name);
    if (n && !exists)
        hint = config_suggest(&r->arena, member->key, names, n);
    if (n && !hint)
        hint = message_names(b, "defaults are there for", names, n);
    config_report_add(r, CONFIG_ERROR, member->key_mark, hint,
                      exists ? "`%.*s` takes no defaults" : "unknown object `%.*s` in `defaults`",
                      SLICE_ARG(member->key));
    free(names);
}

static void
check_member(struct config_bind *b, const struct description *d, const struct config_node *member)
{
    const struct option_object *object = find_object(d, member->key);

    if (!object || !object->takes_defaults)
        report_unknown(b, d, member, object != NULL);
    else if (member->kind != CONFIG_MAP && !config_node_is_null(member) && !member->faulty)
        option_error(b, member, NULL, "expected a map, found %s", message_found(b, member));
}

void
defaults_check(struct config_bind *b, const struct option_object *root)
{
    const struct config_node *all = b->loader->defaults;
    struct description d;

    if (all->kind != CONFIG_MAP) {
        if (!config_node_is_null(all) && !all->faulty)
            option_error(b, all, NULL, "expected a map, found %s", message_found(b, all));
        return;
    }
    if (describe(&d, root))
        for (const struct config_node *m = all->first; m; m = m->next)
            check_member(b, &d, m);
    else
        tree_no_memory(b->loader);
    describe_free(&d);
}

static void
try_alone(struct config_bind *b, const struct option_object *object)
{
    const struct config_node *d = config_node_get(b->loader->defaults, slice_str(object->name));
    struct bind_type *type = d && d->kind == CONFIG_MAP ? type_of(b, object) : NULL;
    void *scratch;

    if (!type || type->bound)
        return;
    scratch = arena_calloc(config_bind_arena(b), 1, object->size + 1);
    if (scratch)
        bind_object(b, object, d, BIND_PLAIN, scratch);
    else
        tree_no_memory(b->loader);
}

void
defaults_check_unused(struct config_bind *b, const struct option_object *root)
{
    struct description d;

    b->partial = true;
    if (describe(&d, root)) {
        for (size_t i = 0; i < d.n; i++)
            if (d.types[i].object->takes_defaults)
                try_alone(b, d.types[i].object);
    } else {
        tree_no_memory(b->loader);
    }
    describe_free(&d);
    b->partial = false;
}

/* A shorthand becomes the map that it stands for. */
static bool
write_out(struct loader *l, const struct bind_type *type, struct config_node *node)
{
    struct config_node *member;

    if (config_node_is_null(node)) {
        node->kind = CONFIG_MAP;
        return true;
    }
    if (node->kind == CONFIG_MAP || !type->shorthand)
        return true;
    member = tree_new(l, node->kind, node->mark);
    if (!member)
        return false;
    *member = *node;
    member->next = NULL;
    member->key = slice_str(type->shorthand->name);
    member->key_mark = node->mark;
    node->kind = CONFIG_MAP;
    node->first = member;
    return true;
}

bool
defaults_apply(struct config_bind *b, const struct bind_type *type, struct config_node *node)
{
    const struct config_node *d;

    if (!type->object->takes_defaults || node->faulty)
        return true;
    d = config_node_get(b->loader->defaults, slice_str(type->object->name));
    if (!d || d->kind != CONFIG_MAP)
        return true;
    if (!write_out(b->loader, type, node))
        return false;
    return node->kind != CONFIG_MAP || merge_defaults(b->loader, node, d);
}
