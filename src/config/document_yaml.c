/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_yaml.c - nodes as YAML, the way a person would write it.
 *
 * Blocks, but short lists of single values in brackets; quotes where something would be lost
 * without them, or where there were some and other programs would see a number or a boolean; texts
 * of several lines as such.
 */
#include "config/document_private.h"
#include "config/lines.h"

enum { COLUMNS = 100, INDENT = 2 };

struct yaml_writer {
    struct text *out;
    bool         mask;
};

static void write_map(struct yaml_writer *w, struct meaning m, const struct config_node *map,
                      size_t column, bool in_line);

static void
indent(struct text *out, size_t column)
{
    for (size_t i = 0; i < column; i++)
        text_byte(out, ' ');
}

/* ------------------------------------------------------------------ which quotes */

static bool
has(struct slice s, struct slice what)
{
    return slice_search(s, what) != SLICE_NOT_FOUND;
}

static bool
has_any(struct slice s, const char *characters)
{
    for (; *characters; characters++)
        if (slice_find(s, *characters) != SLICE_NOT_FOUND)
            return true;
    return false;
}

/* Nothing but what shows on a screen, in one line or in several. */
static bool
is_printable(struct slice s)
{
    return lines_find_bad_byte(s) == SLICE_NOT_FOUND && !has(s, SLICE("\r")) &&
           !has(s, SLICE("\xE2\x80\xA8")) && !has(s, SLICE("\xE2\x80\xA9")) &&
           !has(s, SLICE("\xEF\xBB\xBF"));
}

static bool
is_null_text(struct slice s)
{
    struct config_node n = {.kind = CONFIG_SCALAR, .text = s};

    return config_node_is_null(&n);
}

static size_t
count(struct slice s, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.at[i] == c;
    return n;
}

/* A number, a time or a boolean for those who go by the look of a text. */
static bool
looks_typed(struct slice s)
{
    static const char *const words[] = {"true", "false", "yes", "no",  "on",
                                        "off",  "y",     "n",   "null"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_eq_nocase(s, slice_str(words[i])))
            return true;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_digit(s.at[i]) && !strchr("+-._:eExabcdefABCDEFo", s.at[i]))
            return false;
    if (count(s, '.') > 1 || (count(s, '.') && count(s, ':'))) /* an address */
        return false;
    return ascii_is_digit(s.at[0]) || (s.n > 1 && strchr("+-.", s.at[0]));
}

/* May stand without quotes.  flow: in brackets. */
static bool
is_plain(struct slice s, bool flow)
{
    char last = s.n ? s.at[s.n - 1] : ' ';

    if (s.n == 0 || is_null_text(s) || last == ' ' || last == ':' ||
        strchr(" ?:,[]{}#&*!|>'\"%@`", s.at[0]) || (flow && has_any(s, ",[]{}")))
        return false;
    if (s.at[0] == '-' && (s.n == 1 || !ascii_is_digit(s.at[1])))
        return false;
    return !has_any(s, "\n\t") && !has(s, SLICE(": ")) && !has(s, SLICE(" #")) &&
           !(flow && has(s, SLICE("://"))) && !slice_eq(s, SLICE("<<")) &&
           !slice_starts(s, SLICE("...")) && is_printable(s);
}

/* May stand as it is, line by line, below its key. */
static bool
is_block(struct slice s)
{
    struct slice rest = s;

    if (s.n < 2 || slice_find(s, '\n') == SLICE_NOT_FOUND || strchr(" \t\n", s.at[0]) ||
        slice_ends(s, SLICE("\n\n")) || !is_printable(s))
        return false;
    while (slice_is_present(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        if (line.n && slice_trim(line).n == 0)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ scalars */

static void
put_escaped(struct text *out, struct slice s)
{
    while (s.n) {
        unsigned char c = (unsigned char) s.at[0];
        size_t n = text_utf8_length(s);

        if (c == '"' || c == '\\')
            text_printf(out, "\\%c", c);
        else if (c == '\n')
            text_literal(out, "\\n");
        else if (c == '\t')
            text_literal(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            text_printf(out, "\\x%02x", c);
        else if (n == 2 && c == 0xC2 && (unsigned char) s.at[1] < 0xA0)
            text_printf(out, "\\x%02x", (unsigned char) s.at[1]);
        else if (n == 3 && !is_printable(slice_first(s, 3)))
            text_printf(out, "\\u%04x",
                        (c & 0xFu) << 12 | (s.at[1] & 0x3Fu) << 6 | (s.at[2] & 0x3Fu));
        else
            text_put(out, slice_first(s, n ? n : 1));
        s = slice_from(s, n ? n : 1);
    }
}

static void
put_quoted(struct text *out, struct slice s)
{
    bool single = has_any(s, "\"\\") && !has_any(s, "'\n\t") && is_printable(s);

    text_byte(out, single ? '\'' : '"');
    if (single)
        text_put(out, s);
    else
        put_escaped(out, s);
    text_byte(out, single ? '\'' : '"');
}

static void
put_block(struct text *out, struct slice s, size_t column)
{
    bool ends = slice_ends(s, SLICE("\n"));
    struct slice rest = ends ? slice_first(s, s.n - 1) : s;

    text_put(out, ends ? SLICE("|") : SLICE("|-"));
    while (slice_is_present(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        text_byte(out, '\n');
        if (line.n)
            indent(out, column);
        text_put(out, line);
    }
}

/* column: of the lines of a block; 0: in brackets. */
static void
put_scalar(struct yaml_writer *w, struct meaning m, const struct config_node *node, size_t column)
{
    struct slice s = node->text;

    if (w->mask && meaning_is_secret(document_scalar_meaning(m)) && !config_node_is_null(node))
        s = SLICE(CONFIG_MASK);
    if (config_node_is_null(node))
        text_byte(w->out, '~');
    else if (is_plain(s, column == 0) && !(node->quoted && looks_typed(s)))
        text_put(w->out, s);
    else if (column && is_block(s))
        put_block(w->out, s, column);
    else
        put_quoted(w->out, s);
}

static void
put_key(struct text *out, struct slice key)
{
    if (is_plain(key, false))
        text_put(out, key);
    else
        put_quoted(out, key);
    text_byte(out, ':');
}

/* ------------------------------------------------------------------ lists and maps */

/* " [a, b]", when that fits into the line; else nothing is written. */
static bool
put_brackets(struct yaml_writer *w, struct meaning m, const struct config_node *list,
             size_t column)
{
    size_t before = w->out->n;
    bool full = w->out->full;

    text_literal(w->out, " [");
    for (const struct config_node *n = list->first; n; n = n->next) {
        if (n->kind != CONFIG_SCALAR || column + w->out->n - before > COLUMNS) {
            w->out->n = before;
            w->out->full = full;
            return false;
        }
        if (n != list->first)
            text_literal(w->out, ", ");
        put_scalar(w, meaning_of_child(m, list, n), n, 0);
    }
    text_byte(w->out, ']');
    if (!list->first || column + w->out->n - before <= COLUMNS)
        return true;
    w->out->n = before;
    return false;
}

/* in_line: the first item stands behind what was written last. */
static void
write_list(struct yaml_writer *w, struct meaning m, const struct config_node *list, size_t column,
           bool in_line)
{
    for (const struct config_node *n = list->first; n; n = n->next) {
        struct meaning item = meaning_of_child(m, list, n);

        if (n != list->first || !in_line)
            indent(w->out, column);
        text_literal(w->out, "- ");
        if (n->kind == CONFIG_MAP && n->first) {
            write_map(w, item, n, column + INDENT, true);
            continue;
        }
        if (n->kind == CONFIG_LIST && n->first) {
            write_list(w, item, n, column + INDENT, true);
            continue;
        }
        if (n->kind == CONFIG_SCALAR)
            put_scalar(w, item, n, column + INDENT);
        else
            text_put(w->out, n->kind == CONFIG_MAP ? SLICE("{}") : SLICE("[]"));
        text_byte(w->out, '\n');
    }
}

/* Behind a key that stands at that column. */
static void
write_member(struct yaml_writer *w, struct meaning m, const struct config_node *n, size_t column)
{
    if (n->kind == CONFIG_MAP && n->first) {
        text_byte(w->out, '\n');
        write_map(w, m, n, column + INDENT, false);
        return;
    }
    if (n->kind == CONFIG_LIST &&
        !put_brackets(w, m, n, column + n->key.n + 2)) {
        text_byte(w->out, '\n');
        write_list(w, m, n, column + INDENT, false);
        return;
    }
    if (n->kind == CONFIG_MAP)
        text_literal(w->out, " {}");
    if (n->kind == CONFIG_SCALAR) {
        text_byte(w->out, ' ');
        put_scalar(w, m, n, column + INDENT);
    }
    text_byte(w->out, '\n');
}

static void
write_map(struct yaml_writer *w, struct meaning m, const struct config_node *map, size_t column,
          bool in_line)
{
    for (const struct config_node *n = map->first; n; n = n->next) {
        if (m.root && n != map->first)
            text_byte(w->out, '\n');
        if (n != map->first || !in_line)
            indent(w->out, column);
        put_key(w->out, n->key);
        write_member(w, meaning_of_child(m, map, n), n, column);
    }
}

void
document_write_yaml(struct meaning m, const struct config_node *node, bool mask, struct text *out)
{
    struct yaml_writer w = {out, mask};

    if (node->kind == CONFIG_MAP && node->first) {
        write_map(&w, m, node, 0, false);
        return;
    }
    if (node->kind == CONFIG_LIST && node->first) {
        write_list(&w, m, node, 0, false);
        return;
    }
    if (node->kind == CONFIG_SCALAR)
        put_scalar(&w, m, node, INDENT);
    else
        text_put(out, node->kind == CONFIG_MAP ? SLICE("{}") : SLICE("[]"));
    text_byte(out, '\n');
}
