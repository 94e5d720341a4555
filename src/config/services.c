/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/services.c - what tables' own functions may ask of the engine while a configuration is
 * bound: clean-ups for what an arena cannot hold, files, and objects that nobody has written.
 */
#include "config/bind.h"

struct config_cleanup {
    struct config_cleanup *next;
    void                 (*release)(void *what);
    void                  *what;
};

void
cleanups_run(struct config *c)
{
    struct config_cleanup *next;

    for (struct config_cleanup *u = c->cleanups; u; u = next) {
        next = u->next;
        u->release(u->what);
    }
    c->cleanups = NULL;
}

bool
config_bind_cleanup(struct config_bind *b, void (*release)(void *what), void *what)
{
    struct config *c = b->loader->config;
    struct config_cleanup *u = arena_alloc(&c->arena, sizeof(*u));

    if (!u) {
        release(what);
        return tree_no_memory(b->loader);
    }
    *u = (struct config_cleanup){c->cleanups, release, what};
    c->cleanups = u;
    return true;
}

/* The file in which a field was set: relative paths start at its folder.  (config_where() is for
 * marks that are complete.) */
static struct slice
base_of(const struct config_bind *b, const void *field)
{
    struct config_mark mark = marks_search(&b->loader->config->marks, field, PLACE_VALUE);

    if (mark.line == 0 && b->here.node)
        mark = b->here.node->mark;
    if (mark.line == 0) /* a default: as though the main file said it */
        mark = (struct config_mark){1, 1, 0};
    return report_base(b->loader->report, mark);
}

const struct config_source *
config_bind_source(const struct config_bind *b)
{
    return b->loader->source;
}

struct slice
config_bind_path(struct config_bind *b, const void *field, struct slice path)
{
    return arena_copy(config_bind_arena(b), include_path(b->loader, base_of(b, field), path));
}

bool
config_bind_read(struct config_bind *b, const void *field, struct slice path, size_t max_bytes,
                 struct slice *content)
{
    const struct config_source *source = b->loader->source;
    struct slice full = include_path(b->loader, base_of(b, field), path);
    struct text t;
    int error;

    if (!full.at)
        return tree_no_memory(b->loader);
    text_init(&t, max_bytes);
    error = source->read(source->arg, full.at, &t);
    if (!error)
        *content = arena_copy(config_bind_arena(b), t.n ? text_slice(&t) : SLICE(""));
    text_free(&t);
    if (error)
        return config_bind_error(b, field, NULL, "cannot read `%s`: %s", full.at, strerror(error));
    return content->at || tree_no_memory(b->loader);
}

/* Binds `{}` in a configuration of its own, whose memory the caller's arena then takes over.  It
 * works on a copy of the defaults, as binding completes them, with memory that may be gone before
 * them. */
void *
config_bind_defaults(const struct config *config, struct arena *arena,
                     const struct option_object *object, struct config_report *report)
{
    struct config scratch = {.type = object};
    struct loader l = {.config = &scratch,
                       .arena = &scratch.arena,
                       .report = report,
                       .source = &config_source_system};
    struct config_bind b = {.loader = &l};
    size_t errors = report->errors;
    struct config_node *empty;
    void *out;

    arena_init(&scratch.arena, NULL, 0, CONFIG_ARENA_MAX);
    out = arena_calloc(&scratch.arena, 1, object->size + 1);
    empty = tree_new(&l, CONFIG_MAP, (struct config_mark){0});
    if (config && config->defaults)
        l.defaults = tree_copy(&l, config->defaults);
    if (!out || !empty || l.failed || !bind_object(&b, object, empty, BIND_PLAIN, out) ||
        scratch.cleanups)
        out = NULL;
    if (scratch.cleanups)
        config_report_add(report, CONFIG_ERROR, (struct config_mark){0}, NULL,
                          "the defaults of `%s` need more than memory", object->name);
    cleanups_run(&scratch);
    marks_free(&scratch.marks);
    if (!out && report->errors == errors)
        tree_no_memory(&l);
    arena_adopt(arena, &scratch.arena);
    return out;
}
