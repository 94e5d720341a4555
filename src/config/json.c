/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/json.c - from JSON (RFC 8259) to the tree, strictly and in silence.
 *
 * What programs send is JSON, often all of it in one line, for which libfyaml takes sixty times the
 * memory.  What is not JSON may still be YAML: there is no complaint here, and whoever reads the
 * text as YAML next complains about what is wrong with it.
 */
#include "config/lines.h"
#include "config/load.h"

#include "base/map.h"

enum { LINEAR_KEYS = 12 };

struct json {
    struct loader *loader;
    struct slice   text;
    size_t         at;
    uint16_t       file;
    struct lines   lines;
    struct text    string; /* the last one */
    unsigned       depth;
};

static struct config_node *read_value(struct json *j);

/* ------------------------------------------------------------------ characters */

static void
skip_blanks(struct json *j)
{
    while (j->at < j->text.n && strchr(" \t\r\n", j->text.at[j->at]) && j->text.at[j->at])
        j->at++;
}

/* Behind blanks. */
static bool
accept(struct json *j, char c)
{
    skip_blanks(j);
    if (j->at >= j->text.n || j->text.at[j->at] != c)
        return false;
    j->at++;
    return true;
}

static struct config_mark
here(struct json *j)
{
    return lines_mark(&j->lines, j->at, j->file);
}

static void
put_character(struct text *out, uint32_t code)
{
    static const uint8_t starts[] = {0, 0, 0xC0, 0xE0, 0xF0};
    unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;

    text_byte(out, (char) (more ? starts[more + 1] | code >> 6 * more : code));
    while (more-- > 0)
        text_byte(out, (char) (0x80 | (code >> 6 * more & 0x3F)));
}

static bool
read_hex(struct json *j, uint32_t *code)
{
    struct slice digits = slice_first(slice_from(j->text, j->at), 4);
    uint64_t value;

    if (digits.n < 4 || !slice_hex_to_u64(digits, &value))
        return false;
    j->at += 4;
    *code = (uint32_t) value;
    return true;
}

/* \uXXXX, where characters above 0xFFFF are written as two (RFC 8259 section 7). */
static bool
read_unicode(struct json *j)
{
    uint32_t code, low;

    if (!read_hex(j, &code) || code == 0 || (code >= 0xDC00 && code < 0xE000))
        return false;
    if (code >= 0xD800 && code < 0xDC00) {
        if (!slice_starts(slice_from(j->text, j->at), SLICE("\\u")))
            return false;
        j->at += 2;
        if (!read_hex(j, &low) || low < 0xDC00 || low >= 0xE000)
            return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    put_character(&j->string, code);
    return true;
}

static bool
read_escape(struct json *j)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found;
    char c = j->at < j->text.n ? j->text.at[j->at++] : '\0';

    if (c == 'u')
        return read_unicode(j);
    found = c ? strchr(names, c) : NULL;
    if (found)
        text_byte(&j->string, values[found - names]);
    return found != NULL;
}

/* How many bytes a character has that may stand in a string as it is; 0: none. */
static size_t
plain_length(struct slice s)
{
    unsigned char c = (unsigned char) s.at[0];

    return c >= 0x80 ? text_utf8_length(s) : c >= 0x20;
}

/* Behind the first quote. */
static bool
read_string(struct json *j)
{
    j->string.n = 0;
    while (j->at < j->text.n) {
        struct slice rest = slice_from(j->text, j->at);
        size_t n = plain_length(rest);

        j->at += n;
        if (n == 1 && rest.at[0] == '"')
            return !j->string.full;
        if (n == 0 || (rest.at[0] == '\\' && !read_escape(j)))
            return false;
        if (rest.at[0] != '\\')
            text_put(&j->string, slice_first(rest, n));
    }
    return false;
}

/* ------------------------------------------------------------------ values */

static size_t
digits_at(struct slice s, size_t at)
{
    size_t n = 0;

    while (at + n < s.n && ascii_is_digit(s.at[at + n]))
        n++;
    return n;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?: its length, 0 when it is none. */
static size_t
number_length(struct slice s)
{
    size_t at = s.n && s.at[0] == '-', n = digits_at(s, at);

    if (n == 0 || (n > 1 && s.at[at] == '0'))
        return 0;
    at += n;
    if (at < s.n && s.at[at] == '.') {
        n = digits_at(s, at + 1);
        at += n + 1;
        if (n == 0)
            return 0;
    }
    if (at < s.n && (s.at[at] | 0x20) == 'e') {
        at++;
        at += at < s.n && (s.at[at] == '+' || s.at[at] == '-');
        n = digits_at(s, at);
        at += n;
        if (n == 0)
            return 0;
    }
    return at;
}

/* true, false, null or a number, kept as it is written. */
static struct config_node *
read_word(struct json *j)
{
    static const struct slice words[] = {SLICE_INIT("true"), SLICE_INIT("false"),
                                         SLICE_INIT("null")};
    struct slice rest = slice_from(j->text, j->at);
    size_t n = number_length(rest);
    struct config_node *node;

    for (size_t i = 0; i < 3; i++)
        if (slice_starts(rest, words[i]))
            n = words[i].n;
    node = n ? tree_new(j->loader, CONFIG_SCALAR, here(j)) : NULL;
    if (!node)
        return NULL;
    node->text = tree_text(j->loader, slice_first(rest, n));
    j->at += n;
    return node->text.at ? node : NULL;
}

static struct config_node *
read_text(struct json *j)
{
    struct config_node *node = tree_new(j->loader, CONFIG_SCALAR, here(j));

    j->at++;
    if (!node || !read_string(j))
        return NULL;
    node->quoted = true;
    node->text = tree_text(j->loader, text_slice(&j->string));
    return node->text.at ? node : NULL;
}

static struct config_node *
read_list(struct json *j)
{
    struct config_node *list = tree_new(j->loader, CONFIG_LIST, here(j)), **last;

    j->at++;
    if (!list || accept(j, ']'))
        return list;
    last = &list->first;
    do {
        *last = read_value(j);
        if (!*last)
            return NULL;
        last = &(*last)->next;
    } while (accept(j, ','));
    return accept(j, ']') ? list : NULL;
}

/* False: the key is there already, or memory is used up. */
static bool
is_new_key(struct config_node *map, struct map *keys, size_t n, struct config_node *member)
{
    if (n <= LINEAR_KEYS)
        return !config_node_get(map, member->key);
    if (keys->count == 0)
        for (struct config_node *c = map->first; c; c = c->next)
            if (!map_put(keys, c->key, c))
                return false;
    return !map_get(keys, member->key) && map_put(keys, member->key, member);
}

static struct config_node *
read_member(struct json *j)
{
    struct config_node *member;
    struct config_mark mark;
    struct slice key;

    skip_blanks(j);
    mark = here(j);
    if (!accept(j, '"') || !read_string(j))
        return NULL;
    key = tree_key(j->loader, text_slice(&j->string));
    if (!key.at || !accept(j, ':'))
        return NULL;
    member = read_value(j);
    if (member) {
        member->key = key;
        member->key_mark = mark;
    }
    return member;
}

static struct config_node *
read_map(struct json *j)
{
    struct config_node *map = tree_new(j->loader, CONFIG_MAP, here(j)), *member = NULL, **last;
    struct map keys = {0};
    size_t n = 0;

    j->at++;
    if (!map || accept(j, '}'))
        return map;
    last = &map->first;
    do {
        member = read_member(j);
        if (!member || !is_new_key(map, &keys, n++, member)) {
            member = NULL;
            break;
        }
        *last = member;
        last = &member->next;
    } while (accept(j, ','));
    map_free(&keys);
    return member && accept(j, '}') ? map : NULL;
}

static struct config_node *
read_value(struct json *j)
{
    struct config_node *node = NULL;
    char c;

    skip_blanks(j);
    if (j->at >= j->text.n || j->depth == DEPTH_MAX)
        return NULL;
    j->depth++;
    c = j->text.at[j->at];
    if (c == '{')
        node = read_map(j);
    else if (c == '[')
        node = read_list(j);
    else
        node = c == '"' ? read_text(j) : read_word(j);
    j->depth--;
    return node;
}

struct config_node *
tree_parse_json(struct loader *l, struct slice text, uint16_t file)
{
    struct json j = {.loader = l, .text = text, .file = file};
    struct config_node *root = NULL;

    if (!lines_init(&j.lines, text))
        return NULL;
    text_init(&j.string, FILE_BYTES_MAX);
    root = read_value(&j);
    skip_blanks(&j);
    if (j.at < text.n)
        root = NULL;
    text_free(&j.string);
    lines_free(&j.lines);
    return root;
}
