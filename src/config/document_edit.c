/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_edit.c - changes, from their texts to the tree.
 */
#include "config/edit.h"

/* ------------------------------------------------------------------ the text */

/* Places in the text are those of its file in the document. */
static void
place_in(struct config_node *node, uint16_t file)
{
    node->mark.file = node->key_mark.file = file;
    for (struct config_node *n = node->first; n; n = n->next)
        place_in(n, file);
}

static struct slice
main_path(const struct config_document *d)
{
    return d->n_files ? d->files[0].path : SLICE("");
}

static bool
add_files(struct edit *e, struct slice name, struct slice text)
{
    struct config_report *r = e->loader.report;
    struct slice base = main_path(e->document);
    int in_report = report_add_file(r, name, text);
    int file = document_add_file(e->document, name, text, base);

    if (in_report < 0 || file < 0)
        return edit_no_memory(e);
    r->files[in_report].base = arena_copy(&r->arena, base);
    e->report_file = (uint16_t) in_report;
    e->file = (uint16_t) file;
    return true;
}

/* JSON, or else YAML.  NULL after a fault. */
static struct config_node *
parse(struct edit *e, const char *name, struct slice text)
{
    struct config_report *r = e->loader.report;
    size_t errors = r->errors;
    struct config_node *tree;

    if (slice_starts(text, SLICE("\xEF\xBB\xBF")))
        text = slice_from(text, 3);
    if (!add_files(e, slice_str(name), text.at ? text : SLICE("")))
        return NULL;
    if (slice_trim(text).n == 0) {
        edit_fail(e, CONFIG_EDIT_SYNTAX, NULL, NULL, "%s is empty", name);
        return NULL;
    }
    tree = tree_parse_json(&e->loader, text, e->report_file);
    if (!tree && !e->loader.failed)
        tree = yaml_parse(&e->loader, r->files[e->report_file].text, e->report_file);
    if (r->errors > errors) /* reported where it was found */
        e->fault = CONFIG_EDIT_SYNTAX;
    else if (!tree)
        edit_no_memory(e);
    if (!tree || e->fault)
        return NULL;
    place_in(tree, e->file);
    return tree;
}

/* ------------------------------------------------------------------ names of items */

/* The option that an item of such a list is named by; NULL: there is none. */
static const char *
naming_option(struct meaning item)
{
    static const char *const options[] = {"name", "address"};

    for (size_t i = 0; i < 2 && item.kind == MEANING_OBJECT; i++)
        if (meaning_of_member(item, slice_str(options[i])).kind == MEANING_VALUE)
            return options[i];
    return NULL;
}

static bool
is_name(struct slice token)
{
    size_t digits = 0;

    while (digits < token.n && ascii_is_digit(token.at[digits]))
        digits++;
    return digits < token.n && !slice_eq(token, SLICE("-"));
}

/* An item that does not say its name takes it from its pointer. */
static bool
name_item(struct edit *e, const struct edit_place *p, struct config_node *value)
{
    const char *option = naming_option(p->meaning);
    struct config_node *name;

    if (!option || value->kind != CONFIG_MAP || meaning_identity(p->meaning, value).at)
        return true;
    name = tree_new(&e->loader, CONFIG_SCALAR, value->mark);
    if (!name)
        return edit_no_memory(e);
    name->text = tree_text(&e->loader, p->token);
    name->quoted = true;
    name->key = slice_str(option);
    name->key_mark = value->mark;
    name->next = value->first;
    value->first = name;
    return name->text.at || edit_no_memory(e);
}

/* Another item has the name already. */
static bool
refuse_twin(struct edit *e, const struct edit_place *p, const struct config_node *value)
{
    struct slice name = meaning_identity(p->meaning, value);
    const struct config_node *twin = NULL;
    size_t ignored;

    if (name.at)
        twin = document_child(e->document, p->in, p->parent, name, &ignored);
    if (!twin || twin == p->node)
        return true;
    return edit_fail(e, CONFIG_EDIT_CONFLICT, value, NULL, "there is a `%.*s` already",
                     SLICE_ARG(slice_first(name, 100)));
}

/* ------------------------------------------------------------------ changes */

static bool
put_new_item(struct edit *e, struct edit_place *p, struct config_node *value)
{
    struct slice name = meaning_identity(p->meaning, value);

    if (is_name(p->token) && !name.at)
        return edit_missing(e, p, NULL);
    if (is_name(p->token) && !slice_eq(name, p->token))
        return edit_fail(e, CONFIG_EDIT_SYNTAX, value, NULL,
                         "the name is `%.*s` here, and `%.*s` in the address",
                         SLICE_ARG(slice_first(name, 100)),
                         SLICE_ARG(slice_first(p->token, 100)));
    if (is_name(p->token))
        p->position = meaning_count_items(p->parent);
    return edit_insert(e, p, value);
}

static bool
put(struct edit *e, struct slice pointer, struct config_node *value)
{
    struct edit_place p;

    if (!edit_walk(e, pointer, NULL, &p))
        return false;
    if (p.list && is_name(p.token) && !name_item(e, &p, value))
        return false;
    value = edit_settle(e, p.meaning, p.node, value);
    if (!value || (p.list && !refuse_twin(e, &p, value)))
        return false;
    return p.list && !p.node ? put_new_item(e, &p, value) : edit_set(e, &p, value);
}

/* The list there, made if the tables know that there could be one. */
static bool
open_list(struct edit *e, struct edit_place *p)
{
    struct config_node *list = p->node;

    if (!list && p->meaning.kind == MEANING_LIST) {
        list = tree_new(&e->loader, CONFIG_LIST, (struct config_mark){1, 1, e->file});
        if (!list)
            return edit_no_memory(e);
        if (!edit_set(e, p, list))
            return false;
    }
    if (!list)
        return edit_missing(e, p, NULL);
    if (!edit_expand(e, p->meaning, list, SLICE("-")))
        return false;
    p->node = list;
    return list->kind == CONFIG_LIST ||
           edit_fail(e, CONFIG_EDIT_SYNTAX, NULL,
                     list->kind == CONFIG_MAP ? "put the value under a key of its own" : NULL,
                     "there is %s, not a list", tree_kind_text(list->kind));
}

static bool
add(struct edit *e, struct slice pointer, struct config_node *value)
{
    struct edit_place p, item;

    if (!edit_walk(e, pointer, NULL, &p) || !open_list(e, &p))
        return false;
    item = (struct edit_place){.above = p.parent, .parent = p.node, .in = p.meaning, .list = true,
                               .token = SLICE("-"), .depth = p.depth + 1};
    item.meaning = meaning_of_item(p.meaning);
    item.position = meaning_count_items(p.node);
    value = edit_settle(e, item.meaning, NULL, value);
    return value && refuse_twin(e, &item, value) && edit_insert(e, &item, value);
}

static bool
merge(struct edit *e, struct slice pointer, struct config_node *value)
{
    struct edit_place p;

    if (!edit_walk(e, pointer, NULL, &p))
        return false;
    return p.node ? edit_merge(e, &p, value) : edit_missing(e, &p, NULL);
}

static bool
remove_node(struct edit *e, struct slice pointer)
{
    struct edit_place p;

    if (!edit_walk(e, pointer, NULL, &p))
        return false;
    return p.node ? edit_remove(e, &p) : edit_missing(e, &p, NULL);
}

/* ------------------------------------------------------------------ the whole */

/* What the engine reads itself at the top of a file. */
static bool
check_root(struct edit *e)
{
    struct config_node *root = e->document->root;
    const struct config_node *include, *version;

    if (config_node_is_null(root))
        return edit_expand(e, meaning_of_root(e->document->type), root, SLICE(""));
    if (root->kind != CONFIG_MAP)
        return edit_fail(e, CONFIG_EDIT_SYNTAX, root, NULL,
                         "expected a map at the top, found %s", tree_kind_text(root->kind));
    include = config_node_get(root, SLICE("include"));
    if (include)
        return edit_fail(e, CONFIG_EDIT_SYNTAX, include, "say here what the file says",
                         "`include` is for files");
    version = config_node_get(root, SLICE("version"));
    if (!version)
        return true;
    if (version->kind != CONFIG_SCALAR || !slice_eq(version->text, SLICE("1")))
        return edit_fail(
            e, CONFIG_EDIT_SYNTAX, version, NULL,
            "unknown version of the configuration language; this program reads `1`");
    return remove_node(e, SLICE("/version"));
}

/* A token may become a key. */
static bool
check_pointer(struct edit *e, struct slice pointer)
{
    while (pointer.n) {
        unsigned char c = (unsigned char) pointer.at[0];
        size_t n = c < 0x80 ? c != 0 : text_utf8_length(pointer);

        if (n == 0)
            return edit_fail(e, CONFIG_EDIT_NOT_FOUND, NULL, NULL, "the pointer is not UTF-8");
        pointer = slice_from(pointer, n);
    }
    return true;
}

static bool
change(struct edit *e, enum config_edit how, struct slice pointer, const char *name,
       struct slice text)
{
    struct config_node *value = NULL;

    if (!check_pointer(e, pointer))
        return false;
    if (how != CONFIG_EDIT_REMOVE && !(value = parse(e, name, text)))
        return false;
    switch (how) {
    case CONFIG_EDIT_PUT: return put(e, pointer, value);
    case CONFIG_EDIT_ADD: return add(e, pointer, value);
    case CONFIG_EDIT_MERGE: return merge(e, pointer, value);
    case CONFIG_EDIT_PATCH: return edit_patch(e, pointer, value);
    case CONFIG_EDIT_REMOVE: return remove_node(e, pointer);
    }
    return false;
}

bool
config_document_asks(const struct config_document *d)
{
    int last = (int) d->n_files - 1;

    if (last < 0 || !d->files[last].base.at)
        return false;
    return d->moved_asks || edit_asks(d->root, last);
}

enum config_edit_fault
config_document_edit(struct config_document *d, enum config_edit how, struct slice pointer,
                     const char *name, struct slice text, struct config_report *report)
{
    struct edit e = {.document = d,
                     .loader = {.arena = &d->arena, .report = report},
                     .file = UINT16_MAX};
    size_t n_files = d->n_files;

    arena_init(&e.scratch, NULL, 0, CONFIG_ARENA_MAX);
    d->moved_asks = false;
    if ((!change(&e, how, pointer, name, text) || !check_root(&e)) && !e.fault)
        e.fault = CONFIG_EDIT_MEMORY;
    if (e.fault) {
        edit_undo(&e);
        d->n_files = n_files;
    }
    arena_free(&e.scratch);
    return e.fault;
}
