/* SPDX-License-Identifier: Apache-2.0 */
/* control/plan_text.c - what a plan shows of values: as they were written, never a secret. */
#include "base/check.h"
#include "control/plan_parts.h"

struct slice
plan_copy(struct plan *p, struct slice s)
{
    struct slice copy;

    if (s.n > PLAN_TEXT_MAX) {
        size_t n = PLAN_TEXT_MAX - 3;

        while (n > 0 && ((unsigned char) s.at[n] & 0xC0) == 0x80) /* not within a character */
            n--;
        copy = arena_printf(&p->arena, "%.*s...", (int) n, s.at);
    } else {
        copy = arena_copy(&p->arena, s);
    }
    p->no_memory |= !copy.at;
    return copy;
}

/* ------------------------------------------------------------------ nodes */

/* [a, b], {key: value}; enough of it to fill what is shown. */
static void
put_node(struct text *out, const struct config_node *node)
{
    bool list = node->kind == CONFIG_LIST;

    if (node->kind == CONFIG_SCALAR) {
        text_put(out, node->text);
        return;
    }
    text_byte(out, list ? '[' : '{');
    for (const struct config_node *m = node->first; m && out->n < PLAN_TEXT_MAX; m = m->next) {
        if (m != node->first)
            text_literal(out, ", ");
        if (!list) {
            text_put(out, m->key);
            text_literal(out, ": ");
        }
        put_node(out, m);
    }
    text_byte(out, list ? ']' : '}');
}

static struct slice
node_text(struct plan *p, const struct config_node *node)
{
    struct text t;
    struct slice copy;

    text_init(&t, 1024 * 1024);
    put_node(&t, node);
    copy = plan_copy(p, text_slice(&t));
    text_free(&t);
    return copy;
}

/* ------------------------------------------------------------------ places */

static void
put_segment(struct text *out, const struct plan_segment *s, enum plan_side side)
{
    if (s->indexed) {
        text_byte(out, '/');
        text_u64(out, s->at[side]);
    } else {
        config_pointer_put(out, s->key);
    }
}

static const struct config_node *
find_from(struct plan *p, enum plan_side side, const char *start, size_t depth)
{
    const struct config_node *node = NULL;
    struct text pointer;

    text_init(&pointer, 64 * 1024);
    text_put(&pointer, slice_str(start));
    for (size_t i = depth; i < p->depth; i++)
        put_segment(&pointer, &p->path[i], side);
    if (!pointer.full)
        node = config_document_find(p->document[side],
                                    pointer.n ? text_slice(&pointer) : SLICE(""));
    text_free(&pointer);
    return node;
}

/* Where the value under way was written: in its object, or in the defaults for such objects. */
static const struct config_node *
find_written(struct plan *p, enum plan_side side)
{
    const struct config_node *node;
    char start[80];

    if (!p->document[side])
        return NULL;
    node = find_from(p, side, "", 0);
    if (node || !p->defaults)
        return node;
    snprintf(start, sizeof(start), "/defaults/%s", p->defaults->name);
    return find_from(p, side, start, p->defaults_depth);
}

struct slice
plan_value_text(struct plan *p, enum plan_side side, const struct option *o,
                const struct config_node *node)
{
    const struct config_node *written;

    if (!node)
        return o->preset ? plan_copy(p, slice_str(o->preset)) : (struct slice){NULL, 0};
    if (o->flags & OPTION_SECRET)
        return SLICE(CONFIG_MASK);
    if (o->kind == &option_objects || o->kind == &option_variants)
        return plan_whole_text(p, side);
    written = find_written(p, side);
    return node_text(p, written ? written : node);
}

/* JSON on one line; blanks within strings stay. */
static void
squeeze(struct text *t)
{
    bool string = false;
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        char c = t->at[i];

        if (c == '"' && !(i && t->at[i - 1] == '\\'))
            string = !string;
        if (!string && (c == '\n' || (c == ' ' && n && strchr(" {[", t->at[n - 1]))))
            continue;
        t->at[n++] = c;
    }
    t->n = n;
}

struct slice
plan_whole_text(struct plan *p, enum plan_side side)
{
    const struct config_node *node = find_written(p, side);
    struct slice copy = {NULL, 0};
    struct text t;

    if (!node)
        return copy;
    text_init(&t, 16 * 1024 * 1024);
    config_document_write(p->document[side], node, CONFIG_JSON, true, &t);
    squeeze(&t);
    copy = plan_copy(p, slice_trim(text_slice(&t)));
    text_free(&t);
    return copy;
}

struct slice
plan_path_text(struct plan *p)
{
    struct slice copy;
    struct text t;

    text_init(&t, 64 * 1024);
    for (size_t i = p->entity.depth; i < p->depth; i++) {
        if (t.n)
            text_byte(&t, '/');
        text_put(&t, p->path[i].key);
    }
    copy = plan_copy(p, t.n ? text_slice(&t) : SLICE(""));
    text_free(&t);
    return copy;
}
