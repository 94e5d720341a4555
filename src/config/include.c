/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/include.c - a configuration that is spread over files.
 *
 * The members of an included file take the place of the key `include`: lists keep the order in
 * which a person would read the files from top to bottom.
 */
#include "config/load.h"

#include "base/check.h"

/* The files that are being read, innermost first. */
struct chain {
    const struct chain *outer;
    struct slice        path;
    struct config_mark  mark; /* of the `include` that led here; line 0 for the first file */
    unsigned            depth;
};

static struct config_node *load(struct loader *l, const struct chain *here);

struct slice
include_path(struct loader *l, struct slice base, struct slice path)
{
    size_t folder = base.n;

    while (folder && base.at[folder - 1] != '/')
        folder--;
    if (path.n && path.at[0] == '/')
        folder = 0;
    return arena_printf(&l->report->arena, "%.*s%.*s", (int) folder, base.at, SLICE_ARG(path));
}

static bool
has_wildcard(struct slice path)
{
    return slice_find(path, '*') != SLICE_NOT_FOUND || slice_find(path, '?') != SLICE_NOT_FOUND ||
           slice_find(path, '[') != SLICE_NOT_FOUND;
}

static void
include_one(struct loader *l, struct config_node *into, const struct chain *outer,
            struct slice path, struct config_mark mark)
{
    struct chain here = {outer, path, mark, outer->depth + 1};
    struct config_node *tree;

    for (const struct chain *c = outer; c; c = c->outer)
        if (slice_eq(c->path, path)) {
            config_report_add(l->report, CONFIG_ERROR, mark, NULL, "`%.*s` includes itself",
                              SLICE_ARG(path));
            return;
        }
    if (here.depth > INCLUDE_DEPTH_MAX) {
        config_report_add(l->report, CONFIG_ERROR, mark, NULL,
                          "more than %d files include one another", INCLUDE_DEPTH_MAX);
        return;
    }
    tree = load(l, &here);
    if (tree)
        merge_join(l, into, tree);
}

static void
include_pattern(struct loader *l, struct config_node *into, const struct chain *outer,
                struct slice pattern, struct config_mark mark)
{
    struct text found;
    struct slice rest;
    int error = 0;

    text_init(&found, FILE_BYTES_MAX);
    if (l->source->match)
        error = l->source->match(l->source->arg, pattern.at, &found);
    if (error)
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "cannot look for `%s`: %s",
                          pattern.at, strerror(error));
    for (rest = text_slice(&found); rest.n && !error;)
        include_one(l, into, outer, slice_cut(&rest, '\0'), mark);
    text_free(&found);
}

static void
include_item(struct loader *l, struct config_node *into, const struct chain *outer,
             const struct config_node *item)
{
    struct slice path;

    if (item->faulty)
        return;
    if (item->kind != CONFIG_SCALAR || config_node_is_null(item)) {
        config_report_add(l->report, CONFIG_ERROR, item->mark, NULL, "expected a path, found %s",
                          item->kind == CONFIG_SCALAR ? "nothing" : tree_kind_text(item->kind));
        return;
    }
    path = include_path(l, outer->path, item->text);
    if (!path.at)
        tree_no_memory(l);
    else if (has_wildcard(path))
        include_pattern(l, into, outer, path, item->mark);
    else
        include_one(l, into, outer, path, item->mark);
}

static void
include_all(struct loader *l, struct config_node *into, const struct chain *here,
            const struct config_node *key)
{
    if (key->kind != CONFIG_LIST) {
        include_item(l, into, here, key);
        return;
    }
    for (const struct config_node *item = key->first; item; item = item->next)
        include_item(l, into, here, item);
}

/* A version that is not ours must not be read as though it were. */
static void
check_version(struct loader *l, const struct config_node *version)
{
    if (version->kind != CONFIG_SCALAR || !slice_eq(version->text, SLICE("1")))
        config_report_add(l->report, CONFIG_ERROR, version->mark, NULL,
                          "unknown version of the configuration language; this program reads `1`");
}

/* Takes the members of a file into a tree of their own, in order, included ones at their place. */
static struct config_node *
assemble(struct loader *l, struct config_node *file, const struct chain *here)
{
    struct config_node *whole = tree_new(l, CONFIG_MAP, file->mark);
    struct config_node part = *file;
    struct config_node *n = file->first, *next;

    if (!whole)
        return NULL;
    part.first = NULL;
    for (struct config_node **last = &part.first; n; n = next) {
        next = take(&n->next);
        if (slice_eq(n->key, SLICE("version"))) {
            substitute_tree(l, n);
            check_version(l, n);
        } else if (slice_eq(n->key, SLICE("include"))) {
            merge_join(l, whole, &part);
            last = &part.first;
            substitute_tree(l, n);
            include_all(l, whole, here, n);
        } else {
            *last = n;
            last = &n->next;
        }
    }
    merge_join(l, whole, &part);
    return whole;
}

static struct config_node *
parse(struct loader *l, struct slice text, const struct chain *here)
{
    struct config_node *tree;
    int file;

    if (slice_starts(text, SLICE("\xEF\xBB\xBF")))
        text = slice_from(text, 3);
    file = report_add_file(l->report, here->path, text.at ? text : SLICE(""));
    if (file < 0) {
        config_report_add(l->report, CONFIG_ERROR, here->mark, NULL,
                          "`%.*s` is one file too many, or memory is used up",
                          SLICE_ARG(here->path));
        l->failed = true;
        return NULL;
    }
    tree = yaml_parse(l, l->report->files[file].text, file);
    if (tree && config_node_is_null(tree))
        tree = tree_new(l, CONFIG_MAP, tree->mark);
    if (tree && tree->kind != CONFIG_MAP) {
        config_report_add(l->report, CONFIG_ERROR, tree->mark, NULL,
                          "expected a map at the top of the file, found %s",
                          tree_kind_text(tree->kind));
        l->failed = true;
        return NULL;
    }
    return tree ? assemble(l, tree, here) : NULL;
}

static struct config_node *
load(struct loader *l, const struct chain *here)
{
    struct config_node *tree = NULL;
    struct slice path = arena_copy(&l->report->arena, here->path);
    struct text text;
    int error;

    if (!path.at) {
        tree_no_memory(l);
        return NULL;
    }
    text_init(&text, FILE_BYTES_MAX);
    error = l->source->read(l->source->arg, path.at, &text);
    if (error) {
        config_report_add(l->report, CONFIG_ERROR, here->mark, NULL, "cannot read `%s`: %s",
                          path.at, strerror(error));
        l->failed = true;
    } else {
        tree = parse(l, text_slice(&text), here);
    }
    text_free(&text);
    return tree;
}

struct config_node *
include_file(struct loader *l, const char *path)
{
    struct chain first = {.path = slice_str(path)};

    return load(l, &first);
}

struct config_node *
include_text(struct loader *l, const char *name, struct slice text)
{
    struct chain first = {.path = slice_str(name)};

    return parse(l, text, &first);
}
