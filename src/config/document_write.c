/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_write.c - nodes as JSON.
 *
 * The tables say what is a number and what a boolean; where they say nothing, a value without
 * quotes that looks like one.  Everything else is a string, whatever it looks like.
 */
#include "config/document_private.h"

#include "config/units.h"

struct json_writer {
    struct text *out;
    bool         mask;
    bool         pretty; /* a line for each member */
};

static void write_value(struct json_writer *w, struct meaning m, const struct config_node *node,
                        size_t level);

/* The control characters U+0080 to U+009F may stand in JSON, but not in YAML: what is written here
 * can be read as either. */
static void
put_string(struct text *out, struct slice s)
{
    text_byte(out, '"');
    while (s.n) {
        size_t n = 0;

        while (n < s.n &&
               (s.at[n] != '\xC2' || n + 1 == s.n || (unsigned char) s.at[n + 1] >= 0xA0))
            n++;
        text_json(out, slice_first(s, n));
        if (n < s.n)
            text_printf(out, "\\u00%02x", (unsigned char) s.at[n + 1]);
        s = slice_from(s, n + 2);
    }
    text_byte(out, '"');
}

static void
new_line(struct json_writer *w, size_t level)
{
    if (!w->pretty)
        return;
    text_byte(w->out, '\n');
    for (size_t i = 0; i < level; i++)
        text_literal(w->out, "  ");
}

/* ------------------------------------------------------------------ scalars */

struct meaning
document_scalar_meaning(struct meaning m)
{
    const struct option *shorthand;

    for (int i = 0; i < DEPTH_MAX; i++) {
        if (m.kind == MEANING_LIST) {
            m = meaning_of_item(m);
            continue;
        }
        shorthand = meaning_shorthand(m);
        if (!shorthand)
            break;
        m = meaning_of_member(m, slice_str(shorthand->name));
    }
    return m;
}

static bool
is_integer(struct slice s)
{
    size_t sign = s.n && s.at[0] == '-';
    int64_t ignored;

    return units_read_int(s, &ignored) && s.n > sign && ascii_is_digit(s.at[0 + sign]) &&
           (s.at[sign] != '0' || s.n == 1);
}

static bool
is_bare(struct meaning m, const struct config_node *node, struct slice text)
{
    bool boolean = slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("false"));
    bool free = m.kind == MEANING_ANY && !node->quoted;

    if (m.kind == MEANING_VALUE && m.option->kind == &option_bool)
        return boolean;
    if (m.kind == MEANING_VALUE && m.option->kind == &option_int)
        return is_integer(text);
    return free && (boolean || is_integer(text));
}

static void
write_scalar(struct json_writer *w, struct meaning m, const struct config_node *node)
{
    struct slice text;

    m = document_scalar_meaning(m);
    text = meaning_text(m, node);
    if (config_node_is_null(node))
        text_literal(w->out, "null");
    else if (w->mask && meaning_is_secret(m))
        put_string(w->out, SLICE(CONFIG_MASK));
    else if (is_bare(m, node, text))
        text_put(w->out, text);
    else
        put_string(w->out, text);
}

/* ------------------------------------------------------------------ maps and lists */

static void
write_members(struct json_writer *w, struct meaning m, const struct config_node *map, size_t level)
{
    text_byte(w->out, '{');
    for (const struct config_node *n = map->first; n; n = n->next) {
        if (n != map->first)
            text_byte(w->out, ',');
        new_line(w, level + 1);
        put_string(w->out, n->key);
        text_put(w->out, w->pretty ? SLICE(": ") : SLICE(":"));
        write_value(w, meaning_of_child(m, map, n), n, level + 1);
    }
    if (map->first)
        new_line(w, level);
    text_byte(w->out, '}');
}

static bool
has_scalars_only(const struct config_node *list)
{
    for (const struct config_node *n = list->first; n; n = n->next)
        if (n->kind != CONFIG_SCALAR)
            return false;
    return true;
}

static void
write_items(struct json_writer *w, struct meaning m, const struct config_node *list, size_t level)
{
    bool lines = !has_scalars_only(list);

    text_byte(w->out, '[');
    for (const struct config_node *n = list->first; n; n = n->next) {
        if (n != list->first)
            text_put(w->out, w->pretty && !lines ? SLICE(", ") : SLICE(","));
        if (lines)
            new_line(w, level + 1);
        write_value(w, meaning_of_child(m, list, n), n, level + 1);
    }
    if (lines)
        new_line(w, level);
    text_byte(w->out, ']');
}

static void
write_value(struct json_writer *w, struct meaning m, const struct config_node *node, size_t level)
{
    switch (node->kind) {
    case CONFIG_SCALAR: write_scalar(w, m, node); break;
    case CONFIG_LIST: write_items(w, m, node, level); break;
    case CONFIG_MAP: write_members(w, m, node, level); break;
    }
}

void
document_write_json(struct meaning m, const struct config_node *node, bool mask, struct text *out)
{
    struct json_writer w = {out, mask, false};

    write_value(&w, m, node, 0);
}

void
config_document_write(const struct config_document *d, const struct config_node *node,
                      enum config_format format, bool mask, struct text *out)
{
    struct meaning m = document_meaning(d, node);
    struct json_writer w = {out, mask, true};

    switch (format) {
    case CONFIG_JSON:
        write_value(&w, m, node, 0);
        text_byte(out, '\n');
        break;
    case CONFIG_YAML: document_write_yaml(m, node, mask, out); break;
    }
}
