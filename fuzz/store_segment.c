/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/store_segment.c - what the disk tier of a store reads: records, footers, logs.
 *
 * The first byte chooses which.  Nobody guesses checksums, so that each is tried as it came and
 * once more with sums that are right.  Whatever is found lies inside of what was read.
 */
#include "store/segment.h"

#include "base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 7 };

static void
check_inside(const void *at, size_t n, const char *from, size_t from_n)
{
    const char *part = at;

    CHECK(part >= from && part <= from + from_n && n <= (size_t) (from + from_n - part));
}

static void
check_view(const char *at, size_t n)
{
    struct segment_view v;

    switch (segment_record_view(slice_of(at, n), SEGMENT, &v)) {
    case SEGMENT_MORE: CHECK(v.front_n > n && v.front_n <= SEGMENT_FRONT_MAX); break;
    case SEGMENT_BAD: break;
    case SEGMENT_GOOD:
        CHECK(v.front_n <= n && v.bytes % SEGMENT_UNIT == 0);
        CHECK(v.bytes >= v.front_n + v.record.body_n);
        check_inside(v.tags, v.record.tags_n * sizeof(*v.tags), at, v.front_n);
        check_inside(v.sums, segment_pieces(v.record.body_n) * sizeof(*v.sums), at, v.front_n);
        check_inside(v.head.at, v.head.n, at, v.front_n);
        check_inside(v.path.at, v.path.n, at, v.front_n);
    }
}

static void
try_record(char *at, size_t n)
{
    struct segment_record r;
    size_t front_n;

    check_view(at, n);
    if (n < sizeof(r))
        return;
    memcpy(&r, at, sizeof(r));
    r.body_n &= 0xFFFFFF;
    r.tags_n &= 0xFFFF;
    memcpy(at, &r, sizeof(r));
    front_n = segment_front_bytes(&r);
    if (front_n > n || r.head_n > n || r.path_n > n)
        return;
    r.segment = SEGMENT;
    r.ordinal &= SEGMENT_RECORDS_MAX - 1;
    segment_front_move(at, front_n, &r);
    check_view(at, n);
}

static void
check_entries(const struct segment_trailer *t, const struct segment_entry *entries, uint64_t bytes)
{
    if (!segment_trailer_is_good(t, SEGMENT, bytes) || !segment_entries_are_good(t, entries))
        return;
    CHECK(t->entries_at + t->entries_n * sizeof(*entries) + sizeof(*t) == bytes);
    for (uint64_t i = 0; i < t->entries_n; i++)
        CHECK(entries[i].at + entries[i].bytes <= t->entries_at &&
              entries[i].at >= sizeof(struct segment_header));
}

static void
try_footer(const char *at, size_t n)
{
    const struct segment_entry *entries = (const void *) at;
    struct segment_header h;
    struct segment_trailer t;
    uint64_t entries_at;

    if (n < sizeof(t))
        return;
    memcpy(&h, at, sizeof(h));
    CHECK(!segment_header_is_good(&h) || h.sum);
    memcpy(&t, at + n - sizeof(t), sizeof(t));
    if (t.entries_n <= (n - sizeof(t)) / sizeof(*entries))
        check_entries(&t, entries, n);
    entries_at = t.entries_at & 0xFFFFFFFF;
    n = (n - sizeof(t)) / sizeof(*entries);
    segment_trailer_make(&t, SEGMENT, entries_at, entries, n, 1, 2);
    check_entries(&t, entries, entries_at + n * sizeof(*entries) + sizeof(t));
}

static void
walk_log(struct slice rest)
{
    const char *at = rest.at;
    const size_t n = rest.n;
    struct segment_log_entry e;
    struct slice bytes;
    size_t before = rest.n;

    while (segment_log_next(&rest, &e, &bytes) == SEGMENT_LOG_GOOD) {
        CHECK(rest.n < before);
        check_inside(bytes.at, bytes.n, at, n);
        before = rest.n;
    }
}

static void
try_log(const char *at, size_t n)
{
    struct segment_log_entry e, found;
    struct slice bytes, rest, payload;
    char *out;

    walk_log(slice_of(at, n));
    if (n < sizeof(e))
        return;
    memcpy(&e, at, sizeof(e));
    e.kind = 1 + e.kind % (SEGMENT_NOTES - 1);
    payload = slice_of(at + sizeof(e), n - sizeof(e));
    e.bytes_n = (uint32_t) payload.n;
    out = malloc(segment_log_bytes(&e));
    CHECK(out != NULL);
    segment_log_make(&e, payload, out);
    rest = slice_of(out, segment_log_bytes(&e));
    CHECK(segment_log_next(&rest, &found, &bytes) == SEGMENT_LOG_GOOD);
    CHECK(slice_eq(bytes, payload) && rest.n == 0 && found.kind == e.kind);
    /* One that was not written to its end is no fault, one with a wrong bit is. */
    rest = slice_of(out, segment_log_bytes(&e) - 1);
    CHECK(segment_log_next(&rest, &found, &bytes) == SEGMENT_LOG_END);
    out[n % segment_log_bytes(&e)] ^= 1;
    rest = slice_of(out, segment_log_bytes(&e));
    CHECK(segment_log_next(&rest, &found, &bytes) == SEGMENT_LOG_BAD);
    free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;

    if (size < 1 || size > SEGMENT_FRONT_MAX)
        return 0;
    /* Aligned, as what is read is. */
    copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: try_record(copy, size - 1); break;
    case 1: try_footer(copy, size - 1); break;
    default: try_log(copy, size - 1); break;
    }
    free(copy);
    return 0;
}
