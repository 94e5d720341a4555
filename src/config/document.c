/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document.c - documents come and go, and become configurations.
 *
 * What changes replace stays in the arena until a document is copied: the copy has only what is
 * still reached, and of the texts of changes only those that something still comes from.
 */
#include "config/document_private.h"

#include "base/check.h"

#include <stdlib.h>

enum { CHANGE_TEXTS_MAX = 16 << 20 }; /* of older ones messages show the place, but no line */

static struct config_document *
document_new(const struct option_object *type)
{
    struct config_document *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->type = type;
    arena_init(&d->arena, NULL, 0, CONFIG_ARENA_MAX);
    d->indexes = calloc(INDEXES, sizeof(*d->indexes));
    if (d->indexes)
        return d;
    free(d);
    return NULL;
}

void
config_document_free(struct config_document *d)
{
    if (!d)
        return;
    document_forget_indexes(d);
    for (size_t i = 0; i < INDEXES; i++)
        free(d->indexes[i].items);
    free(d->indexes);
    arena_free(&d->arena);
    free(d);
}

/* ------------------------------------------------------------------ files */

static struct slice
copy_if_there(struct arena *arena, struct slice s)
{
    return s.at ? arena_copy(arena, s) : s;
}

int
document_add_file(struct config_document *d, struct slice path, struct slice text,
                  struct slice base)
{
    size_t n = d->n_files;
    struct config_file *f;

    if (n >= UINT16_MAX)
        return -1;
    if ((n & (n - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        struct config_file *grown = arena_calloc(&d->arena, n ? n * 2 : 1, sizeof(*grown));

        if (!grown)
            return -1;
        if (n)
            memcpy(grown, d->files, n * sizeof(*grown));
        d->files = grown;
    }
    f = &d->files[n];
    *f = (struct config_file){arena_copy(&d->arena, path), copy_if_there(&d->arena, text),
                              copy_if_there(&d->arena, base)};
    if (!f->path.at || !f->text.at != !text.at || !f->base.at != !base.at)
        return -1;
    d->n_files++;
    return (int) n;
}

/* The files from `first` on of the report in which the tree's places lie. */
static bool
take_files(struct config_document *d, const struct config_report *report, size_t first)
{
    for (size_t i = first; i < report->n_files; i++) {
        const struct config_file *f = &report->files[i];
        uint64_t pair[2] = {d->origin, hash_stable(f->text)};

        if (document_add_file(d, f->path, f->text, (struct slice){NULL, 0}) < 0)
            return false;
        d->origin = hash_stable(slice_of((const char *) pair, sizeof(pair)));
    }
    return true;
}

static void
move_places(struct config_node *node, uint16_t first)
{
    if (node->mark.line)
        node->mark.file = (uint16_t) (node->mark.file - first);
    if (node->key_mark.line)
        node->key_mark.file = (uint16_t) (node->key_mark.file - first);
    for (struct config_node *n = node->first; n; n = n->next)
        move_places(n, first);
}

/* ------------------------------------------------------------------ opening */

/* So that all mistakes are found in one run. */
static void
find_more_mistakes(const struct config_document *d, const struct config_source *source,
                   struct config_report *report)
{
    config_free(config_load_document(d, source, report));
}

struct config_document *
config_document_open(const char *path, const char *name, struct slice text,
                     const struct option_object *type, const struct config_source *source,
                     struct config_report *report)
{
    struct config_document *d = document_new(type);
    struct loader l = {.source = source ? source : &config_source_system, .report = report};
    size_t first = report->n_files, errors = report->errors;

    if (!d) {
        tree_no_memory(&l);
        return NULL;
    }
    l.arena = &d->arena;
    d->root = path ? include_file(&l, path) : include_text(&l, name, text.at ? text : SLICE(""));
    if (d->root && !l.failed && !take_files(d, report, first))
        tree_no_memory(&l);
    if (d->root && !l.failed) {
        move_places(d->root, (uint16_t) first);
        if (report->errors == errors)
            return d;
        find_more_mistakes(d, source, report);
    }
    config_document_free(d);
    return NULL;
}

/* ------------------------------------------------------------------ copying */

static void
note_files(const struct config_node *node, bool *used)
{
    used[node->mark.file] = used[node->key_mark.file] = true;
    for (const struct config_node *n = node->first; n; n = n->next)
        note_files(n, used);
}

/* files[i]: where file i is in the copy. */
static bool
copy_files(const struct config_document *d, struct config_document *copy, uint16_t *files)
{
    bool *used = calloc(d->n_files + 1, sizeof(*used));
    size_t bytes = 0;
    bool ok = used != NULL;

    if (used)
        note_files(d->root, used);
    for (size_t i = 0; i < d->n_files && ok; i++)
        if (d->files[i].base.at && used[i])
            bytes += d->files[i].text.n;
    for (size_t i = 0; i < d->n_files && ok; i++) {
        const struct config_file *f = &d->files[i];
        bool too_old = f->base.at && bytes > CHANGE_TEXTS_MAX;

        if (f->base.at && !used[i])
            continue;
        if (f->base.at)
            bytes -= f->text.n;
        files[i] = (uint16_t) copy->n_files;
        ok = document_add_file(copy, f->path, too_old ? SLICE("") : f->text, f->base) >= 0;
    }
    free(used);
    return ok;
}

struct config_document *
config_document_copy(const struct config_document *d)
{
    struct config_document *copy = document_new(d->type);
    uint16_t *files = calloc(d->n_files + 1, sizeof(*files));
    struct config_report silent;
    struct loader l = {.report = &silent};

    config_report_init(&silent);
    if (copy && files && copy_files(d, copy, files)) {
        l.arena = &copy->arena;
        copy->origin = d->origin;
        copy->root = tree_clone(&l, d->root, files);
    }
    config_report_free(&silent);
    free(files);
    if (copy && copy->root)
        return copy;
    config_document_free(copy);
    return NULL;
}

/* ------------------------------------------------------------------ loading */

static bool
is_same_file(const struct config_file *a, const struct config_file *b)
{
    return slice_eq(a->path, b->path) && slice_eq(a->text, b->text) && slice_eq(a->base, b->base);
}

/* The report learns the document's files, those that it knows from opening it apart. */
static bool
report_files(const struct config_document *d, struct config_report *r, uint16_t *files)
{
    for (size_t i = 0; i < d->n_files; i++) {
        const struct config_file *f = &d->files[i];
        int file = (int) i;

        if (i >= r->n_files || !is_same_file(&r->files[i], f)) {
            file = report_add_file(r, f->path, f->text);
            if (file < 0)
                return false;
            r->files[file].base = copy_if_there(&r->arena, f->base);
        }
        files[i] = (uint16_t) file;
    }
    return true;
}

struct config *
config_load_document(const struct config_document *d, const struct config_source *source,
                     struct config_report *report)
{
    struct loader l = {.source = source ? source : &config_source_system, .report = report};
    uint16_t *files = calloc(d->n_files + 1, sizeof(*files));
    size_t errors = report->errors;
    struct config_node *tree = NULL;

    if (!load_start(&l, d->type)) {
        free(files);
        return NULL;
    }
    if (files && report_files(d, report, files))
        tree = tree_clone(&l, d->root, files);
    else
        tree_no_memory(&l);
    free(files);
    return load_tree(&l, tree, d->type, errors);
}

/* ------------------------------------------------------------------ hashes */

uint64_t
config_document_hash(const struct config_document *d, const struct config_node *node)
{
    return meaning_hash(document_meaning(d, node), node);
}

uint64_t
config_document_origin(const struct config_document *d)
{
    return d->origin;
}
