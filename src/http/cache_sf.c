/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_sf.c - the parser of RFC 8941 4.2; each function cuts what it has read off *rest. */
#include "http/cache_sf.h"

#include "http/chars.h"

enum { DIGITS_MAX = 15, WHOLE_DIGITS_MAX = 12, FRACTION_DIGITS_MAX = 3 };

static bool
take(struct slice *rest, char c)
{
    if (rest->n == 0 || rest->at[0] != c)
        return false;
    *rest = slice_from(*rest, 1);
    return true;
}

static void
skip(struct slice *rest, struct slice blanks)
{
    while (rest->n && slice_find(blanks, rest->at[0]) != SLICE_NOT_FOUND)
        *rest = slice_from(*rest, 1);
}

static bool
is_key_byte(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || c == '*')
        return true;
    return !first && (ascii_is_digit(c) || c == '_' || c == '-' || c == '.');
}

static bool
read_key(struct slice *rest, struct slice *key)
{
    size_t n = 0;

    while (n < rest->n && is_key_byte(rest->at[n], n == 0))
        n++;
    *key = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return n != 0;
}

static size_t
digits_of(struct slice s)
{
    size_t n = 0;

    while (n < s.n && ascii_is_digit(s.at[n]))
        n++;
    return n;
}

static bool
read_number(struct slice *rest, struct sf_item *item)
{
    bool negative = take(rest, '-');
    size_t n = digits_of(*rest);
    uint64_t value;

    if (n > DIGITS_MAX || !slice_to_u64(slice_first(*rest, n), INT64_MAX, &value))
        return false;
    *rest = slice_from(*rest, n);
    item->kind = SF_INTEGER;
    item->integer = negative ? -(int64_t) value : (int64_t) value;
    if (!take(rest, '.'))
        return true;
    item->kind = SF_DECIMAL;
    if (n > WHOLE_DIGITS_MAX)
        return false;
    n = digits_of(*rest);
    *rest = slice_from(*rest, n);
    return n >= 1 && n <= FRACTION_DIGITS_MAX;
}

static bool
read_string(struct slice *rest, struct sf_item *item)
{
    item->kind = SF_STRING;
    for (size_t i = 1; i < rest->n; i++) {
        char c = rest->at[i];

        if (c == '"') {
            item->text = slice_of(rest->at + 1, i - 1);
            *rest = slice_from(*rest, i + 1);
            return true;
        }
        if (c == '\\' && (++i == rest->n || (rest->at[i] != '"' && rest->at[i] != '\\')))
            return false;
        if (c < 0x20 || c > 0x7E)
            return false;
    }
    return false;
}

static bool
read_token(struct slice *rest, struct sf_item *item)
{
    size_t n = 1;

    while (n < rest->n &&
           (char_is(rest->at[n], CHAR_TOKEN) || rest->at[n] == ':' || rest->at[n] == '/'))
        n++;
    item->kind = SF_TOKEN;
    item->text = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return true;
}

static bool
read_bytes(struct slice *rest, struct sf_item *item)
{
    size_t end = slice_find(slice_from(*rest, 1), ':');

    if (end == SLICE_NOT_FOUND)
        return false;
    item->kind = SF_BYTES;
    for (size_t i = 1; i <= end; i++) {
        char c = rest->at[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '+' && c != '/' && c != '=')
            return false;
    }
    *rest = slice_from(*rest, end + 2);
    return true;
}

static bool
read_boolean(struct slice *rest, struct sf_item *item)
{
    item->kind = SF_BOOLEAN;
    *rest = slice_from(*rest, 1);
    item->truth = take(rest, '1');
    return item->truth || take(rest, '0');
}

static bool
read_bare_item(struct slice *rest, struct sf_item *item)
{
    char c = rest->n ? rest->at[0] : '\0';

    *item = (struct sf_item){0};
    if (c == '-' || ascii_is_digit(c))
        return read_number(rest, item);
    if (c == '"')
        return read_string(rest, item);
    if (c == '*' || ascii_is_alpha(c))
        return read_token(rest, item);
    if (c == ':')
        return read_bytes(rest, item);
    return c == '?' && read_boolean(rest, item);
}

static bool
skip_parameters(struct slice *rest)
{
    struct slice key;
    struct sf_item ignored;

    while (take(rest, ';')) {
        skip(rest, SLICE(" "));
        if (!read_key(rest, &key) || (take(rest, '=') && !read_bare_item(rest, &ignored)))
            return false;
    }
    return true;
}

/* Behind its '('. */
static bool
skip_inner_list(struct slice *rest)
{
    struct sf_item ignored;

    for (;;) {
        skip(rest, SLICE(" "));
        if (take(rest, ')'))
            return true;
        if (!read_bare_item(rest, &ignored) || !skip_parameters(rest))
            return false;
        if (rest->n == 0 || (rest->at[0] != ' ' && rest->at[0] != ')'))
            return false;
    }
}

static bool
read_value(struct slice *rest, struct sf_item *item)
{
    if (take(rest, '(')) {
        *item = (struct sf_item){.kind = SF_INNER_LIST};
        return skip_inner_list(rest) && skip_parameters(rest);
    }
    return read_bare_item(rest, item) && skip_parameters(rest);
}

/* The comma behind a member; there has to be another member behind it. */
static enum sf_step
end_member(struct slice *rest)
{
    skip(rest, SLICE(" \t"));
    if (rest->n == 0)
        return SF_MEMBER;
    if (!take(rest, ','))
        return SF_BAD;
    skip(rest, SLICE(" \t"));
    return rest->n ? SF_MEMBER : SF_BAD;
}

enum sf_step
sf_next_of_dictionary(struct slice *rest, struct slice *key, struct sf_item *item)
{
    bool good;

    skip(rest, SLICE(" "));
    if (rest->n == 0)
        return SF_END;
    if (!read_key(rest, key))
        return SF_BAD;
    if (take(rest, '=')) {
        good = read_value(rest, item);
    } else {
        *item = (struct sf_item){.kind = SF_BOOLEAN, .truth = true};
        good = skip_parameters(rest);
    }
    return good ? end_member(rest) : SF_BAD;
}

enum sf_step
sf_next_of_list(struct slice *rest, struct sf_item *item)
{
    skip(rest, SLICE(" "));
    if (rest->n == 0)
        return SF_END;
    return read_value(rest, item) ? end_member(rest) : SF_BAD;
}
