/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan_values.c - two configurations compared in meaning, led by the tables of options.
 *
 * Items of lists and maps are found again by their key, or by what names such an item (`name`,
 * `address`, ...), or else by their place.  Values whose kind is known here are compared as they
 * were bound, all others by what was written, after replacements.
 */
#include "base/check.h"
#include "control/plan_parts.h"

/* ------------------------------------------------------------------ single values */

static bool
is_plain_kind(const struct option_kind *kind)
{
    return kind == &option_bool || kind == &option_int || kind == &option_bytes ||
           kind == &option_duration || kind == &option_rate_kind || kind == &option_percent ||
           kind == &option_choice || kind == &option_network;
}

static bool
is_known_kind(const struct option_kind *kind)
{
    return is_plain_kind(kind) || kind == &option_string || kind == &option_address;
}

static bool
same_value(const struct option_kind *kind, const void *a, const void *b)
{
    const struct slice *one = a, *other = b;

    if (is_plain_kind(kind))
        return memcmp(a, b, kind->size) == 0;
    if (kind == &option_address)
        return address_eq(a, b);
    return slice_is_present(*one) == slice_is_present(*other) && slice_eq(*one, *other);
}

static bool
same_values(const struct option_kind *kind, const struct option_list *a,
            const struct option_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_value(kind, (const char *) a->at + i * kind->size,
                        (const char *) b->at + i * kind->size))
            return false;
    return true;
}

static size_t
count_members(const struct config_node *node)
{
    size_t n = 0;

    for (const struct config_node *m = node->first; m; m = m->next)
        n++;
    return n;
}

/* The order of a map's members says nothing. */
static bool
same_nodes(const struct config_node *a, const struct config_node *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == CONFIG_SCALAR)
        return slice_eq(a->text, b->text);
    if (count_members(a) != count_members(b))
        return false;
    for (const struct config_node *m = a->first, *other = b->first; m;
         m = m->next, other = other->next) {
        const struct config_node *twin = other;

        if (a->kind == CONFIG_MAP && !slice_eq(m->key, other->key))
            twin = config_node_get(b, m->key);
        if (!twin || !same_nodes(m, twin))
            return false;
    }
    return true;
}

/* One that is absent is what its default says. */
static bool
same_written(const struct option *o, const struct config_node *a, const struct config_node *b)
{
    const struct config_node *there = a ? a : b;

    if (a && b)
        return same_nodes(a, b);
    if (!there)
        return true;
    return o->preset && there->kind == CONFIG_SCALAR &&
           slice_eq(there->text, slice_str(o->preset));
}

/* ------------------------------------------------------------------ telling */

/* "site.yaml:12:5"; absent when it stands in no file. */
static struct slice
place_text(struct plan *p, const struct config *c, struct config_mark mark)
{
    if (!mark.line)
        return (struct slice){NULL, 0};
    return arena_printf(&p->arena, "%.*s:%u:%u", SLICE_ARG(c->files[mark.file].path), mark.line,
                        mark.column);
}

/* Of a value; on the new side if it is there. */
static struct slice
where_of(struct plan *p, const void *a, const void *b)
{
    const void *const fields[PLAN_SIDES] = {a, b};

    for (int side = PLAN_AFTER; side >= PLAN_BEFORE; side--) {
        const struct config *c = p->snapshot[side]->config;
        struct slice where = {NULL, 0};

        if (fields[side])
            where = place_text(p, c, config_where(c, fields[side]));
        if (where.n)
            return where;
    }
    return (struct slice){NULL, 0};
}

struct slice
plan_where_object(struct plan *p, enum plan_side side, const void *object)
{
    const struct config *c = p->snapshot[side]->config;
    struct config_mark mark = config_where_object(c, object);

    return place_text(p, c, mark.line ? mark : config_where(c, object));
}

static void
note_changed(struct plan *p, const struct option *o, const void *a, const void *b,
             const struct config_node *na, const struct config_node *nb)
{
    struct slice before = plan_value_text(p, PLAN_BEFORE, o, na);
    struct slice after = plan_value_text(p, PLAN_AFTER, o, nb);

    if (slice_is_present(after) && slice_eq(before, after) && !(o->flags & OPTION_SECRET)) {
        after = arena_printf(&p->arena, "%.*s (what it stands for changed)", SLICE_ARG(after));
        p->no_memory |= !after.at;
    }
    plan_note(p, PLAN_CHANGED, before, after, where_of(p, a, b));
    if (o->doc && strstr(o->doc, "Read at start only"))
        plan_warn(p, "`%.*s` is read at the start only: it needs a restart",
                  SLICE_ARG(p->path[p->depth - 1].key));
}

/* ------------------------------------------------------------------ the path */

static bool
push(struct plan *p, struct plan_segment segment)
{
    if (p->depth == PLAN_DEPTH_MAX)
        return false;
    p->path[p->depth++] = segment;
    return true;
}

static void
pop(struct plan *p)
{
    p->depth--;
}

struct plan_entity
plan_enter(struct plan *p, struct slice what, struct plan_segment segment)
{
    struct plan_entity outer = p->entity;

    p->entity = (struct plan_entity){.what = what, .name = segment.key, .about = outer.about};
    if (outer.name.n)
        p->entity.name = arena_printf(&p->arena, "%.*s/%.*s", SLICE_ARG(outer.name),
                                      SLICE_ARG(segment.key));
    p->no_memory |= !p->entity.name.at;
    if (!push(p, segment)) /* deeper than any table is: told at the last place that there is */
        p->path[p->depth - 1] = segment;
    p->entity.depth = p->depth;
    return outer;
}

void
plan_leave(struct plan *p, struct plan_entity outer)
{
    p->entity = outer;
    pop(p);
}

/* ------------------------------------------------------------------ items */

struct item {
    struct slice              key;
    const void               *at;
    const struct config_node *node; /* NULL when it is not known */
    size_t                    index;
    struct item              *twin; /* on the other side */
};

struct items {
    struct item *at;
    size_t       n;
    struct map   by_key;
};

/* A single item stands for a list of one. */
static const struct config_node *
first_node(const struct option *o, const struct config_node *node)
{
    if (!node || (!(o->flags & OPTION_MAP) && node->kind != CONFIG_LIST))
        return node;
    return node->first;
}

static size_t
item_bytes(const struct option *o)
{
    return o->kind == &option_objects ? o->object->size : o->kind->size;
}

/* What names an object: its key, or one of these. */
static struct slice
name_of(const struct option_object *type, const void *object)
{
    static const char *const names[] = {"name", "address", "srv", "file", "to", "url", "path"};

    for (const struct option *o = type->options; o && o->name; o++)
        if (o->flags & OPTION_KEY)
            return *(const struct slice *) (const void *) ((const char *) object + o->offset);
    for (size_t i = 0; i < countof(names); i++)
        for (const struct option *o = type->options; o && o->name; o++) {
            const void *field = (const char *) object + o->offset;

            if (o->kind == &option_string && !(o->flags & (OPTION_LIST | OPTION_MAP)) &&
                strcmp(o->name, names[i]) == 0 && ((const struct slice *) field)->n)
                return *(const struct slice *) field;
        }
    return (struct slice){NULL, 0};
}

static struct slice
key_of(struct plan *p, const struct option *o, const struct item *item)
{
    struct slice key = {NULL, 0};

    if (o->kind == &option_variants)
        key = slice_str(((const struct option_variant *) item->at)->object->name);
    else
        key = name_of(o->object, item->at);
    if (!key.n && (o->flags & OPTION_MAP) && item->node)
        key = item->node->key;
    return key.n ? key : arena_printf(&p->arena, "%zu", item->index);
}

/* The second `headers` of a chain is headers#2. */
static struct slice
unique(struct plan *p, const struct map *taken, struct slice key)
{
    struct slice made = key;

    for (unsigned i = 2; made.at && map_get(taken, made) && i < 1000; i++)
        made = arena_printf(&p->arena, "%.*s#%u", SLICE_ARG(key), i);
    return made;
}

static bool
list_items(struct plan *p, const struct option *o, const struct option_list *list,
           const struct config_node *node, struct items *out)
{
    const struct config_node *n = first_node(o, node);

    *out = (struct items){.at = arena_calloc(&p->arena, list->n + 1, sizeof(*out->at)),
                          .n = list->n};
    for (size_t i = 0; out->at && i < list->n; i++, n = n ? n->next : NULL) {
        struct item *item = &out->at[i];

        item->at = (const char *) list->at + i * item_bytes(o);
        item->node = n;
        item->index = i;
        item->key = unique(p, &out->by_key, key_of(p, o, item));
        if (!item->key.at || !map_put(&out->by_key, item->key, item))
            break;
        if (i + 1 == list->n)
            return true;
    }
    p->no_memory |= !out->at || list->n > 0;
    return list->n == 0;
}

static struct slice
what_of(const struct option *o)
{
    if (o->kind == &option_variants)
        return strcmp(o->name, "use") == 0 ? SLICE("middleware") : slice_str(o->name);
    return slice_str(o->object->name);
}

static const struct config_node *
node_of_variant(const struct config_node *node)
{
    return node && node->kind == CONFIG_MAP ? node->first : NULL;
}

static void
compare_variants(struct plan *p, const struct option_variant *a, const struct option_variant *b,
                 const struct config_node *na, const struct config_node *nb)
{
    struct plan_segment name = {.key = slice_str(a->object->name)};

    if (!push(p, name))
        return;
    plan_compare_object(p, a->object, a->value, b->value, node_of_variant(na),
                        node_of_variant(nb));
    pop(p);
}

static void
compare_item(struct plan *p, const struct option *o, const struct item *a, const struct item *b)
{
    struct plan_segment segment = {.key = b->key,
                                   .indexed = !(o->flags & OPTION_MAP),
                                   .at = {a->index, b->index}};
    struct plan_entity outer = plan_enter(p, what_of(o), segment);

    if (o->kind == &option_variants) {
        p->entity.depth++; /* its name is in both */
        compare_variants(p, a->at, b->at, a->node, b->node);
    } else {
        plan_compare_object(p, o->object, a->at, b->at, a->node, b->node);
    }
    plan_leave(p, outer);
}

/* What says no more than the key does need not be told. */
static struct slice
without_key(struct slice text, struct slice key)
{
    bool same = text.n == key.n + 2 && text.at[0] == '"' &&
                slice_eq(slice_of(text.at + 1, key.n), key);

    return same ? (struct slice){NULL, 0} : text;
}

static void
note_item(struct plan *p, const struct option *o, const struct item *item, enum plan_side side)
{
    struct plan_segment segment = {.key = item->key,
                                   .indexed = !(o->flags & OPTION_MAP),
                                   .at = {item->index, item->index}};
    struct plan_entity outer = plan_enter(p, what_of(o), segment);
    struct slice text = without_key(plan_whole_text(p, side), item->key);
    struct slice absent = {NULL, 0}, where = plan_where_object(p, side, item->at);

    if (side == PLAN_AFTER)
        plan_note(p, PLAN_ADDED, absent, text, where);
    else
        plan_note(p, PLAN_REMOVED, text, absent, where);
    plan_leave(p, outer);
}

/* The names of those that are on both sides, in their order. */
static struct slice
order_of(struct plan *p, const struct items *items)
{
    struct slice copy;
    struct text t;

    text_init(&t, 64 * 1024);
    for (size_t i = 0; i < items->n; i++)
        if (items->at[i].twin) {
            if (t.n)
                text_literal(&t, ", ");
            text_put(&t, items->at[i].key);
        }
    copy = plan_copy(p, t.n ? text_slice(&t) : SLICE(""));
    text_free(&t);
    return copy;
}

/* Middleware in another order is another chain. */
static void
compare_order(struct plan *p, const struct items *a, const struct items *b)
{
    size_t last = 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct item *twin = b->at[i].twin;

        if (!twin)
            continue;
        if (twin->index < last) {
            plan_note(p, PLAN_MOVED, order_of(p, a), order_of(p, b),
                      where_of(p, NULL, b->at[i].at));
            return;
        }
        last = twin->index;
    }
}

static void
compare_paired(struct plan *p, const struct option *o, struct items *a, struct items *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct item *old = map_get(&a->by_key, b->at[i].key);

        b->at[i].twin = old;
        if (old)
            old->twin = &b->at[i];
    }
    for (size_t i = 0; i < b->n; i++)
        if (b->at[i].twin)
            compare_item(p, o, b->at[i].twin, &b->at[i]);
        else
            note_item(p, o, &b->at[i], PLAN_AFTER);
    for (size_t i = 0; i < a->n; i++)
        if (!a->at[i].twin)
            note_item(p, o, &a->at[i], PLAN_BEFORE);
    if (o->kind == &option_variants)
        compare_order(p, a, b);
}

static void
compare_items(struct plan *p, const struct option *o, const struct option_list *a,
              const struct option_list *b, const struct config_node *na,
              const struct config_node *nb)
{
    struct items before = {0}, after = {0};

    if (list_items(p, o, a, na, &before) && list_items(p, o, b, nb, &after))
        compare_paired(p, o, &before, &after);
    map_free(&before.by_key);
    map_free(&after.by_key);
}

/* ------------------------------------------------------------------ options */

static void
compare_list(struct plan *p, const struct option *o, const void *a, const void *b,
             const struct config_node *na, const struct config_node *nb)
{
    if (o->object == &route_object && p->depth == 1)
        plan_compare_routes(p, na, nb);
    else if (o->kind == &option_objects || o->kind == &option_variants)
        compare_items(p, o, a, b, na, nb);
    else if (is_known_kind(o->kind) ? !same_values(o->kind, a, b) : !same_written(o, na, nb))
        note_changed(p, o, a, b, na, nb);
}

static void
compare_pointers(struct plan *p, const struct option *o, const void *a, const void *b,
                 const struct config_node *na, const struct config_node *nb)
{
    const void *one = *(const void *const *) a, *other = *(const void *const *) b;

    if (one && other)
        plan_compare_object(p, o->object, one, other, na, nb);
    else if (one || other)
        note_changed(p, o, a, b, na, nb);
}

static void
compare_variant(struct plan *p, const struct option *o, const void *a, const void *b,
                const struct config_node *na, const struct config_node *nb)
{
    const struct option_variant *one = a, *other = b;

    if (one->object != other->object)
        note_changed(p, o, a, b, na, nb);
    else if (one->object)
        compare_variants(p, one, other, na, nb);
}

/* A route without a name is called after its place. */
static bool
is_made_up(const struct option_object *type, const struct option *o, const struct config_node *na,
           const struct config_node *nb)
{
    return type == &route_object && strcmp(o->name, "name") == 0 && !na && !nb;
}

static void
compare_option(struct plan *p, const struct option_object *type, const struct option *o,
               const void *a, const void *b, const struct config_node *na,
               const struct config_node *nb)
{
    if (o->flags & (OPTION_LIST | OPTION_MAP))
        compare_list(p, o, a, b, na, nb);
    else if (o->kind == &option_objects && o->flags & OPTION_POINTER)
        compare_pointers(p, o, a, b, na, nb);
    else if (o->kind == &option_objects)
        plan_compare_object(p, o->object, a, b, na, nb);
    else if (o->kind == &option_variants)
        compare_variant(p, o, a, b, na, nb);
    else if (is_made_up(type, o, na, nb))
        return;
    else if (is_known_kind(o->kind) ? !same_value(o->kind, a, b) : !same_written(o, na, nb))
        note_changed(p, o, a, b, na, nb);
}

static const struct config_node *
member_of(const struct option_object *type, const struct config_node *node, const struct option *o)
{
    const struct config_node *m = node;

    if (!node)
        return NULL;
    if (node->kind == CONFIG_MAP)
        m = config_node_get(node, slice_str(o->name));
    else if (!type->shorthand || strcmp(type->shorthand, o->name) != 0)
        return NULL;
    return m && !config_node_is_null(m) ? m : NULL;
}

void
plan_compare_object(struct plan *p, const struct option_object *type, const void *a, const void *b,
                    const struct config_node *na, const struct config_node *nb)
{
    const struct option_object *outer = p->defaults;
    size_t outer_depth = p->defaults_depth;

    if (type->takes_defaults) {
        p->defaults = type;
        p->defaults_depth = p->depth;
    }
    for (const struct option *o = type->options; o && o->name; o++) {
        if (o->flags & (OPTION_KEY | OPTION_HIDDEN) ||
            !push(p, (struct plan_segment){.key = slice_str(o->name)}))
            continue;
        compare_option(p, type, o, (const char *) a + o->offset, (const char *) b + o->offset,
                       member_of(type, na, o), member_of(type, nb, o));
        pop(p);
    }
    p->defaults = outer;
    p->defaults_depth = outer_depth;
}

/* ------------------------------------------------------------------ the top */

static void
compare_section(struct plan *p, const struct option_object *type, const struct option *o)
{
    const struct config *before = p->snapshot[PLAN_BEFORE]->config;
    const struct config *after = p->snapshot[PLAN_AFTER]->config;
    bool items = o->flags & (OPTION_LIST | OPTION_MAP);

    p->depth = 0;
    (void) push(p, (struct plan_segment){.key = slice_str(o->name)});
    p->entity = (struct plan_entity){.what = slice_str(o->name), .name = SLICE(""), .depth = 1};
    if (!items && o->kind != &option_objects)
        p->entity = (struct plan_entity){SLICE("option"), slice_str(o->name), {NULL, 0}, 1};
    compare_option(p, type, o, (const char *) before->root + o->offset,
                   (const char *) after->root + o->offset, member_of(type, before->tree, o),
                   member_of(type, after->tree, o));
}

void
plan_compare(struct plan *p)
{
    const struct option_object *type = p->snapshot[PLAN_AFTER]->config->type;

    CHECK(type == p->snapshot[PLAN_BEFORE]->config->type);
    for (const struct option *o = type->options; o && o->name; o++)
        compare_section(p, type, o);
}
