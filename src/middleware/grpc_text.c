/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/grpc_text.c - base64, four letters at a time, strict. */
#include "middleware/grpc_text.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63; -1: not of the alphabet. */
static int
value_of(char c)
{
    if (ascii_is_alpha(c))
        return c <= 'Z' ? c - 'A' : c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One more letter of the four. */
static bool
take_letter(struct grpc_text_decoder *d, char c)
{
    int value = value_of(c);

    if (c == '=') {
        if (d->letters < 2)
            return false;
        d->padding++;
        value = 0;
    } else if (value < 0 || d->padding) {
        return false;
    }
    d->bits = d->bits << 6 | (uint32_t) value;
    d->letters++;
    return true;
}

/* The bytes of four letters; the bits that padding leaves over are zero. */
static bool
put_bytes(struct grpc_text_decoder *d, char *out, size_t *n)
{
    unsigned bytes = 3 - d->padding;

    if (d->bits & ((1u << d->padding * 8) - 1))
        return false;
    for (unsigned i = 0; i < bytes; i++)
        out[(*n)++] = (char) (d->bits >> (16 - 8 * i));
    *d = (struct grpc_text_decoder){0};
    return true;
}

bool
grpc_text_decode(struct grpc_text_decoder *d, struct slice *letters, char *out, size_t room,
                 size_t *n)
{
    size_t i = 0;

    *n = 0;
    for (; i < letters->n && room - *n >= 3; i++)
        if (!take_letter(d, letters->at[i]) || (d->letters == 4 && !put_bytes(d, out, n)))
            return false;
    *letters = slice_from(*letters, i);
    return true;
}

void
grpc_text_encode(struct slice bytes, char *out)
{
    for (; bytes.n; bytes = slice_from(bytes, 3)) {
        size_t n = bytes.n < 3 ? bytes.n : 3;
        uint32_t bits = 0;

        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < n ? (uint8_t) bytes.at[i] : 0);
        for (size_t i = 0; i < 4; i++)
            *out++ = i <= n ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    }
}
