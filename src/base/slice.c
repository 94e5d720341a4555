/* SPDX-License-Identifier: Apache-2.0 */
/* base/slice.c - the operations on slices that are too long to be inline. */
#include "base/slice.h"

#include <strings.h>

bool
slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
            return false;
    return true;
}

bool
slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq_nocase(slice_of(s.at, prefix.n), prefix);
}

int
slice_compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.at, b.at, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

size_t
slice_search(struct slice s, struct slice what)
{
    const char *p;

    if (what.n == 0)
        return 0;
    if (what.n > s.n)
        return SLICE_NOT_FOUND;
    p = memmem(s.at, s.n, what.at, what.n);
    return p ? (size_t) (p - s.at) : SLICE_NOT_FOUND;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice s)
{
    while (s.n && is_blank(s.at[0])) {
        s.at++;
        s.n--;
    }
    while (s.n && is_blank(s.at[s.n - 1]))
        s.n--;
    return s;
}

struct slice
slice_cut(struct slice *rest, char separator)
{
    size_t at = slice_find(*rest, separator);
    struct slice part = *rest;

    if (at == SLICE_NOT_FOUND) {
        *rest = (struct slice){NULL, 0};
        return part;
    }
    *rest = slice_of(part.at + at + 1, part.n - at - 1);
    return slice_of(part.at, at);
}

/* Length of the element at the start of s: up to a comma that is not inside a quoted string. */
static size_t
element_length(struct slice s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.at[i] == '\\')
            i++;
        else if (s.at[i] == '"')
            quoted = !quoted;
        else if (!quoted && s.at[i] == ',')
            return i;
    }
    return s.n;
}

bool
slice_next_element(struct slice *rest, struct slice *element)
{
    while (rest->n) {
        size_t n = element_length(*rest);

        *element = slice_trim(slice_of(rest->at, n));
        *rest = slice_from(*rest, n + 1);
        if (element->n)
            return true;
    }
    return false;
}

bool
slice_to_u64(struct slice s, uint64_t max, uint64_t *value)
{
    enum { SAFE_DIGITS = 19 }; /* so many always fit */
    uint64_t v = 0;
    size_t i = 0;

    if (s.n == 0)
        return false;
    for (; i < s.n && i < SAFE_DIGITS; i++) {
        if (!ascii_is_digit(s.at[i]))
            return false;
        v = v * 10 + (uint64_t) (s.at[i] - '0');
    }
    for (; i < s.n; i++) {
        if (!ascii_is_digit(s.at[i]) || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t) (s.at[i] - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *value = v;
    return true;
}

bool
slice_hex_to_u64(struct slice s, uint64_t *value)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 16)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.at[i]);

        if (ascii_is_digit(c))
            v = v << 4 | (uint64_t) (c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t) (c - 'a' + 10);
        else
            return false;
    }
    *value = v;
    return true;
}
