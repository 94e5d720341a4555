/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/deflate.h - DEFLATE blocks (RFC 1951) of what was found to repeat.
 */
#ifndef MIDDLEWARE_COMPRESS_DEFLATE_H
#define MIDDLEWARE_COMPRESS_DEFLATE_H

#include "base/slice.h"

enum {
    DEFLATE_LENGTH_MAX = 258,
    DEFLATE_DISTANCE_MAX = 32768,
    DEFLATE_SYMBOLS = 286,  /* literals, the end of the block, lengths */
    DEFLATE_DISTANCES = 30,
    DEFLATE_BLOCK_BYTES = 64 * 1024, /* of the plain form */
};

/* A literal has distance 0 and its byte as length. */
struct deflate_token {
    uint16_t length, distance;
};

/* One block that is being made: its tokens, and how often each symbol occurs. */
struct deflate_block {
    struct deflate_token tokens[DEFLATE_BLOCK_BYTES];
    uint32_t             n;
    uint32_t             symbols[DEFLATE_SYMBOLS], distances[DEFLATE_DISTANCES];
};

/* Bits on their way out, the first one lowest. */
struct deflate_bits {
    uint64_t bits;
    unsigned n;
    uint8_t *at;
};

/* Most bytes that a block of so many becomes, with what lay in the bits before. */
#define DEFLATE_BOUND(n) ((n) + (n) / 8 + 512)

void deflate_block_clear(struct deflate_block *b);
/* Writes the block in whichever of the three forms is shortest; plain: what it stands for. */
void deflate_block_write(struct deflate_block *b, struct slice plain, bool last,
                         struct deflate_bits *out);
/* An empty stored block: all that was written can be read now. */
void deflate_sync(struct deflate_bits *out);
/* Up to the next byte. */
void deflate_align(struct deflate_bits *out);

/* Index of the code of a length (3..258) or a distance (1..32768). */
extern const uint8_t deflate_length_codes[DEFLATE_LENGTH_MAX + 1];

static inline unsigned
deflate_distance_code(unsigned distance)
{
    unsigned d = distance - 1, log;

    if (d < 4)
        return d;
    log = 31 - (unsigned) __builtin_clz(d);
    return 2 * log + (d >> (log - 1) & 1);
}

static inline void
deflate_literal(struct deflate_block *b, uint8_t byte)
{
    b->tokens[b->n++] = (struct deflate_token){byte, 0};
    b->symbols[byte]++;
}

static inline void
deflate_match(struct deflate_block *b, unsigned length, unsigned distance)
{
    b->tokens[b->n++] = (struct deflate_token){(uint16_t) length, (uint16_t) distance};
    b->symbols[257 + deflate_length_codes[length]]++;
    b->distances[deflate_distance_code(distance)]++;
}

#endif
