/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/edit.c - the few ways in which nodes of a document are changed, and how they are undone.
 */
#include "config/edit.h"

#include "config/option.h"

#include <stdarg.h>
#include <stdio.h>

enum { SUGGESTIONS_MAX = 1000 };

struct edit_undo {
    struct edit_undo   *next;
    struct config_node *node;
    struct config_node  was;
};

/* ------------------------------------------------------------------ faults */

bool
edit_fail(struct edit *e, enum config_edit_fault fault, const struct config_node *at,
          const char *hint, const char *format, ...)
{
    struct config_mark mark = {0};
    char text[600];
    va_list args;

    if (e->fault)
        return false;
    e->fault = fault;
    if (at && at->mark.file == e->file) {
        mark = at->mark;
        mark.file = e->report_file;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    config_report_add(e->loader.report, CONFIG_ERROR, mark, hint, "%s", text);
    return false;
}

bool
edit_no_memory(struct edit *e)
{
    if (!e->fault)
        e->fault = CONFIG_EDIT_MEMORY;
    return false;
}

bool
edit_asks(const struct config_node *node, int file)
{
    if (node->kind == CONFIG_SCALAR)
        return (file < 0 || node->mark.file == file) && substitute_needed(node->text);
    for (const struct config_node *n = node->first; n; n = n->next)
        if (edit_asks(n, file))
            return true;
    return false;
}

bool
edit_touch(struct edit *e, struct config_node *node)
{
    struct edit_undo *u = arena_alloc(&e->scratch, sizeof(*u));

    if (!u)
        return edit_no_memory(e);
    *u = (struct edit_undo){e->undo, node, *node};
    e->undo = u;
    return true;
}

void
edit_undo(struct edit *e)
{
    for (; e->undo; e->undo = e->undo->next)
        *e->undo->node = e->undo->was;
    document_forget_indexes(e->document);
}

static struct config_node *
new_node(struct edit *e, enum config_node_kind kind, struct config_mark mark)
{
    struct config_node *n = tree_new(&e->loader, kind, mark);

    if (!n)
        edit_no_memory(e);
    return n;
}

/* ------------------------------------------------------------------ what stands for more */

/* The node becomes a container of what it was. */
static bool
wrap(struct edit *e, struct config_node *node, enum config_node_kind kind, struct slice key)
{
    struct config_node *inner = new_node(e, CONFIG_SCALAR, node->mark);

    if (!inner || !edit_touch(e, node))
        return false;
    *inner = *node;
    inner->next = NULL;
    inner->key = key;
    inner->key_mark = node->mark;
    node->kind = kind;
    node->quoted = false;
    node->text = (struct slice){NULL, 0};
    node->first = inner;
    document_forget_index(e->document, node);
    return true;
}

static bool
become_empty(struct edit *e, struct config_node *node, enum config_node_kind kind)
{
    if (!edit_touch(e, node))
        return false;
    node->kind = kind;
    node->text = (struct slice){NULL, 0};
    node->first = NULL;
    return true;
}

bool
edit_expand(struct edit *e, struct meaning m, struct config_node *node, struct slice token)
{
    bool null = config_node_is_null(node);

    switch (m.kind) {
    case MEANING_LIST:
        if (node->kind == CONFIG_LIST)
            return true;
        return null ? become_empty(e, node, CONFIG_LIST)
                    : wrap(e, node, CONFIG_LIST, (struct slice){NULL, 0});
    case MEANING_OBJECT:
        if (node->kind != CONFIG_MAP && !null && m.object->shorthand)
            return wrap(e, node, CONFIG_MAP, slice_str(m.object->shorthand));
        return null ? become_empty(e, node, CONFIG_MAP) : true;
    case MEANING_MAP:
    case MEANING_DEFAULTS: return null ? become_empty(e, node, CONFIG_MAP) : true;
    case MEANING_VARIANT:
        if (node->kind != CONFIG_SCALAR || !slice_eq(node->text, token))
            return true;
        token = node->text; /* which lives as long as the document */
        return wrap(e, node, CONFIG_MAP, token) && become_empty(e, node->first, CONFIG_MAP);
    case MEANING_VALUE:
    case MEANING_ANY: break;
    }
    return true;
}

/* ------------------------------------------------------------------ places */

static const char *
suggest(struct edit *e, const struct edit_place *p)
{
    struct slice *names = arena_calloc(&e->scratch, SUGGESTIONS_MAX, sizeof(*names));
    size_t n = 0;

    if (!names)
        return NULL;
    for (const struct config_node *c = p->parent->first; c && n < SUGGESTIONS_MAX; c = c->next) {
        struct slice name = p->list ? meaning_identity(meaning_of_item(p->in), c) : c->key;

        if (name.at)
            names[n++] = name;
    }
    return config_suggest(&e->loader.report->arena, p->token, names, n);
}

bool
edit_missing(struct edit *e, const struct edit_place *p, const struct config_node *at)
{
    const char *hint = p->parent && p->token.at ? suggest(e, p) : NULL;

    if (!p->token.at)
        return edit_fail(e, CONFIG_EDIT_SYNTAX, at, "such as `/routes/0/to`; ~ is ~0, / is ~1",
                         "this is no JSON Pointer");
    if (p->list && p->token.n && ascii_is_digit(p->token.at[0]) && !hint)
        return edit_fail(e, CONFIG_EDIT_NOT_FOUND, at, NULL, "there is no item %.*s in the list",
                         SLICE_ARG(slice_first(p->token, 100)));
    return edit_fail(e, CONFIG_EDIT_NOT_FOUND, at, hint, "there is no `%.*s`%s",
                     SLICE_ARG(slice_first(p->token, 100)), p->list ? " in the list" : "");
}

/* One token further. */
static bool
step(struct edit *e, struct slice token, struct edit_place *p)
{
    struct config_node *parent = p->node;

    if (!edit_expand(e, p->meaning, parent, token))
        return false;
    p->in = p->meaning;
    p->above = p->parent;
    p->parent = parent;
    p->list = meaning_is_list(p->in, parent);
    p->meaning = p->list ? meaning_of_item(p->in) : meaning_of_member(p->in, token);
    p->token = arena_copy(&e->scratch, token);
    p->depth++;
    p->node = (struct config_node *) document_child(e->document, p->in, parent, token,
                                                    &p->position);
    return p->token.at || edit_no_memory(e);
}

bool
edit_walk(struct edit *e, struct slice pointer, const struct config_node *at, struct edit_place *p)
{
    *p = (struct edit_place){.node = e->document->root,
                             .meaning = meaning_of_root(e->document->type),
                             .position = SIZE_MAX};
    while (pointer.n) {
        char memory[TOKEN_BYTES_MAX];
        struct slice token = document_token(&pointer, memory);

        if (!token.at)
            p->token = token;
        if (!token.at || !p->node)
            return edit_missing(e, p, at);
        if (!step(e, token, p))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ changes */

static size_t
height_of(const struct config_node *node)
{
    size_t height = 0;

    for (const struct config_node *n = node->first; n; n = n->next) {
        size_t h = height_of(n) + 1;

        if (h > height)
            height = h;
    }
    return height;
}

static bool
check_depth(struct edit *e, const struct edit_place *p, const struct config_node *value)
{
    if (p->depth + height_of(value) < DEPTH_MAX)
        return true;
    return edit_fail(e, CONFIG_EDIT_SYNTAX, value, NULL,
                     "more than %d maps and lists inside each other", DEPTH_MAX);
}

static bool
same_identity(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    struct slice one = meaning_identity(m, a), two = meaning_identity(m, b);

    return one.at ? two.at && slice_eq(one, two) : !two.at;
}

/* The node, which stays where it is, is now what the value is. */
static bool
become(struct edit *e, const struct edit_place *p, const struct config_node *value)
{
    struct config_node was = *p->node;

    if (!edit_touch(e, p->node))
        return false;
    document_forget_index(e->document, p->node);
    *p->node = *value;
    p->node->next = was.next;
    p->node->key = was.key;
    p->node->key_mark = was.key_mark;
    if (p->list && !same_identity(p->meaning, &was, p->node))
        document_forget_index(e->document, p->parent);
    return true;
}

/* The name of the item of a list, of which a member is about to be changed. */
static struct slice
name_before(const struct edit_place *p)
{
    return p->above ? meaning_identity(p->in, p->parent) : (struct slice){NULL, 0};
}

static void
note_name(struct edit *e, const struct edit_place *p, struct slice before)
{
    if (p->above && p->above->kind == CONFIG_LIST)
        document_index_rename(e->document, p->in, p->above, before, p->parent);
}

static bool
link_behind(struct edit *e, struct config_node *parent, struct config_node *before,
            struct config_node *node)
{
    if (!edit_touch(e, before ? before : parent))
        return false;
    if (before) {
        node->next = before->next;
        before->next = node;
    } else {
        node->next = parent->first;
        parent->first = node;
    }
    return true;
}

static struct config_node *
last_of(const struct config_document *d, struct config_node *parent, size_t *position)
{
    const struct document_index *index = document_index(d, parent);
    struct config_node *last = parent->first;

    *position = 0;
    if (index) {
        *position = index->n;
        return index->items[index->n - 1];
    }
    for (; last && last->next; last = last->next)
        ++*position;
    *position += last != NULL;
    return last;
}

static bool
append_member(struct edit *e, const struct edit_place *p, struct config_node *value)
{
    size_t position;
    struct config_node *last = last_of(e->document, p->parent, &position);

    if (p->parent->kind != CONFIG_MAP)
        return edit_missing(e, p, NULL);
    if (!value->key.at || !slice_eq(value->key, p->token))
        value->key_mark = value->mark;
    value->key = tree_key(&e->loader, p->token);
    if (!value->key.at)
        return edit_no_memory(e);
    if (!link_behind(e, p->parent, last, value))
        return false;
    document_index_insert(e->document, p->in, p->parent, position, value);
    return true;
}

bool
edit_set(struct edit *e, const struct edit_place *p, struct config_node *value)
{
    struct slice name = name_before(p);
    bool good;

    if (!check_depth(e, p, value))
        return false;
    if (p->node)
        good = become(e, p, value);
    else
        good = p->list ? edit_insert(e, p, value) : append_member(e, p, value);
    note_name(e, p, name);
    return good;
}

bool
edit_insert(struct edit *e, const struct edit_place *p, struct config_node *value)
{
    struct config_node *before = NULL;
    size_t ignored;

    if (p->position == SIZE_MAX)
        return edit_missing(e, p, NULL);
    if (!check_depth(e, p, value))
        return false;
    if (p->node)
        before = document_before(e->document, p->parent, p->node, &ignored);
    else
        before = last_of(e->document, p->parent, &ignored);
    value->key = (struct slice){NULL, 0};
    if (!link_behind(e, p->parent, before, value))
        return false;
    document_index_insert(e->document, p->in, p->parent, p->position, value);
    return true;
}

bool
edit_remove(struct edit *e, const struct edit_place *p)
{
    struct config_node *before;
    struct slice name = name_before(p);
    size_t position;

    if (!p->parent) { /* the whole */
        document_forget_indexes(e->document);
        return become_empty(e, p->node, CONFIG_MAP);
    }
    before = document_before(e->document, p->parent, p->node, &position);
    if (!edit_touch(e, before ? before : p->parent))
        return false;
    document_index_remove(e->document, p->in, p->parent, position);
    if (before)
        before->next = p->node->next;
    else
        p->parent->first = p->node->next;
    note_name(e, p, name);
    return true;
}
