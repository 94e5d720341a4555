/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/text.h - text that is built piece by piece, up to a bound.
 *
 * A text writes into memory of its own that grows up to max_bytes (text_init) or into the caller's
 * (text_fixed).  Past the bound, or out of memory, nothing more is written and `full` stays set:
 * the caller looks once at the end.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/slice.h"

#include <stdarg.h>

struct text {
    char  *at;
    size_t n;
    size_t room;
    size_t max_bytes;
    bool   fixed;
    bool   full; /* something did not fit */
};

void text_init(struct text *t, size_t max_bytes);
void text_fixed(struct text *t, void *memory, size_t room);
void text_free(struct text *t);

/* Makes room for n more bytes; false (and full) when that is not possible. */
bool text_reserve(struct text *t, size_t n);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *format, va_list args);
void text_u64(struct text *t, uint64_t value);
/* As the inside of a JSON string: quotes, backslashes and control bytes escaped, bytes that are not
 * UTF-8 replaced by U+FFFD, so that the result is always valid JSON. */
void text_json(struct text *t, struct slice s);
/* Length of the valid UTF-8 sequence (RFC 3629) at the start of s, 0 when there is none. */
size_t text_utf8_length(struct slice s);
/* As the inside of HTML text or a quoted attribute. */
void text_html(struct text *t, struct slice s);

static inline void
text_put(struct text *t, struct slice s)
{
    if (s.n > t->room - t->n && !text_reserve(t, s.n))
        return;
    if (s.n)
        memcpy(t->at + t->n, s.at, s.n);
    t->n += s.n;
}

static inline void
text_byte(struct text *t, char c)
{
    if (t->n < t->room || text_reserve(t, 1))
        t->at[t->n++] = c;
}

#define text_literal(t, literal) text_put((t), SLICE(literal))

static inline struct slice
text_slice(const struct text *t)
{
    return slice_of(t->at, t->n);
}

/*
 * Eight bytes at once, in any order: not 0 when one of them is a control byte, '"', '\\', DEL or
 * above, which is to say, not the same in a JSON string.  Written for a run of plain text: only
 * whether the result is 0 means something, for what one special byte borrows may mark its
 * neighbour.
 */
static inline uint64_t
text_special_bytes(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u;

    return (v | (v + ones) | (v - ones * 0x20) | ((v ^ ones * '"') - ones) |
            ((v ^ ones * '\\') - ones)) &
           ones * 0x80;
}

#define TEXT_PLAIN_BYTES 0x2020202020202020u /* eight that are not special */

/* Decimal digits of value, most significant first, into out (20 bytes are enough); how many. */
size_t text_format_u64(char *out, uint64_t value);

#endif
