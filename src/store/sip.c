/* SPDX-License-Identifier: Apache-2.0 */
/* store/sip.c - SipHash-2-4-128. */
#include "store/sip.h"

#include <endian.h>
#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t
turn(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void
rounds(struct state *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v1 = turn(s->v1, 13) ^ s->v0;
        s->v0 = turn(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = turn(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = turn(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = turn(s->v1, 17) ^ s->v2;
        s->v2 = turn(s->v2, 32);
    }
}

static inline void
absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* Up to eight bytes, the first the lowest. */
static inline uint64_t
word_at(const char *at, size_t n)
{
    uint64_t word = 0;

    memcpy(&word, at, n);
    return le64toh(word);
}

void
sip_hash(const struct sip_secret *secret, const void *bytes, size_t n, uint64_t out[2])
{
    /* "somepseudorandomlygeneratedbytes", and 0xee for the 128 bits of output. */
    struct state s = {secret->k0 ^ 0x736f6d6570736575, secret->k1 ^ 0x646f72616e646f6d ^ 0xee,
                      secret->k0 ^ 0x6c7967656e657261, secret->k1 ^ 0x7465646279746573};
    const char *at = bytes;
    size_t left = n;

    for (; left >= 8; left -= 8, at += 8)
        absorb(&s, word_at(at, 8));
    absorb(&s, (left ? word_at(at, left) : 0) | (uint64_t) n << 56);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    out[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    out[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
