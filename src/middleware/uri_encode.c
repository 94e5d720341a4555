/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/uri_encode.c - see uri_encode.h. */
#include "middleware/uri_encode.h"

#include "base/check.h"

/* Bit 1 << enum uri_part: the byte stands in that part as it is (RFC 3986 3.3, 3.4).  Brackets are
 * no path characters by the letter, but the wild is full of a[]=1 and every server takes them. */
static const uint8_t stands_in[256] = {
    ['a' ... 'z'] = 7, ['A' ... 'Z'] = 7, ['0' ... '9'] = 7, ['-'] = 7, ['.'] = 7, ['_'] = 7,
    ['~'] = 7,         ['!'] = 7,         ['$'] = 7,         ['&'] = 7, ['\''] = 7, ['('] = 7,
    [')'] = 7,         ['*'] = 7,         ['+'] = 7,         [','] = 7, [';'] = 7, ['='] = 7,
    [':'] = 7,         ['@'] = 7,         ['/'] = 7,         ['['] = 7, [']'] = 7,
    ['?'] = 1 << URI_QUERY | 1 << URI_WHOLE,
    ['#'] = 1 << URI_WHOLE,
};

static bool
is_hex(char c)
{
    char l = ascii_lower(c);

    return ascii_is_digit(c) || (l >= 'a' && l <= 'f');
}

static bool
stands(struct slice text, size_t i, enum uri_part part)
{
    if (text.at[i] == '%')
        return text.n - i >= 3 && is_hex(text.at[i + 1]) && is_hex(text.at[i + 2]);
    return stands_in[(unsigned char) text.at[i]] >> part & 1;
}

struct slice
uri_encode(struct slice text, enum uri_part part, struct arena *arena)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t wrong = 0;
    char *out, *end;

    for (size_t i = 0; i < text.n; i++)
        wrong += !stands(text, i, part);
    if (wrong == 0)
        return text;
    out = end = arena_alloc(arena, text.n + 2 * wrong); /* text.n is far below SIZE_MAX / 3 */
    if (!out)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char) text.at[i];

        if (stands(text, i, part)) {
            *end++ = text.at[i];
            continue;
        }
        *end++ = '%';
        *end++ = digits[c >> 4];
        *end++ = digits[c & 15];
    }
    CHECK((size_t) (end - out) == text.n + 2 * wrong);
    return slice_of(out, (size_t) (end - out));
}

/* How many bytes of a dot stand at the start of s: 1 for ".", 3 for "%2e", else 0. */
static size_t
dot_length(struct slice s)
{
    if (slice_starts(s, SLICE(".")))
        return 1;
    return slice_starts_nocase(s, SLICE("%2e")) ? 3 : 0;
}

bool
uri_has_dot_segment(struct slice path)
{
    while (slice_is_present(path)) {
        struct slice segment = slice_cut(&path, '/');
        size_t first = dot_length(segment);
        size_t second = dot_length(slice_from(segment, first));

        if (first && first + second == segment.n)
            return true;
    }
    return false;
}
