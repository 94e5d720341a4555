/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/lines.c - lines, columns and the bytes that may stand in them.
 *
 * libfyaml reads a text up to the first byte that is not UTF-8 and says nothing, so that the rest
 * of a configuration would silently be gone: the bytes are checked before it sees them.
 */
#include "config/lines.h"

#include <stdlib.h>

bool
lines_init(struct lines *l, struct slice text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.n; i++)
        n += text.at[i] == '\n';
    *l = (struct lines){.text = text, .starts = malloc(n * sizeof(*l->starts))};
    if (!l->starts)
        return false;
    l->starts[l->n++] = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.at[i] == '\n')
            l->starts[l->n++] = (uint32_t) i + 1;
    return true;
}

void
lines_free(struct lines *l)
{
    free(l->starts);
    *l = (struct lines){0};
}

struct config_mark
lines_mark(struct lines *l, size_t offset, uint16_t file)
{
    if (offset > l->text.n)
        offset = l->text.n;
    while (l->near > 0 && l->starts[l->near] > offset)
        l->near--;
    while (l->near + 1 < l->n && l->starts[l->near + 1] <= offset)
        l->near++;
    return (struct config_mark){
        .line = (uint32_t) l->near + 1,
        .column = (uint32_t) (offset - l->starts[l->near]) + 1,
        .file = file,
    };
}

struct config_mark
lines_mark_of_character(const struct lines *l, int line, int column, uint16_t file)
{
    size_t i = line < 1 ? 0 : (size_t) line - 1;
    size_t at, end;

    if (i >= l->n) {
        i = l->n - 1;
        column = INT32_MAX;
    }
    at = l->starts[i];
    end = i + 1 < l->n ? l->starts[i + 1] - 1 : l->text.n;
    for (int c = 1; c < column && at < end; c++)
        do
            at++;
        while (at < end && ((unsigned char) l->text.at[at] & 0xC0) == 0x80);
    return (struct config_mark){(uint32_t) i + 1, (uint32_t) (at - l->starts[i]) + 1, file};
}

size_t
lines_find_long(const struct lines *l, size_t max)
{
    for (size_t i = 0; i < l->n; i++) {
        size_t end = i + 1 < l->n ? l->starts[i + 1] : l->text.n;

        if (end - l->starts[i] > max)
            return l->starts[i];
    }
    return SLICE_NOT_FOUND;
}

/* Length of the character at p, 0 when it is not UTF-8 (RFC 3629) or a control character. */
static size_t
character_length(const unsigned char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t code = p[0] & (0xFFu >> (len + 1));

    if (len == 0 || len > n || p[0] > 0xF4)
        return 0;
    if (len == 1) {
        if (p[0] == '\r')
            return n > 1 && p[1] == '\n';
        return p[0] == '\t' || p[0] == '\n' || (p[0] >= 0x20 && p[0] != 0x7f);
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    if (code < least[len] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) || code < 0xA0)
        return 0;
    return len;
}

size_t
lines_find_bad_byte(struct slice text)
{
    const unsigned char *p = (const unsigned char *) text.at;

    for (size_t i = 0; i < text.n;) {
        size_t len;

        if (p[i] >= 0x20 && p[i] < 0x7f) {
            i++;
            continue;
        }
        len = character_length(p + i, text.n - i);
        if (len == 0)
            return i;
        i += len;
    }
    return SLICE_NOT_FOUND;
}
