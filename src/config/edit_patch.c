/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/edit_patch.c - JSON Patch (RFC 6902).
 *
 * Pointers may name items of lists; `add` at a name puts the new item before that one.
 */
#include "config/edit.h"

#include "base/check.h"

struct operation {
    const struct config_node *at;    /* the whole */
    const struct config_node *path, *from;
    struct config_node       *value;
    struct slice              pointer, from_pointer; /* from the root */
};

/* ------------------------------------------------------------------ the operations */

/* Where something can be put. */
static bool
find_room(struct edit *e, const struct operation *o, struct edit_place *p)
{
    if (!edit_walk(e, o->pointer, o->path, p))
        return false;
    if (p->list ? p->position == SIZE_MAX : !p->node && p->parent->kind != CONFIG_MAP)
        return edit_missing(e, p, o->path);
    return true;
}

static bool
patch_add(struct edit *e, struct operation *o)
{
    struct edit_place p;
    struct config_node *value;

    if (!find_room(e, o, &p))
        return false;
    value = edit_settle(e, p.meaning, p.list ? NULL : p.node, o->value);
    if (!value)
        return false;
    return p.list ? edit_insert(e, &p, value) : edit_set(e, &p, value);
}

static bool
find(struct edit *e, struct slice pointer, const struct config_node *at, struct edit_place *p)
{
    return edit_walk(e, pointer, at, p) && (p->node || edit_missing(e, p, at));
}

static bool
patch_replace(struct edit *e, struct operation *o)
{
    struct edit_place p;
    struct config_node *value;

    if (!find(e, o->pointer, o->path, &p))
        return false;
    value = edit_settle(e, p.meaning, p.node, o->value);
    return value && edit_set(e, &p, value);
}

static bool
patch_remove(struct edit *e, struct operation *o)
{
    struct edit_place p;

    return find(e, o->pointer, o->path, &p) && edit_remove(e, &p);
}

static bool
holds_secret(struct meaning m, const struct config_node *node)
{
    if (node->kind == CONFIG_SCALAR)
        return meaning_is_secret(document_scalar_meaning(m)) && !config_node_is_null(node);
    for (const struct config_node *n = node->first; n; n = n->next)
        if (holds_secret(meaning_of_child(m, node, n), n))
            return true;
    return false;
}

/* Who may not see a secret could move it to where it is shown. */
static bool
check_secrets(struct edit *e, const struct operation *o, struct meaning from,
              const struct config_node *value, struct meaning to)
{
    if ((from.kind == to.kind && from.option == to.option && from.object == to.object) ||
        !holds_secret(from, value))
        return true;
    return edit_fail(e, CONFIG_EDIT_SYNTAX, o->path, NULL,
                     "a secret cannot go where something else stands");
}

/* The value goes where the operation says.  was: what it meant. */
static bool
put_there(struct edit *e, const struct operation *o, struct config_node *value, struct meaning was)
{
    struct edit_place p;

    if (!value)
        return edit_no_memory(e);
    value->next = NULL;
    if (!find_room(e, o, &p) || !check_secrets(e, o, was, value, p.meaning))
        return false;
    e->document->moved_asks |= edit_asks(value, -1);
    return p.list ? edit_insert(e, &p, value) : edit_set(e, &p, value);
}

static bool
patch_move(struct edit *e, struct operation *o)
{
    struct slice inside = slice_from(o->pointer, o->from_pointer.n);
    struct config_node *moved;
    struct edit_place p;

    if (slice_eq(o->pointer, o->from_pointer))
        return find(e, o->pointer, o->path, &p);
    if (slice_starts(o->pointer, o->from_pointer) && slice_starts(inside, SLICE("/")))
        return edit_fail(e, CONFIG_EDIT_SYNTAX, o->path, NULL, "a value cannot move into itself");
    if (!find(e, o->from_pointer, o->from, &p))
        return false;
    moved = tree_new(&e->loader, p.node->kind, p.node->mark);
    if (!moved)
        return edit_no_memory(e);
    *moved = *p.node;
    return edit_remove(e, &p) && put_there(e, o, moved, p.meaning);
}

static bool
patch_copy(struct edit *e, struct operation *o)
{
    struct edit_place p;

    return find(e, o->from_pointer, o->from, &p) &&
           put_there(e, o, tree_copy(&e->loader, p.node), p.meaning);
}

static bool
patch_test(struct edit *e, struct operation *o)
{
    struct edit_place p;

    if (!edit_walk(e, o->pointer, o->path, &p) || !p.node) {
        if (e->fault == CONFIG_EDIT_NOT_FOUND) /* already told */
            e->fault = CONFIG_EDIT_CONFLICT;
        return edit_fail(e, CONFIG_EDIT_CONFLICT, o->path, NULL, "there is nothing to test");
    }
    if (meaning_equal(p.meaning, p.node, o->value))
        return true;
    if (p.node->kind == CONFIG_SCALAR && !meaning_is_secret(p.meaning))
        return edit_fail(e, CONFIG_EDIT_CONFLICT, o->value, NULL,
                         "the test failed: there is `%.*s`",
                         SLICE_ARG(slice_first(p.node->text, 100)));
    return edit_fail(e, CONFIG_EDIT_CONFLICT, o->value, NULL,
                     "the test failed: there is something else");
}

/* ------------------------------------------------------------------ reading them */

static const struct {
    struct slice name;
    bool (*run)(struct edit *e, struct operation *o);
    bool needs_value, needs_from;
} operations[] = {
    {SLICE_INIT("add"), patch_add, true, false},
    {SLICE_INIT("remove"), patch_remove, false, false},
    {SLICE_INIT("replace"), patch_replace, true, false},
    {SLICE_INIT("move"), patch_move, false, true},
    {SLICE_INIT("copy"), patch_copy, false, true},
    {SLICE_INIT("test"), patch_test, true, false},
};

/* base + pointer. */
static bool
join(struct edit *e, struct slice base, const struct config_node *pointer, struct slice *out)
{
    if (pointer->text.n && pointer->text.at[0] != '/')
        return edit_fail(e, CONFIG_EDIT_SYNTAX, pointer, "such as `/routes/0/to`",
                         "this is no JSON Pointer");
    *out = arena_printf(&e->scratch, "%.*s%.*s", SLICE_ARG(base), SLICE_ARG(pointer->text));
    return out->at || edit_no_memory(e);
}

/* A member that is a text. */
static const struct config_node *
text_of(struct edit *e, const struct config_node *o, struct slice key)
{
    const struct config_node *n = config_node_get(o, key);

    if (n && n->kind == CONFIG_SCALAR && !config_node_is_null(n))
        return n;
    edit_fail(e, CONFIG_EDIT_SYNTAX, n ? n : o, NULL, "an operation needs `%.*s`, a text",
              SLICE_ARG(key));
    return NULL;
}

static bool
run(struct edit *e, struct slice base, const struct config_node *at)
{
    const struct config_node *name = text_of(e, at, SLICE("op"));
    struct operation o = {.at = at, .path = name ? text_of(e, at, SLICE("path")) : NULL};
    size_t i = 0;

    if (!o.path || !join(e, base, o.path, &o.pointer))
        return false;
    while (i < countof(operations) && !slice_eq(operations[i].name, name->text))
        i++;
    if (i == countof(operations))
        return edit_fail(e, CONFIG_EDIT_SYNTAX, name,
                         "there are `add`, `remove`, `replace`, `move`, `copy` and `test`",
                         "unknown operation `%.*s`", SLICE_ARG(slice_first(name->text, 100)));
    if (operations[i].needs_from) {
        o.from = text_of(e, at, SLICE("from"));
        if (!o.from || !join(e, base, o.from, &o.from_pointer))
            return false;
    }
    o.value = config_node_get(at, SLICE("value"));
    if (operations[i].needs_value && !o.value)
        return edit_fail(e, CONFIG_EDIT_SYNTAX, at, NULL, "the operation needs a `value`");
    if (o.value) {
        struct config_node *alone = tree_new(&e->loader, o.value->kind, o.value->mark);

        if (!alone)
            return edit_no_memory(e);
        *alone = *o.value;
        alone->next = NULL;
        o.value = alone;
    }
    return operations[i].run(e, &o);
}

bool
edit_patch(struct edit *e, struct slice base, const struct config_node *list)
{
    if (list->kind != CONFIG_LIST)
        return edit_fail(e, CONFIG_EDIT_SYNTAX, list,
                         "such as [{\"op\": \"remove\", \"path\": \"/routes/0\"}]",
                         "expected a list of operations, found %s", tree_kind_text(list->kind));
    for (const struct config_node *o = list->first; o; o = o->next)
        if (!run(e, base, o))
            return false;
    return true;
}
