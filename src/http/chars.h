/* SPDX-License-Identifier: Apache-2.0 */
/* http/chars.h - what a byte may be part of.  Private to the room. */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include "base/slice.h"

enum {
    CHAR_TOKEN = 1,       /* RFC 9110 5.6.2 */
    CHAR_UNRESERVED = 2,  /* RFC 3986 2.3 */
    CHAR_PATH = 4,        /* stands in a normal path as it is */
    CHAR_PATH_ENCODE = 8, /* not a URI character, but occurs: percent-encoded in a normal path */
    CHAR_HOST = 16,       /* reg-name; without ',' and '%', see chars.c */
};

extern const uint8_t char_classes[256];

static inline bool
char_is(char c, unsigned classes)
{
    return char_classes[(unsigned char) c] & classes;
}

/* True when every byte is of one of the classes; so for the empty slice. */
static inline bool
chars_are(struct slice s, unsigned classes)
{
    for (size_t i = 0; i < s.n; i++)
        if (!char_is(s.at[i], classes))
            return false;
    return true;
}

/* The value of a hexadecimal digit, -1 for anything else. */
static inline int
hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = (char) (c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" at the start of s stands for, -1 when s does not start so. */
static inline int
percent_byte(struct slice s)
{
    int high, low;

    if (s.n < 3 || s.at[0] != '%')
        return -1;
    high = hex_digit(s.at[1]);
    low = hex_digit(s.at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

#endif
