/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/deflate.c - from tokens to bits: Huffman codes of limited length and the
 * three forms of a block (RFC 1951 3.2).
 *
 * Codes are made in place as Moffat and Katajainen do (1995); those that come out too long are
 * shortened by lengthening others until Kraft's sum is right again.
 */
#include "middleware/compress/deflate.h"

#include <stdlib.h>

enum {
    END_OF_BLOCK = 256,
    BITS_MAX = 15,          /* of a symbol's code */
    META_SYMBOLS = 19,      /* of the code in which the lengths of codes are written */
    META_BITS_MAX = 7,
    LENGTHS_MAX = DEFLATE_SYMBOLS + DEFLATE_DISTANCES,
    CODE_MAX = 288, /* the fixed code has two more, which stand for nothing */
    STORED = 0, FIXED = 1, DYNAMIC = 2,
};

static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                         15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                         67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

const uint8_t deflate_length_codes[DEFLATE_LENGTH_MAX + 1] = {
    0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12,
    12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 16, 16,
    16, 16, 16, 17, 17, 17, 17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 18, 18, 18, 19,
    19, 19, 19, 19, 19, 19, 19, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
    20, 20, 20, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 22,
    22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 23, 23, 23, 23, 23,
    23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24,
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
    24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25,
    25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 26, 26, 26, 26, 26,
    26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26,
    26, 26, 26, 26, 26, 26, 26, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27,
    27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 28,
};

/* ------------------------------------------------------------------ bits */

static inline void
put(struct deflate_bits *out, uint64_t bits, unsigned n)
{
    out->bits |= bits << out->n;
    out->n += n;
}

/* Afterwards there is room for 56 bits more; never all 64 are taken. */
static inline void
flush(struct deflate_bits *out)
{
    memcpy(out->at, &out->bits, sizeof(out->bits)); /* little-endian */
    out->at += out->n / 8;
    out->bits >>= out->n & ~7u;
    out->n %= 8;
}

void
deflate_align(struct deflate_bits *out)
{
    flush(out);
    if (out->n) {
        *out->at++ = (uint8_t) out->bits;
        out->bits = 0;
        out->n = 0;
    }
}

/* ------------------------------------------------------------------ codes */

struct code {
    uint16_t bits[CODE_MAX]; /* the last one lowest: as they are written */
    uint8_t  lengths[CODE_MAX];
};

/* A symbol and how often it occurs in one number, to be sorted. */
static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}

/* w: frequencies, ascending; becomes the depths in the tree, descending. */
static void
depths(uint32_t *w, int n)
{
    int root = 0, leaf = 2, next;
    int available, used, depth;

    w[0] += w[1];
    for (next = 1; next < n - 1; next++) {
        uint32_t sum = 0;

        for (int i = 0; i < 2; i++) {
            if (leaf >= n || (root < next && w[root] < w[leaf])) {
                sum += w[root];
                w[root++] = (uint32_t) next;
            } else {
                sum += w[leaf++];
            }
        }
        w[next] = sum;
    }
    w[n - 2] = 0;
    for (next = n - 3; next >= 0; next--)
        w[next] = w[w[next]] + 1;
    available = 1;
    used = depth = 0;
    root = n - 2;
    next = n - 1;
    while (available > 0) {
        while (root >= 0 && (int) w[root] == depth) {
            used++;
            root--;
        }
        while (available > used) {
            w[next--] = (uint32_t) depth;
            available--;
        }
        available = 2 * used;
        depth++;
        used = 0;
    }
}

/* Depths (descending) above the limit are cut, and others lengthened until the code is one
 * again. */
static void
limit(uint32_t *depth, int n, unsigned max)
{
    uint32_t kraft = 0;

    for (int i = 0; i < n; i++) {
        if (depth[i] > max)
            depth[i] = max;
        kraft += 1u << (max - depth[i]);
    }
    for (int i = 0; kraft > 1u << max && i < n; i++) {
        while (depth[i] < max && kraft > 1u << max) {
            depth[i]++;
            kraft -= 1u << (max - depth[i]);
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        while (depth[i] > 1 && kraft + (1u << (max - depth[i])) <= 1u << max) {
            kraft += 1u << (max - depth[i]);
            depth[i]--;
        }
    }
}

static unsigned
reversed(unsigned bits, unsigned n)
{
    unsigned r = 0;

    while (n--) {
        r = r << 1 | (bits & 1);
        bits >>= 1;
    }
    return r;
}

/* Canonical codes of these lengths (RFC 1951 3.2.2). */
static void
assign(struct code *c, unsigned n)
{
    unsigned count[BITS_MAX + 2] = {0}, next[BITS_MAX + 2], code = 0;

    for (unsigned i = 0; i < n; i++)
        count[c->lengths[i]]++;
    count[0] = 0;
    for (unsigned bits = 1; bits <= BITS_MAX; bits++) {
        code = (code + count[bits - 1]) << 1;
        next[bits] = code;
    }
    for (unsigned i = 0; i < n; i++)
        if (c->lengths[i])
            c->bits[i] = (uint16_t) reversed(next[c->lengths[i]]++, c->lengths[i]);
}

/* At least two symbols get a code: some decoders want that. */
static void
make_code(struct code *c, const uint32_t *frequencies, unsigned n, unsigned max)
{
    uint32_t sorted[DEFLATE_SYMBOLS], w[DEFLATE_SYMBOLS];
    int used = 0;

    memset(c->lengths, 0, sizeof(c->lengths));
    for (unsigned i = 0; i < n; i++)
        if (frequencies[i])
            sorted[used++] = frequencies[i] << 9 | i;
    for (unsigned i = 0; used < 2; i++)
        if (!frequencies[i])
            sorted[used++] = 1 << 9 | i;
    qsort(sorted, (size_t) used, sizeof(*sorted), compare);
    for (int i = 0; i < used; i++)
        w[i] = sorted[i] >> 9;
    depths(w, used);
    limit(w, used, max);
    for (int i = 0; i < used; i++)
        c->lengths[sorted[i] & 511] = (uint8_t) w[i];
    assign(c, n);
}

/* ------------------------------------------------------------------ the head of a dynamic block */

struct head {
    unsigned    symbols, distances, metas; /* how many lengths are written of each */
    uint8_t     runs[LENGTHS_MAX];         /* symbols of the meta code */
    uint8_t     extra[LENGTHS_MAX];
    unsigned    n;
    struct code meta;
};

static const uint8_t meta_order[META_SYMBOLS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                 11, 4,  12, 3, 13, 2, 14, 1, 15};

static unsigned
meta_extra(unsigned symbol)
{
    return symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
}

static void
add_run(struct head *h, unsigned symbol, unsigned extra)
{
    h->runs[h->n] = (uint8_t) symbol;
    h->extra[h->n++] = (uint8_t) extra;
}

/* Runs of equal lengths (RFC 1951 3.2.7). */
static void
find_runs(struct head *h, const uint8_t *lengths, unsigned n)
{
    for (unsigned i = 0, run; i < n; i += run) {
        uint8_t length = lengths[i];

        for (run = 1; i + run < n && lengths[i + run] == length;)
            run++;
        if (length == 0 && run >= 3) {
            run = run < 138 ? run : 138;
            add_run(h, run <= 10 ? 17 : 18, run <= 10 ? run - 3 : run - 11);
        } else if (length && run >= 4) {
            run = run < 7 ? run : 7;
            add_run(h, length, 0);
            add_run(h, 16, run - 4);
        } else {
            run = 1;
            add_run(h, length, 0);
        }
    }
}

/* Bits that it takes. */
static unsigned
make_head(struct head *h, const struct code *symbols, const struct code *distances)
{
    uint32_t frequencies[META_SYMBOLS] = {0};
    uint8_t lengths[LENGTHS_MAX];
    unsigned bits;

    h->symbols = DEFLATE_SYMBOLS;
    while (h->symbols > 257 && symbols->lengths[h->symbols - 1] == 0)
        h->symbols--;
    h->distances = DEFLATE_DISTANCES;
    while (h->distances > 1 && distances->lengths[h->distances - 1] == 0)
        h->distances--;
    memcpy(lengths, symbols->lengths, h->symbols);
    memcpy(lengths + h->symbols, distances->lengths, h->distances);
    h->n = 0;
    find_runs(h, lengths, h->symbols + h->distances);
    for (unsigned i = 0; i < h->n; i++)
        frequencies[h->runs[i]]++;
    make_code(&h->meta, frequencies, META_SYMBOLS, META_BITS_MAX);
    h->metas = META_SYMBOLS;
    while (h->metas > 4 && h->meta.lengths[meta_order[h->metas - 1]] == 0)
        h->metas--;
    bits = 14 + 3 * h->metas;
    for (unsigned i = 0; i < h->n; i++)
        bits += h->meta.lengths[h->runs[i]] + meta_extra(h->runs[i]);
    return bits;
}

static void
write_head(const struct head *h, struct deflate_bits *out)
{
    put(out, h->symbols - 257, 5);
    put(out, h->distances - 1, 5);
    put(out, h->metas - 4, 4);
    flush(out);
    for (unsigned i = 0; i < h->metas; i++) {
        put(out, h->meta.lengths[meta_order[i]], 3);
        flush(out);
    }
    for (unsigned i = 0; i < h->n; i++) {
        put(out, h->meta.bits[h->runs[i]], h->meta.lengths[h->runs[i]]);
        put(out, h->extra[i], meta_extra(h->runs[i]));
        flush(out);
    }
}

/* ------------------------------------------------------------------ blocks */

void
deflate_block_clear(struct deflate_block *b)
{
    b->n = 0;
    memset(b->symbols, 0, sizeof(b->symbols));
    memset(b->distances, 0, sizeof(b->distances));
}

static void
fixed_codes(struct code *symbols, struct code *distances)
{
    for (unsigned i = 0; i < CODE_MAX; i++)
        symbols->lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    assign(symbols, CODE_MAX);
    for (unsigned i = 0; i < DEFLATE_DISTANCES; i++) {
        distances->lengths[i] = 5;
        distances->bits[i] = (uint16_t) reversed(i, 5);
    }
}

/* Bits of all tokens by these codes, but for what lengths and distances need beside. */
static uint64_t
cost(const struct deflate_block *b, const struct code *symbols, const struct code *distances)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < DEFLATE_SYMBOLS; i++)
        bits += (uint64_t) b->symbols[i] * symbols->lengths[i];
    for (unsigned i = 0; i < DEFLATE_DISTANCES; i++)
        bits += (uint64_t) b->distances[i] * distances->lengths[i];
    return bits;
}

static uint64_t
extra_cost(const struct deflate_block *b)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 29; i++)
        bits += (uint64_t) b->symbols[257 + i] * length_extra[i];
    for (unsigned i = 4; i < DEFLATE_DISTANCES; i++)
        bits += (uint64_t) b->distances[i] * (i / 2 - 1);
    return bits;
}

/* What is written for a literal, and for a length with what it needs beside its code: the bits, and
 * how many in the highest byte. */
struct words {
    uint32_t literals[256];
    uint32_t lengths[DEFLATE_LENGTH_MAX + 1];
};

enum { WORD_BITS = 24 };

static uint32_t
word_of(const struct code *c, unsigned symbol)
{
    return c->bits[symbol] | (uint32_t) c->lengths[symbol] << WORD_BITS;
}

static void
make_words(struct words *w, const struct code *symbols)
{
    for (unsigned i = 0; i < 256; i++)
        w->literals[i] = word_of(symbols, i);
    for (unsigned i = 3; i <= DEFLATE_LENGTH_MAX; i++) {
        unsigned code = deflate_length_codes[i];
        uint32_t extra = (uint32_t) (i - length_base[code]) << symbols->lengths[257 + code];

        w->lengths[i] = (word_of(symbols, 257 + code) | extra) +
                        ((uint32_t) length_extra[code] << WORD_BITS);
    }
}

static inline void
put_word(struct deflate_bits *out, uint32_t word)
{
    put(out, word & ((1u << WORD_BITS) - 1), word >> WORD_BITS);
}

/* Of a distance, 48 bits with its length at most. */
static inline void
put_distance(struct deflate_bits *out, const struct code *distances, unsigned distance)
{
    unsigned code = deflate_distance_code(distance), low = code < 4 ? 0 : code / 2 - 1;

    put(out, distances->bits[code], distances->lengths[code]);
    put(out, (distance - 1) & ((1u << low) - 1), low);
}

static void
write_tokens(const struct deflate_block *b, const struct code *symbols,
             const struct code *distances, struct deflate_bits *to)
{
    struct deflate_bits out = *to; /* in registers */
    struct words words;

    make_words(&words, symbols);
    for (uint32_t i = 0; i < b->n; i++) {
        const struct deflate_token t = b->tokens[i];

        if (t.distance) {
            flush(&out);
            put_word(&out, words.lengths[t.length]);
            put_distance(&out, distances, t.distance);
        } else {
            put_word(&out, words.literals[t.length]);
        }
        if (out.n > 40)
            flush(&out);
    }
    flush(&out);
    put(&out, symbols->bits[END_OF_BLOCK], symbols->lengths[END_OF_BLOCK]);
    flush(&out);
    *to = out;
}

static void
write_stored(struct slice plain, bool last, struct deflate_bits *out)
{
    do { /* a stored block has 64 KiB - 1 at most */
        struct slice piece = slice_first(plain, 0xffff);

        plain = slice_from(plain, piece.n);
        put(out, (last && plain.n == 0) | STORED << 1, 3);
        deflate_align(out);
        put(out, piece.n, 16);
        put(out, ~piece.n & 0xffff, 16);
        flush(out);
        if (piece.n)
            memcpy(out->at, piece.at, piece.n);
        out->at += piece.n;
    } while (plain.n);
}

void
deflate_sync(struct deflate_bits *out)
{
    write_stored((struct slice){NULL, 0}, false, out);
}

void
deflate_block_write(struct deflate_block *b, struct slice plain, bool last,
                    struct deflate_bits *out)
{
    struct code symbols, distances, fixed_symbols, fixed_distances;
    uint64_t fixed, dynamic, extra = extra_cost(b);
    struct head head;

    b->symbols[END_OF_BLOCK] = 1;
    make_code(&symbols, b->symbols, DEFLATE_SYMBOLS, BITS_MAX);
    make_code(&distances, b->distances, DEFLATE_DISTANCES, BITS_MAX);
    fixed_codes(&fixed_symbols, &fixed_distances);
    dynamic = make_head(&head, &symbols, &distances) + cost(b, &symbols, &distances);
    fixed = cost(b, &fixed_symbols, &fixed_distances);
    if (plain.n * 8 + 40 < extra + (fixed < dynamic ? fixed : dynamic)) {
        write_stored(plain, last, out);
    } else if (fixed <= dynamic) {
        put(out, last | FIXED << 1, 3);
        flush(out);
        write_tokens(b, &fixed_symbols, &fixed_distances, out);
    } else {
        put(out, last | DYNAMIC << 1, 3);
        flush(out);
        write_head(&head, out);
        write_tokens(b, &symbols, &distances, out);
    }
}
