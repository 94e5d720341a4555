/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/slice.h - a stretch of bytes that somebody else owns.
 *
 * Passed by value.  Not terminated by zero, may hold any byte.  {NULL, 0} is the empty slice; a
 * slice with a pointer and length 0 is empty too, but present (slice_is_present), which is how an
 * absent value differs from an empty one.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *at;
    size_t      n;
};

#define SLICE(literal) ((struct slice){"" literal "", sizeof(literal) - 1})
/* For static initialisers, where a compound literal is not constant. */
#define SLICE_INIT(literal) {"" literal "", sizeof(literal) - 1}
/* For printf: printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int) (s).n, (s).at

static inline struct slice
slice_of(const char *at, size_t n)
{
    return (struct slice){at, n};
}

static inline struct slice
slice_str(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool
slice_is_present(struct slice s)
{
    return s.at != NULL;
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

static inline bool
slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.at, prefix.at, prefix.n) == 0);
}

static inline bool
slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.at + s.n - suffix.n, suffix.at, suffix.n) == 0);
}

/* What follows the first n bytes; empty when there are fewer. */
static inline struct slice
slice_from(struct slice s, size_t n)
{
    return n >= s.n ? slice_of(s.at + s.n, 0) : slice_of(s.at + n, s.n - n);
}

static inline struct slice
slice_first(struct slice s, size_t n)
{
    return slice_of(s.at, n < s.n ? n : s.n);
}

#define SLICE_NOT_FOUND SIZE_MAX

/* Offset of the first such byte, or SLICE_NOT_FOUND. */
static inline size_t
slice_find(struct slice s, char c)
{
    const char *p = s.n ? memchr(s.at, c, s.n) : NULL;

    return p ? (size_t) (p - s.at) : SLICE_NOT_FOUND;
}

/* ASCII only: HTTP's names are ASCII, and the locale must not change a verdict. */
static inline char
ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char) (c | 0x20) : c;
}

static inline bool
ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool
ascii_is_alpha(char c)
{
    char l = (char) (c | 0x20);

    return l >= 'a' && l <= 'z';
}

bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_nocase(struct slice s, struct slice prefix);
/* <0, 0, >0 as memcmp, the shorter first when one is a prefix of the other. */
int slice_compare(struct slice a, struct slice b);
/* Offset of the first occurrence of what, or SLICE_NOT_FOUND; an empty what is found at 0. */
size_t slice_search(struct slice s, struct slice what);
/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);
/*
 * Cut the part before the first separator off *rest and return it; the last part is returned when
 * no separator is left and *rest becomes absent.  Loop: while (slice_is_present(rest)) ...
 */
struct slice slice_cut(struct slice *rest, char separator);
/* The next element of a comma-separated list (RFC 9110 5.6.1): trimmed, empty elements skipped,
 * quoted strings kept whole.  False when none is left. */
bool slice_next_element(struct slice *rest, struct slice *element);
/* Decimal digits only, no sign, no blanks; false when empty, not a number, or above max. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value);
/* Hexadecimal digits only; false when empty, more than 16 digits, or something else. */
bool slice_hex_to_u64(struct slice s, uint64_t *value);

#endif
