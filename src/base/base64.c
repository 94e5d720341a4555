/* SPDX-License-Identifier: Apache-2.0 */
/* base/base64.c - base64url, strict: one text for each sequence of bytes. */
#include "base/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void
base64_encode(struct slice bytes, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < bytes.n; i++) {
        bits = bits << 8 | (uint8_t) bytes.at[i];
        for (held += 8; held >= 6; held -= 6)
            *out++ = alphabet[bits >> (held - 6) & 63];
    }
    if (held)
        *out = alphabet[bits << (6 - held) & 63];
}

/* 0..63; -1: not of the alphabet. */
static int
value_of(char c)
{
    if (ascii_is_alpha(c))
        return c <= 'Z' ? c - 'A' : c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool
base64_decode(struct slice letters, void *out)
{
    uint8_t *to = out;
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < letters.n; i++) {
        int value = value_of(letters.at[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t) value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *to++ = (uint8_t) (bits >> held);
        }
    }
    /* A single letter holds no byte, and the bits that fill up the last one are zero. */
    return letters.n % 4 != 1 && !(bits & ((1u << held) - 1));
}
