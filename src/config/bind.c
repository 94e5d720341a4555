/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/bind.c - from the tree to structs, led by the tables.
 *
 * All mistakes are to be found in one run, so binding goes on behind each of them: a value that
 * cannot be read leaves its default, an item that cannot be read is left out of its list.  Only a
 * required value that is missing breaks an object; then its check is not run, nor those of the
 * objects around it, which could not rely on what they look at.
 *
 * Every object is checked exactly once, at its final address, after the objects in it.
 */
#include "config/bind.h"

#include "base/check.h"

struct seen {
    uint64_t bits[OPTIONS_MAX / 64];
};

static bool
seen_has(const struct seen *s, size_t i)
{
    return s->bits[i / 64] >> (i % 64) & 1;
}

static void
seen_add(struct seen *s, size_t i)
{
    s->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static void
remember(struct config_bind *b, const void *field, const struct config_node *node,
         enum place_flags flags)
{
    if (!marks_add(&b->loader->config->marks, field, node, flags))
        tree_no_memory(b->loader);
}

/* ------------------------------------------------------------------ one option */

static bool
bind_item(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    if (node->faulty)
        return false;
    if (o->flags & OPTION_SECRET)
        report_secret(b->loader->report, node->mark);
    if (o->kind != &option_objects)
        remember(b, out, node, PLACE_VALUE);
    return o->kind->parse(b, o, node, out);
}

/* True when the item shall stay in its list: a broken object does, as nobody will look at the list.
 * Nothing means absent; in a list, whose items have no names, it is more likely a slip. */
static bool
bind_list_item(struct config_bind *b, const struct option *o, const struct config_node *node,
               void *out, bool *ok)
{
    bool good;

    if (config_node_is_null(node) && (o->flags & OPTION_MAP) && o->kind != &option_objects)
        return false;
    if (config_node_is_null(node) && !(o->flags & OPTION_MAP))
        good = option_error(b, node, NULL, "an item of the list is empty");
    else
        good = bind_item(b, o, node, out);
    *ok &= good;
    return good || o->kind == &option_objects;
}

static bool
bind_items(struct config_bind *b, const struct option *o, const struct config_node *first, size_t n,
           struct option_list *list)
{
    size_t bytes = option_item_bytes(o);
    bool ok = true;

    *list = (struct option_list){NULL, 0};
    if (n == 0)
        return true;
    list->at = arena_calloc(config_bind_arena(b), n, bytes);
    if (!list->at)
        return tree_no_memory(b->loader);
    for (size_t i = 0; i < n; i++, first = first->next) {
        char *out = (char *) list->at + list->n * bytes;

        if (bind_list_item(b, o, first, out, &ok))
            list->n++;
        else
            memset(out, 0, bytes);
    }
    return ok;
}

static size_t
count_members(const struct config_node *node)
{
    size_t n = 0;

    for (const struct config_node *m = node->first; m; m = m->next)
        n++;
    return n;
}

static bool
bind_list(struct config_bind *b, const struct option *o, const struct config_node *node,
          struct option_list *list)
{
    if (node->kind == CONFIG_LIST)
        return bind_items(b, o, node->first, count_members(node), list);
    return bind_items(b, o, node, 1, list);
}

static bool
bind_map(struct config_bind *b, const struct option *o, const struct config_node *node,
         struct option_list *list)
{
    if (node->kind != CONFIG_MAP)
        return option_error(b, node, NULL, "expected a map, found %s", message_found(b, node));
    return bind_items(b, o, node->first, count_members(node), list);
}

/* A failure of the whole option, which its object may survive. */
static bool
is_fatal(const struct option *o)
{
    return o->flags & OPTION_REQUIRED || o->kind == &option_objects;
}

bool
bind_option(struct config_bind *b, const struct bind_type *type, const struct option *o,
            const struct config_node *node, void *object)
{
    void *field = (char *) object + o->offset;
    bool ok;

    if (o->flags & (OPTION_LIST | OPTION_MAP)) {
        remember(b, field, node, PLACE_VALUE);
        if (node->faulty)
            ok = false;
        else if (o->flags & OPTION_MAP)
            ok = bind_map(b, o, node, field);
        else
            ok = bind_list(b, o, node, field);
        return ok || !is_fatal(o);
    }
    if (o->kind == &option_objects)
        remember(b, field, node, PLACE_VALUE);
    ok = bind_item(b, o, node, field);
    if (!ok && object != type->image)
        memcpy(field, (char *) type->image + o->offset, option_field_bytes(o));
    return ok || !is_fatal(o);
}

/* ------------------------------------------------------------------ the members of an object */

static void
report_unknown(struct config_bind *b, const struct bind_type *type,
               const struct config_node *member)
{
    static const struct slice engine[] = {SLICE_INIT("include"), SLICE_INIT("defaults"),
                                          SLICE_INIT("version")};
    struct config_report *r = b->loader->report;
    struct slice names[OPTIONS_MAX + countof(engine)];
    const char *hint = NULL;
    size_t n = 0;

    if (report_keeps(r)) {
        for (size_t i = 0; i < type->n; i++)
            if (!(type->object->options[i].flags & (OPTION_HIDDEN | OPTION_KEY)))
                names[n++] = type->names[i];
        for (size_t i = 0; i < countof(engine) && type->object == b->loader->config->type; i++)
            names[n++] = engine[i];
        hint = config_suggest(&r->arena, member->key, names, n);
        if (!hint)
            hint = n ? message_names(b, "the keys here are", names, n) : "there are no keys here";
    }
    config_report_add(r, CONFIG_ERROR, member->key_mark, hint, "unknown key `%.*s`",
                      SLICE_ARG(member->key));
}

/* keyed: the object stands in a map and has its key from there. */
static bool
bind_members(struct config_bind *b, const struct bind_type *type, const struct config_node *node,
             void *out, bool keyed, struct seen *seen)
{
    bool ok = true;

    for (const struct config_node *m = node->first; m; m = m->next) {
        const struct option *o = type_find(type, m->key);

        if (!o) {
            report_unknown(b, type, m);
        } else if (keyed && o == type->key) {
            config_report_add(b->loader->report, CONFIG_ERROR, m->key_mark, NULL,
                              "`%s` is already given by the key `%.*s`", o->name,
                              SLICE_ARG(node->key));
        } else if (!config_node_is_null(m)) {
            seen_add(seen, (size_t) (o - type->object->options));
            ok &= bind_option(b, type, o, m, out);
        }
    }
    return ok;
}

static bool
require(struct config_bind *b, const struct bind_type *type, const struct config_node *node,
        const struct seen *seen)
{
    bool ok = true;

    for (size_t i = 0; i < type->n && type->has_required && !b->partial; i++) {
        const struct option *o = &type->object->options[i];
        const char *hint = NULL;

        if (!(o->flags & OPTION_REQUIRED) || seen_has(seen, i))
            continue;
        if (o->doc)
            hint = arena_printf(&b->loader->report->arena, "`%s`: %s", o->name, o->doc).at;
        ok = option_error(b, node, hint, "missing key `%s`", o->name);
    }
    return ok;
}

/* ------------------------------------------------------------------ what is absent */

static bool settle(struct config_bind *b, const struct bind_type *type, void *out,
                   const struct seen *seen);

/* An embedded object that is not in the file; lacking something required, it is left alone. */
static bool
settle_embedded(struct config_bind *b, const struct option_object *object, void *out)
{
    static const struct seen nothing;
    const struct bind_type *type = type_of(b, object);

    if (!type || !settle(b, type, out, &nothing))
        return false;
    if (!object->check || type->has_required || b->partial)
        return true;
    return object->check(b, out);
}

static bool
settle_option(struct config_bind *b, const struct bind_type *type, const struct option *o,
              void *out)
{
    const struct option *outer = b->preset;
    const struct config_node *node;
    bool ok;

    if (option_is_embedded(o) && !o->preset)
        return settle_embedded(b, o->object, (char *) out + o->offset);
    if (!o->preset || (o->kind != &option_objects && o->kind != &option_variants))
        return true;
    b->preset = o;
    node = type_preset(b, type, o);
    ok = node && bind_option(b, type, o, node, out);
    b->preset = outer;
    return ok;
}

/* What the image cannot hold of the options that are absent. */
static bool
settle(struct config_bind *b, const struct bind_type *type, void *out, const struct seen *seen)
{
    bool ok = true;

    for (size_t i = 0; i < type->n && type->settles; i++)
        if (!seen_has(seen, i))
            ok &= settle_option(b, type, &type->object->options[i], out);
    return ok;
}

/* ------------------------------------------------------------------ objects */

static bool
fill(struct config_bind *b, const struct bind_type *type, const struct config_node *node, void *out,
     bool keyed, struct seen *seen)
{
    if (node->faulty)
        return false;
    if (node->kind == CONFIG_MAP)
        return bind_members(b, type, node, out, keyed, seen);
    if (config_node_is_null(node))
        return true;
    if (!type->shorthand)
        return option_error(b, node, NULL, "expected a map, found %s", message_found(b, node));
    seen_add(seen, (size_t) (type->shorthand - type->object->options));
    return bind_option(b, type, type->shorthand, node, out);
}

static void
put_key(struct config_bind *b, const struct bind_type *type, const struct config_node *node,
        void *out)
{
    void *field = (char *) out + type->key->offset;

    memcpy(field, &node->key, sizeof(node->key));
    remember(b, field, node, PLACE_KEY);
}

static bool
bind_as(struct config_bind *b, struct bind_type *type, const struct config_node *node, void *out,
        bool keyed)
{
    const struct option_object *object = type->object;
    struct bind_here outer = b->here;
    struct seen seen = {0};
    bool ok;

    type->bound = true;
    memcpy(out, type->image, object->size);
    remember(b, out, node, PLACE_OBJECT);
    if (keyed) {
        put_key(b, type, node, out);
        seen_add(&seen, (size_t) (type->key - object->options));
    }
    b->here = (struct bind_here){node, out, object->size};
    ok = fill(b, type, node, out, keyed, &seen);
    if (ok || node->kind == CONFIG_MAP)
        ok &= require(b, type, node, &seen);
    ok &= settle(b, type, out, &seen);
    if (ok && object->check && !b->partial)
        ok = object->check(b, out);
    b->here = outer;
    return ok;
}

bool
bind_object(struct config_bind *b, const struct option_object *object,
            const struct config_node *node, enum bind_how how, void *out)
{
    struct bind_type *type = type_of(b, object);
    struct config_node *own = (struct config_node *) node; /* of our tree: defaults go in */

    if (!type)
        return false;
    if (how == BIND_EMPTY && !(own = tree_new(b->loader, CONFIG_MAP, node->mark)))
        return false;
    if (!defaults_apply(b, type, own))
        return false;
    return bind_as(b, type, own, out, how == BIND_KEYED && type->key);
}

bool
bind_root(struct loader *l, const struct option_object *type, struct config_node *tree)
{
    struct config_bind b = {.loader = l};
    size_t errors = l->report->errors;
    bool ok;

    l->config->root = arena_calloc(&l->config->arena, 1, type->size + 1);
    if (!l->config->root)
        return tree_no_memory(l);
    if (l->defaults)
        defaults_check(&b, type);
    ok = bind_object(&b, type, tree, BIND_PLAIN, l->config->root);
    if (l->defaults)
        defaults_check_unused(&b, type);
    if (!ok && l->report->errors == errors) /* somebody's check kept its reason to itself */
        option_error(&b, tree, NULL, "the configuration is not valid");
    return l->report->errors == errors;
}
