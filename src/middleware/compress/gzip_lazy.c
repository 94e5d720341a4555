/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/gzip_lazy.c - gzip with the ratio of zlib's middle levels at less CPU.
 *
 * A JSON document of 64 KiB becomes 15.3 kB in 136 us with caches warm; zlib's level 4 needs 610 to
 * 690 us for as much, and ISA-L's level 3 makes 15.5 kB in 195 to 215 us.
 *
 * Where zlib follows chains of earlier occurrences through memory, the last two of each hash lie
 * side by side here, in one word, and only they are tried (three: 1 % shorter, 40 % slower).  A
 * match is put off when the next byte begins a longer one, as zlib does from its level 4 on.  Most
 * of the time is lost where the processor guesses a branch wrongly: hence few.  Input is gathered
 * into blocks of up to 64 KiB, each with codes of its own.
 *
 * A block is made in one go, so what that takes (the table, tokens) is the thread's, not the
 * message's: it stays in the cache, however many messages are under way.  Only one that has a
 * second block gets a table of its own, for what it has seen until then.
 */
#include "base/check.h"
#include "middleware/compress/deflate.h"
#include "middleware/compress/gzip.h"

#include <isa-l/crc.h>
#include <stdlib.h>

enum {
    HASH_BITS = 14,
    WAYS = 2,
    FIRST = 4, /* so many places of a match are noted, and the last ones: */
    LAST = 2,
    SHORT_REACH = 4096, /* a match of MATCH_MIN from farther away costs more than its letters */
    MATCH_MIN = 4,
    GOOD_ENOUGH = 40, /* a match of this length is taken as it is */
    HISTORY = DEFLATE_DISTANCE_MAX,
    MARGIN = 16, /* bytes behind the end that may be read */
    TRAILER = 8,
};

/* Of each hash the last two positions, their low 16 bits, the newer one low.  What is too old for
 * that looks like something nearer: as every candidate is compared byte by byte, that does no
 * harm. */
struct table {
    uint32_t rows[1 << HASH_BITS];
};

struct scratch {
    struct table         table __attribute__((aligned(64)));
    struct deflate_block block;
};

/* Of this thread, as long as it has coders. */
static __thread struct scratch *scratch;
static __thread size_t          scratch_users;

struct lazy {
    struct table        *table;    /* the scratch's, or its own */
    struct table        *own;      /* NULL: not needed yet */
    uint32_t             position; /* of window[0]; an empty entry of the table is position 0 */
    size_t               start, end; /* of the block that is being gathered, in the window */
    uint8_t              window[HISTORY + DEFLATE_BLOCK_BYTES + MARGIN];
    struct deflate_bits  bits;
    uint8_t              out[DEFLATE_BOUND(DEFLATE_BLOCK_BYTES) + GZIP_HEAD_BYTES + TRAILER];
    size_t               sent; /* of what is in `out` */
    struct coder_lead    lead;
    uint32_t             crc, length;
    bool                 finished;
    bool                 flushed; /* nothing came since */
};

static void *
aligned(size_t bytes)
{
    void *memory = NULL;

    return posix_memalign(&memory, 64, bytes) == 0 ? memory : NULL;
}

static void *
create(void)
{
    struct lazy *l;

    if (!scratch && !(scratch = aligned(sizeof(*scratch))))
        return NULL;
    l = calloc(1, sizeof(*l));
    if (l)
        scratch_users++;
    else if (scratch_users == 0)
        free(take(&scratch));
    return l;
}

static void
destroy(void *state)
{
    struct lazy *l = state;

    free(l->own);
    free(l);
    if (--scratch_users == 0)
        free(take(&scratch));
}

static bool
start(void *state, const struct coder_setup *setup)
{
    struct lazy *l = state;

    gzip_head(&l->lead, setup->padding);
    l->table = NULL;
    l->position = 0;
    l->start = l->end = 0;
    l->bits = (struct deflate_bits){0, 0, l->out};
    l->sent = 0;
    l->crc = l->length = 0;
    l->finished = false;
    l->flushed = true;
    return true;
}

/* ------------------------------------------------------------------ matches */

static inline uint32_t
load32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline unsigned
common(const uint8_t *a, const uint8_t *b, unsigned max)
{
    unsigned n = 0;

    while (n < max) {
        uint64_t x, y;

        memcpy(&x, a + n, sizeof(x));
        memcpy(&y, b + n, sizeof(y));
        if (x != y) {
            n += (unsigned) __builtin_ctzll(x ^ y) / 8; /* little-endian */
            break;
        }
        n += 8;
    }
    return n < max ? n : max;
}

/* What is read and written all the time while a block is tokenized, at hand. */
struct place {
    const uint8_t        *window;
    uint32_t             *rows;
    uint32_t              position; /* of window[0] */
    size_t                end;
    struct deflate_block *block;
};

static inline uint32_t *
row_of(const struct place *p, uint32_t bytes)
{
    return &p->rows[bytes * 0x9e3779b1u >> (32 - HASH_BITS)];
}

static inline uint32_t
noted(const struct place *p, uint32_t row, size_t at)
{
    return row << 16 | ((p->position + (uint32_t) at) & 0xffff);
}

/* The longest one longer than `length`, if there is any; notes the place.  Not for the first byte
 * of a message, which has nothing before it. */
static inline unsigned
find(const struct place *p, size_t at, unsigned length, unsigned *distance)
{
    const uint8_t *here = p->window + at;
    size_t left = p->end - at;
    unsigned max = left < DEFLATE_LENGTH_MAX ? (unsigned) left : DEFLATE_LENGTH_MAX;
    uint32_t bytes = load32(here), position = p->position + (uint32_t) at;
    uint32_t *row = row_of(p, bytes), entries = *row;

    *row = noted(p, entries, at);
    for (unsigned i = 0; i < WAYS; i++, entries >>= 16) {
        unsigned away = (position - entries - 1) % HISTORY + 1, n;

        if (load32(here - away + length - 3) != load32(here + length - 3) ||
            load32(here - away) != bytes)
            continue;
        n = common(here, here - away, max);
        if (n > length) {
            length = n;
            *distance = away;
        }
    }
    return length;
}

static inline void
note_if(const struct place *p, size_t at, bool wanted)
{
    uint32_t *row = row_of(p, load32(p->window + at)), entries = *row;

    *row = wanted ? noted(p, entries, at) : entries;
}

/* What a match covers, but for the places that were tried.  The first and the last ones will do:
 * 0.4 % longer than with all of them.  No branch depends on the length, which nobody foresees. */
static inline void
note_some(const struct place *p, size_t from, size_t to)
{
    for (unsigned i = 0; i < FIRST; i++)
        note_if(p, from + i, from + i < to);
    for (unsigned i = 1; i <= LAST; i++)
        note_if(p, to - i, to >= from + FIRST + i);
}

static inline bool
is_worth_it(unsigned length, unsigned distance)
{
    return length > MATCH_MIN || (length == MATCH_MIN && distance < SHORT_REACH);
}

/* From l->start to l->end. */
static void
tokenize(struct lazy *l)
{
    size_t at = l->start, last = l->end < MATCH_MIN + 1 ? 0 : l->end - MATCH_MIN - 1;
    const struct place p = {l->window, l->table->rows, l->position, l->end, &scratch->block};
    unsigned length = 0, distance = 0;

    if (l->position + at == 0 && last > 0) {
        note_if(&p, 0, true);
        deflate_literal(p.block, p.window[at++]);
    }
    while (at < last) {
        unsigned longer, nearer = 0;
        size_t tried = 1;

        if (length == 0) {
            length = find(&p, at, MATCH_MIN - 1, &distance);
            if (!is_worth_it(length, distance)) {
                deflate_literal(p.block, p.window[at++]);
                length = 0;
                continue;
            }
        }
        if (length < GOOD_ENOUGH && at + 1 < last) {
            longer = find(&p, at + 1, length, &nearer);
            if (longer > length) {
                deflate_literal(p.block, p.window[at++]);
                length = longer;
                distance = nearer;
                continue;
            }
            tried = 2;
        }
        deflate_match(p.block, length, distance);
        note_some(&p, at + tried, at + length < last ? at + length : last);
        at += length;
        length = 0;
    }
    while (at < l->end)
        deflate_literal(p.block, p.window[at++]);
}

/* ------------------------------------------------------------------ blocks */

/* The first block of a message has nothing behind it.  Clearing is not for the entries' sake, stale
 * ones would do no harm: reading through the table once brings it near, where random looks would
 * each wait for memory. */
static void
choose_table(struct lazy *l)
{
    if (l->table)
        return;
    l->table = &scratch->table;
    memset(l->table, 0, sizeof(*l->table));
}

/* For the blocks to come; without memory they see nothing of this one. */
static void
keep_table(struct lazy *l)
{
    if (l->table == l->own)
        return;
    if (!l->own)
        l->own = aligned(sizeof(*l->own));
    if (l->own)
        memcpy(l->own, l->table, sizeof(*l->own));
    l->table = l->own;
}

/* Everything was sent: the buffer is empty but for bits that are no byte yet. */
static void
write_block(struct lazy *l, bool last)
{
    struct slice plain = slice_of((const char *) l->window + l->start, l->end - l->start);

    choose_table(l);
    deflate_block_clear(&scratch->block);
    tokenize(l);
    deflate_block_write(&scratch->block, plain, last, &l->bits);
    l->start = l->end;
    l->flushed = false;
    if (last)
        return;
    keep_table(l);
    if (l->end > HISTORY) {
        size_t gone = l->end - HISTORY;

        memmove(l->window, l->window + gone, HISTORY);
        l->position += (uint32_t) gone;
        l->start = l->end = HISTORY;
    }
}

static void
put_word(struct lazy *l, uint32_t word)
{
    for (unsigned i = 0; i < 4; i++)
        *l->bits.at++ = (uint8_t) (word >> 8 * i);
}

static void
finish(struct lazy *l)
{
    write_block(l, true);
    deflate_align(&l->bits);
    put_word(l, l->crc);
    put_word(l, l->length);
    l->finished = true;
}

static void
gather(struct lazy *l, struct slice *in)
{
    size_t room = DEFLATE_BLOCK_BYTES - (l->end - l->start);
    struct slice piece = slice_first(*in, room);

    if (piece.n == 0)
        return;
    memcpy(l->window + l->end, piece.at, piece.n);
    l->crc = crc32_gzip_refl(l->crc, (const unsigned char *) piece.at, piece.n);
    l->length += (uint32_t) piece.n;
    l->end += piece.n;
    *in = slice_from(*in, piece.n);
    l->flushed = false;
}

/* True when all of it is out. */
static bool
send_out(struct lazy *l, struct coder_room *out)
{
    size_t there = (size_t) (l->bits.at - l->out), n = there - l->sent;

    if (n > out->room - out->n)
        n = out->room - out->n;
    memcpy(out->at + out->n, l->out + l->sent, n);
    out->n += n;
    l->sent += n;
    if (l->sent < there)
        return false;
    l->bits.at = l->out;
    l->sent = 0;
    return true;
}

static enum err
step(void *state, struct slice *in, struct coder_room *out, enum coder_how how)
{
    struct lazy *l = state;

    if (!coder_lead_out(&l->lead, out))
        return OK;
    while (send_out(l, out)) {
        if (l->finished)
            return ERR_END;
        gather(l, in);
        if (l->end - l->start == DEFLATE_BLOCK_BYTES) {
            write_block(l, false);
        } else if (how == CODER_FINISH) {
            finish(l);
        } else if (how == CODER_FLUSH && !l->flushed) {
            if (l->end > l->start)
                write_block(l, false);
            deflate_sync(&l->bits);
            l->flushed = true;
        } else {
            break;
        }
    }
    return OK;
}

const struct coder_ops gzip_lazy_encoder = {
    .create = create,
    .start = start,
    .step = step,
    .destroy = destroy,
};
