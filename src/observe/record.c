/* SPDX-License-Identifier: Apache-2.0 */
/* observe/record.c - formatting without looking for room. */
#include "observe/record.h"

#include "base/check.h"
#include "base/text.h"

/* The longest thing that stands for one byte: \u00XX. */
#define ESCAPE_MAX 6

char *
record_u64(char *p, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536"
        "37383940414243444546474849505152535455565758596061626364656667686970717273"
        "7475767778798081828384858687888990919293949596979899";
    char digits[RECORD_U64_MAX];
    char *at = digits + sizeof(digits);
    size_t n;

    while (value >= 100) {
        memcpy(at -= 2, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(at -= 2, pairs + value * 2, 2);
    else
        *--at = (char) ('0' + value);
    n = (size_t) (digits + sizeof(digits) - at);
    memcpy(p, at, n);
    return p + n;
}

static uint64_t
load(const char *at, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, at, n);
    return v;
}

/* Copies s, eight bytes at a time; false when something in it needs more than copying. */
static bool
copy_plain(char *p, struct slice s)
{
    uint64_t special = 0, v;

    if (s.n >= 8) {
        for (size_t i = 0; i + 8 < s.n; i += 8) {
            v = load(s.at + i, 8);
            special |= text_special_bytes(v);
            memcpy(p + i, &v, 8);
        }
        v = load(s.at + s.n - 8, 8);
        memcpy(p + s.n - 8, &v, 8);
    } else if (s.n >= 4) {
        uint64_t low = load(s.at, 4), high = load(s.at + s.n - 4, 4);

        memcpy(p, &low, 4);
        memcpy(p + s.n - 4, &high, 4);
        v = low | high << 32;
    } else {
        v = TEXT_PLAIN_BYTES;
        for (size_t i = 0; i < s.n; i++) {
            v = v << 8 | (unsigned char) s.at[i];
            p[i] = s.at[i];
        }
    }
    return (special | text_special_bytes(v)) == 0;
}

static char *
put_hex(char *p, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    *p++ = hex[c >> 4];
    *p++ = hex[c & 15];
    return p;
}

static bool
is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* What stands for the bytes at s in JSON; *used: how many of them it stands for. */
static char *
put_json_piece(char *p, struct slice s, size_t *used)
{
    unsigned char c = (unsigned char) s.at[0];

    *used = 1;
    switch (c) {
    case '"': return RECORD_LITERAL(p, "\\\"");
    case '\\': return RECORD_LITERAL(p, "\\\\");
    case '\n': return RECORD_LITERAL(p, "\\n");
    case '\r': return RECORD_LITERAL(p, "\\r");
    case '\t': return RECORD_LITERAL(p, "\\t");
    default: break;
    }
    if (c < 0x80)
        return put_hex(RECORD_LITERAL(p, "\\u00"), c);
    *used = text_utf8_length(s);
    if (*used == 0) {
        *used = 1;
        return RECORD_LITERAL(p, "\\ufffd");
    }
    memcpy(p, s.at, *used);
    return p + *used;
}

static char *
put_quoted_piece(char *p, struct slice s, size_t *used)
{
    unsigned char c = (unsigned char) s.at[0];

    *used = 1;
    if (c == '"' || c == '\\') {
        *p++ = '\\';
        *p++ = (char) c;
        return p;
    }
    return put_hex(RECORD_LITERAL(p, "\\x"), c);
}

typedef char *put_piece_f(char *p, struct slice s, size_t *used);

/* Byte by byte.  There is always room for one more escape and the three dots. */
static char *
put_slowly(char *p, size_t budget, struct slice s, put_piece_f *put_piece)
{
    const char *end = p + budget - ESCAPE_MAX - 3;
    size_t used = 1;

    CHECK(budget >= RECORD_BUDGET_MIN);
    for (; s.n; s = slice_from(s, used)) {
        if (p > end)
            return RECORD_LITERAL(p, "...");
        used = 1;
        if (is_plain((unsigned char) s.at[0]))
            *p++ = s.at[0];
        else
            p = put_piece(p, s, &used);
    }
    return p;
}

char *
record_json(char *p, size_t budget, struct slice s)
{
    if (likely(s.n <= budget && copy_plain(p, s)))
        return p + s.n;
    return put_slowly(p, budget, s, put_json_piece);
}

char *
record_quoted(char *p, size_t budget, struct slice s)
{
    if (likely(s.n <= budget && copy_plain(p, s)))
        return p + s.n;
    return put_slowly(p, budget, s, put_quoted_piece);
}
