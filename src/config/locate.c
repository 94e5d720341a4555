/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/locate.c - from an offset in a scalar's text back to the byte of the file.
 *
 * The tree keeps no map of escapes and indentation; they are walked again, which only happens for a
 * message.  Where the walk and the text disagree (a replacement, folded lines), the start must do.
 */
#include "config/load.h"

/* How many bytes of the file the next byte or escape of a quoted text takes. */
static size_t
step(struct slice s, size_t at, char quote)
{
    if (quote == '\'' && s.at[at] == '\'')
        return 2;
    if (quote != '"' || s.at[at] != '\\' || at + 1 >= s.n)
        return 1;
    switch (s.at[at + 1]) {
    case 'x': return 4;
    case 'u': return 6;
    case 'U': return 10;
    default: return 2;
    }
}

/* Bytes of text that an escape stands for, told by the first of them. */
static size_t
width(struct slice text, size_t i)
{
    unsigned char c = (unsigned char) text.at[i];

    return c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

/* Offset behind `from` in the file's text, or SLICE_NOT_FOUND. */
static size_t
walk(struct slice file, size_t from, const struct config_node *node, size_t offset)
{
    char quote = node->quoted && (file.at[from] == '"' || file.at[from] == '\'') ? file.at[from]
                                                                                 : 0;
    size_t column = node->mark.column, at = from + (quote != 0);

    for (size_t i = 0; i < offset;) {
        size_t taken;

        if (at >= file.n)
            return SLICE_NOT_FOUND;
        taken = step(file, at, quote);
        if (taken == 1 && file.at[at] != node->text.at[i])
            return SLICE_NOT_FOUND;
        i += taken > 2 ? width(node->text, i) : 1;
        at += taken;
        if (i > node->text.n)
            return SLICE_NOT_FOUND;
        if (!quote && node->text.at[i - 1] == '\n') /* the next line of a block,
                                                     * indented as the first */
            for (size_t n = 1; n < column && at < file.n && file.at[at] == ' '; n++)
                at++;
    }
    return at < file.n ? at : SLICE_NOT_FOUND;
}

struct config_mark
yaml_locate(const struct config_report *r, const struct config_node *node, size_t offset)
{
    struct config_mark m = node->mark;
    size_t from = 0, at;
    struct slice text;

    if (m.line == 0 || m.file >= r->n_files || offset > node->text.n)
        return m;
    text = r->files[m.file].text;
    for (uint32_t line = 1; line < m.line; line++) {
        size_t end = slice_find(slice_from(text, from), '\n');

        if (end == SLICE_NOT_FOUND)
            return m;
        from += end + 1;
    }
    from += m.column - 1;
    at = from < text.n ? walk(text, from, node, offset) : SLICE_NOT_FOUND;
    if (at == SLICE_NOT_FOUND)
        return m;
    for (size_t i = from; i < at; i++) {
        m.column++;
        if (text.at[i] == '\n') {
            m.line++;
            m.column = 1;
        }
    }
    return m;
}
