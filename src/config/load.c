/* SPDX-License-Identifier: Apache-2.0 */
/* config/load.c - the steps in order: read, join, bind. */
#include "config/bind.h"

#include "base/check.h"

#include <stdlib.h>

static struct config *
config_new(const struct option_object *type)
{
    struct config *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->refs = 1;
    c->type = type;
    arena_init(&c->arena, NULL, 0, CONFIG_ARENA_MAX);
    return c;
}

struct config *
config_hold(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void
config_free(struct config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    cleanups_run(c);
    marks_free(&c->marks);
    arena_free(&c->arena);
    free(c);
}

/* The paths of the files, which outlive the report. */
static bool
keep_paths(struct config *c, const struct config_report *r)
{
    c->files = arena_calloc(&c->arena, r->n_files + 1, sizeof(*c->files));
    if (!c->files)
        return false;
    for (; c->n_files < r->n_files; c->n_files++) {
        const struct config_file *from = &r->files[c->n_files];
        struct config_file *f = &c->files[c->n_files];

        f->path = arena_copy(&c->arena, from->path);
        f->base = from->base.at ? arena_copy(&c->arena, from->base) : from->base;
        if (!f->path.at || !f->base.at != !from->base.at)
            return false;
    }
    return true;
}

/* True when the configuration is whole. */
static bool
finish(struct loader *l, struct config_node *tree, const struct option_object *type)
{
    if (!tree || l->failed)
        return false;
    substitute_tree(l, tree);
    l->config->tree = tree;
    l->defaults = l->config->defaults = merge_take(tree, SLICE("defaults"));
    if (!bind_root(l, type, tree) || l->failed)
        return false;
    if (!keep_paths(l->config, l->report))
        return tree_no_memory(l);
    marks_finish(&l->config->marks);
    return true;
}

bool
load_start(struct loader *l, const struct option_object *type)
{
    l->config = config_new(type);
    if (!l->config)
        return tree_no_memory(l);
    l->arena = &l->config->arena;
    return true;
}

struct config *
load_tree(struct loader *l, struct config_node *tree, const struct option_object *type,
          size_t errors)
{
    if (finish(l, tree, type) && l->report->errors == errors)
        return l->config;
    config_free(take(&l->config));
    return NULL;
}

/* text.at NULL: the name is a path to be read. */
static struct config *
load(const char *name, struct slice text, const struct option_object *type,
     const struct config_source *source, struct config_report *report)
{
    struct loader l = {.source = source ? source : &config_source_system, .report = report};
    size_t errors = report->errors;

    if (!load_start(&l, type))
        return NULL;
    return load_tree(&l, text.at ? include_text(&l, name, text) : include_file(&l, name), type,
                     errors);
}

struct config *
config_load_file(const char *path, const struct option_object *type,
                 const struct config_source *source, struct config_report *report)
{
    return load(path, (struct slice){NULL, 0}, type, source, report);
}

struct config *
config_load_text(const char *name, struct slice text, const struct option_object *type,
                 const struct config_source *source, struct config_report *report)
{
    return load(name, text.at ? text : SLICE(""), type, source, report);
}
