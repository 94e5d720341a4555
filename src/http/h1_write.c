/* SPDX-License-Identifier: Apache-2.0 */
/* http/h1_write.c - fields and chunk headers onto the wire. */
#include "base/check.h"
#include "http/h1.h"

size_t
h1_chunk_header(char *out, uint64_t n)
{
    size_t digits;

    CHECK(n > 0);
    digits = (size_t) (67 - __builtin_clzll(n)) / 4;
    for (size_t i = digits; i-- > 0; n >>= 4)
        out[i] = "0123456789abcdef"[n & 15];
    memcpy(out + digits, "\r\n", 2);
    return digits + 2;
}

size_t
h1_fields_size(const struct fields *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++)
        n += h1_field_size(&f->at[i]);
    return n;
}

/* Names and values are mostly short: two overlapping moves spare them a call of memcpy. */
static inline char *
put(char *out, struct slice s)
{
    if (s.n >= 16 && s.n <= 32) {
        memcpy(out, s.at, 16);
        memcpy(out + s.n - 16, s.at + s.n - 16, 16);
    } else if (s.n >= 8 && s.n < 16) {
        memcpy(out, s.at, 8);
        memcpy(out + s.n - 8, s.at + s.n - 8, 8);
    } else if (s.n >= 4 && s.n < 8) {
        memcpy(out, s.at, 4);
        memcpy(out + s.n - 4, s.at + s.n - 4, 4);
    } else if (s.n) {
        memcpy(out, s.at, s.n);
    }
    return out + s.n;
}

static inline char *
put_field(char *out, const struct field *f)
{
    out = put(out, f->name);
    memcpy(out, ": ", 2);
    out = put(out + 2, f->value);
    memcpy(out, "\r\n", 2);
    return out + 2;
}

char *
h1_write_field(char *out, const struct field *f)
{
    return put_field(out, f);
}

char *
h1_write_fields(char *out, const struct fields *f)
{
    for (size_t i = 0; i < f->n; i++)
        out = put_field(out, &f->at[i]);
    return out;
}
