/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/blob.c - sketches to bytes and back. */
#include "analytics/blob.h"

#include "base/map.h"

enum { VERSION = 1, VARINT_MAX = 10, SUM_BYTES = 8, NUMBERS_MAX = 256 };

/* ------------------------------------------------------------------ numbers */

static void
put(struct text *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        text_byte(out, (char) (value | 0x80));
    text_byte(out, (char) value);
}

static bool
get(struct slice *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; in->n > 0 && shift < 64; shift += 7) {
        uint64_t byte = (unsigned char) in->at[0];

        *in = slice_from(*in, 1);
        *value |= (byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool
get_below(struct slice *in, uint64_t limit, uint64_t *value)
{
    return get(in, value) && *value < limit;
}

/* ------------------------------------------------------------------ checksums */

void
blob_seal(struct text *out)
{
    uint64_t sum = hash_stable(text_slice(out));

    for (unsigned i = 0; i < SUM_BYTES; i++, sum >>= 8)
        text_byte(out, (char) sum);
}

/* Takes checksum and version off. */
static bool
open_seal(struct slice *bytes)
{
    uint64_t sum = 0;
    struct slice tail;

    if (bytes->n < SUM_BYTES + 1)
        return false;
    tail = slice_from(*bytes, bytes->n - SUM_BYTES);
    bytes->n -= SUM_BYTES;
    for (unsigned i = SUM_BYTES; i-- > 0;)
        sum = sum << 8 | (unsigned char) tail.at[i];
    if (sum != hash_stable(*bytes) || bytes->at[0] != VERSION)
        return false;
    *bytes = slice_from(*bytes, 1);
    return true;
}

/* ------------------------------------------------------------------ tallies */

size_t
blob_tally_max(void)
{
    return 64 + VARINT_MAX * TALLY_NUMBERS + 2 * (2 * VARINT_MAX) * (HISTOGRAM_BUCKETS + 1) +
           UNIQUES_REGISTERS;
}

static void
put_histogram(struct text *out, const struct histogram *h)
{
    uint64_t n = 0, skipped = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += h->buckets[i] > 0;
    put(out, h->sum);
    put(out, n);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->buckets[i] == 0) {
            skipped++;
            continue;
        }
        put(out, skipped);
        put(out, h->buckets[i]);
        skipped = 0;
    }
}

static bool
get_histogram(struct slice *in, struct histogram *into)
{
    uint64_t sum, n, skipped, count;
    size_t at = 0;

    if (!get(in, &sum) || !get_below(in, HISTOGRAM_BUCKETS + 1, &n))
        return false;
    into->sum += sum;
    for (; n > 0; n--, at++) {
        if (!get_below(in, HISTOGRAM_BUCKETS - at, &skipped) || !get(in, &count))
            return false;
        at += skipped;
        into->buckets[at] += count;
        into->count += count;
    }
    return true;
}

/* Two bytes or three for a register that says something, or one for each. */
static void
put_uniques(struct text *out, const struct uniques *u)
{
    uint64_t n = 0, skipped = 0;

    for (size_t i = 0; i < UNIQUES_REGISTERS; i++)
        n += u->registers[i] > 0;
    if (n > UNIQUES_REGISTERS / 3) {
        put(out, UNIQUES_REGISTERS);
        text_put(out, slice_of((const char *) u->registers, sizeof(u->registers)));
        return;
    }
    put(out, n);
    for (size_t i = 0; i < UNIQUES_REGISTERS; i++) {
        if (u->registers[i] == 0) {
            skipped++;
            continue;
        }
        put(out, skipped);
        put(out, u->registers[i]);
        skipped = 0;
    }
}

static bool
merge_register(struct uniques *into, size_t at, uint64_t value)
{
    if (value > UNIQUES_RANK_MAX)
        return false;
    if (value > into->registers[at])
        into->registers[at] = (uint8_t) value;
    return true;
}

static bool
get_all_registers(struct slice *in, struct uniques *into)
{
    if (in->n < UNIQUES_REGISTERS)
        return false;
    for (size_t i = 0; i < UNIQUES_REGISTERS; i++)
        if (!merge_register(into, i, (unsigned char) in->at[i]))
            return false;
    *in = slice_from(*in, UNIQUES_REGISTERS);
    return true;
}

static bool
get_uniques(struct slice *in, struct uniques *into)
{
    uint64_t n, skipped, value;
    size_t at = 0;

    if (!get_below(in, UNIQUES_REGISTERS + 1, &n))
        return false;
    if (n == UNIQUES_REGISTERS)
        return get_all_registers(in, into);
    for (; n > 0; n--, at++) {
        if (!get_below(in, UNIQUES_REGISTERS - at, &skipped) || !get(in, &value))
            return false;
        at += skipped;
        if (!merge_register(into, at, value))
            return false;
    }
    return true;
}

void
blob_write_tally(const struct tally *t, struct text *out)
{
    text_byte(out, VERSION);
    put(out, TALLY_NUMBERS);
    for (size_t i = 0; i < TALLY_NUMBERS; i++)
        put(out, t->numbers[i]);
    put_histogram(out, &t->took);
    put_histogram(out, &t->origin);
    put_uniques(out, &t->visitors);
    blob_seal(out);
}

/* A later version may have written more numbers than this one knows. */
static bool
get_numbers(struct slice *in, uint64_t *into)
{
    uint64_t n, value;

    if (!get_below(in, NUMBERS_MAX, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!get(in, &value))
            return false;
        if (i < TALLY_NUMBERS)
            into[i] += value;
    }
    return true;
}

bool
blob_merge_tally(struct slice bytes, struct tally *into)
{
    return open_seal(&bytes) && get_numbers(&bytes, into->numbers) &&
           get_histogram(&bytes, &into->took) && get_histogram(&bytes, &into->origin) &&
           get_uniques(&bytes, &into->visitors) && bytes.n == 0;
}

/* ------------------------------------------------------------------ lists */

size_t
blob_lists_max(size_t most)
{
    size_t n = 64;

    for (unsigned d = 0; d < DIMENSIONS; d++) {
        size_t shorter = most < dimensions[d].shape.entries ? most : dimensions[d].shape.entries;

        n += 3 * VARINT_MAX + shorter * (dimensions[d].shape.text + 6 * VARINT_MAX);
    }
    return n;
}

static void
put_entry(struct text *out, const struct top_entry *e)
{
    put(out, e->n);
    text_put(out, top_key(e));
    put(out, e->counts.requests);
    put(out, e->within);
    put(out, e->counts.errors);
    put(out, e->counts.bytes);
    put(out, e->counts.took_us);
}

void
blob_write_lists(struct period *p, size_t most, struct text *out)
{
    period_settle(p);
    text_byte(out, VERSION);
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        size_t all = top_list(&p->tops[d], p->order), n = all < most ? all : most;

        put(out, 1 + d);
        put(out, top_unseen(&p->tops[d], p->order, all, n));
        put(out, n);
        for (size_t i = 0; i < n; i++)
            put_entry(out, p->order[i]);
    }
    put(out, 0);
    blob_seal(out);
}

/* into NULL: passed over. */
static bool
get_entry(struct slice *in, size_t text_max, struct top *into)
{
    struct top_counts c;
    uint64_t n, within;
    struct slice key;

    if (!get_below(in, text_max + 1, &n) || n == 0 || n > in->n)
        return false;
    key = slice_first(*in, n);
    *in = slice_from(*in, n);
    if (!get(in, &c.requests) || !get(in, &within) || !get(in, &c.errors) ||
        !get(in, &c.bytes) || !get(in, &c.took_us))
        return false;
    if (into)
        top_merge(into, key, &c, within);
    return true;
}

static bool
get_list(struct slice *in, size_t text_max, struct top *into)
{
    uint64_t unseen, n;
    bool good = true;

    if (!get(in, &unseen) || !get(in, &n))
        return false;
    if (into)
        top_merge_begin(into, unseen);
    for (; n > 0 && good; n--)
        good = get_entry(in, text_max, into);
    if (into)
        top_merge_end(into);
    return good;
}

bool
blob_merge_lists(struct slice bytes, enum dimension only, struct period *into)
{
    uint64_t d;

    if (!open_seal(&bytes))
        return false;
    while (get_below(&bytes, 1 + DIMENSIONS, &d)) {
        if (d == 0)
            return bytes.n == 0;
        d--;
        if (!get_list(&bytes, dimensions[d].shape.text,
                      only == DIMENSIONS || d == only ? &into->tops[d] : NULL))
            return false;
    }
    return false;
}
