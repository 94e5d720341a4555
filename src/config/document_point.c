/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_point.c - from the place of a message back to the node that it is about.
 */
#include "config/document_private.h"

#include <stdlib.h>

enum { POINTER_MAX = 64 * 1024 };

/* Where a message is in the document, and where the node begins that it has its pointer from
 * (line 0: there is none yet). */
struct target {
    struct config_mark wanted, best;
};

struct pointing {
    struct config_report *report;
    struct target        *targets; /* of each message */
    struct text           path;
};

static bool
is_same_file(const struct config_file *a, const struct config_file *b)
{
    return slice_eq(a->path, b->path) && slice_eq(a->text, b->text);
}

/* The place in the document's files, of which the last of several that are the same counts; line 0:
 * in none. */
static struct config_mark
place_of(const struct config_document *d, const struct config_report *r, struct config_mark mark)
{
    if (mark.line && mark.file < r->n_files)
        for (size_t i = d->n_files; i-- > 0;)
            if (is_same_file(&r->files[mark.file], &d->files[i])) {
                mark.file = (uint16_t) i;
                return mark;
            }
    return (struct config_mark){0};
}

/* Whether a place is on the way to that of a message, and nearer than what was found before: the
 * inner one of two nodes that begin there. */
static bool
is_nearer(struct config_mark place, const struct target *t)
{
    return place.line && place.line == t->wanted.line && place.file == t->wanted.file &&
           place.column <= t->wanted.column && place.column >= t->best.column;
}

static void
look_at(struct pointing *p, const struct config_node *node)
{
    size_t i = 0;

    for (struct config_message *m = p->report->messages; m; m = m->next, i++) {
        struct config_mark places[] = {node->key_mark, node->mark};

        for (size_t k = 0; k < 2; k++) {
            if (!is_nearer(places[k], &p->targets[i]))
                continue;
            p->targets[i].best = places[k];
            m->pointer = arena_copy(&p->report->arena, text_slice(&p->path));
        }
    }
}

/* A map that stands for a list, or a list that stands for an object, is written out on the way. */
static struct meaning
write_out(struct pointing *p, struct meaning m, const struct config_node *node)
{
    for (int i = 0; i < DEPTH_MAX; i++) {
        const struct option *shorthand = node->kind == CONFIG_LIST ? meaning_shorthand(m) : NULL;

        if (shorthand) {
            config_pointer_put(&p->path, slice_str(shorthand->name));
            m = meaning_of_member(m, slice_str(shorthand->name));
        } else if (node->kind == CONFIG_MAP && m.kind == MEANING_LIST) {
            text_literal(&p->path, "/0");
            m = meaning_of_item(m);
        } else {
            break;
        }
    }
    return m;
}

static void
walk(struct pointing *p, struct meaning m, const struct config_node *node)
{
    size_t above = p->path.n, here, i = 0;

    look_at(p, node);
    m = write_out(p, m, node);
    here = p->path.n;
    for (const struct config_node *n = node->first; n; n = n->next) {
        if (node->kind == CONFIG_MAP)
            config_pointer_put(&p->path, n->key);
        else
            text_printf(&p->path, "/%zu", i++);
        walk(p, meaning_of_child(m, node, n), n);
        p->path.n = here;
    }
    p->path.n = above;
}

void
config_document_point(const struct config_document *d, struct config_report *report)
{
    struct pointing p = {.report = report};
    size_t n = 0, i = 0;

    for (const struct config_message *m = report->messages; m; m = m->next)
        n++;
    p.targets = calloc(n + 1, sizeof(*p.targets));
    if (!n || !p.targets) {
        free(p.targets);
        return;
    }
    for (const struct config_message *m = report->messages; m; m = m->next)
        p.targets[i++].wanted = place_of(d, report, m->mark);
    text_init(&p.path, POINTER_MAX);
    walk(&p, meaning_of_root(d->type), d->root);
    text_free(&p.path);
    free(p.targets);
}
