/* SPDX-License-Identifier: Apache-2.0 */
/* store/segment.c - writing and checking the bytes of the disk tier. */
#include "store/segment.h"

#include "base/check.h"

#include <xxhash.h>

#define HEADER_MAGIC UINT64_C(0x31746765736d616d)  /* "mamsegt1", read as a number */
#define TRAILER_MAGIC UINT64_C(0x31646e65736d616d)
enum { RECORD_MAGIC = 0x6d725231, LOG_MAGIC = 0x6d726c31 };

/* Nobody has that much, and sums of such lengths cannot overflow. */
#define BODY_MOST (UINT64_C(1) << 40)

uint64_t
segment_sum(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

/* Of two stretches, one after the other. */
static uint64_t
sum_of_both(const void *one, size_t one_n, const void *two, size_t two_n)
{
    return XXH3_64bits_withSeed(two, two_n, segment_sum(one, one_n));
}

/* Of a structure whose sum is its last member. */
#define SUM_OF(s) segment_sum((s), sizeof(*(s)) - sizeof((s)->sum))

void
segment_header_make(struct segment_header *h, uint64_t number, uint64_t process)
{
    *h = (struct segment_header){.magic = HEADER_MAGIC, .number = number, .process = process};
    h->sum = SUM_OF(h);
}

bool
segment_header_is_good(const struct segment_header *h)
{
    return h->magic == HEADER_MAGIC && h->sum == SUM_OF(h);
}

/* ------------------------------------------------------------------ records */

uint64_t
segment_pieces(uint64_t body_n)
{
    return body_n / SEGMENT_PIECE + (body_n % SEGMENT_PIECE != 0);
}

size_t
segment_front_bytes(const struct segment_record *r)
{
    return sizeof(*r) + (size_t) r->tags_n * sizeof(uint64_t) +
           (size_t) segment_pieces(r->body_n) * sizeof(uint64_t) + r->head_n + r->path_n;
}

uint64_t
segment_bytes(const struct segment_record *r)
{
    return (segment_front_bytes(r) + r->body_n + SEGMENT_UNIT - 1) &
           ~(uint64_t) (SEGMENT_UNIT - 1);
}

/* Of the front, but for the sum itself. */
static uint64_t
front_sum(const char *front, size_t n)
{
    const size_t end = sizeof(struct segment_record);

    return sum_of_both(front, offsetof(struct segment_record, sum), front + end, n - end);
}

static char *
put(char *at, const void *bytes, size_t n)
{
    if (n)
        memcpy(at, bytes, n);
    return at + n;
}

static void
put_record(char *front, size_t front_n, const struct segment_record *r)
{
    struct segment_record own = *r;

    own.magic = RECORD_MAGIC;
    memcpy(front, &own, sizeof(own));
    own.sum = front_sum(front, front_n);
    memcpy(front, &own, sizeof(own));
}

void
segment_front_make(const struct segment_record *r, const uint64_t *tags, const uint64_t *sums,
                   struct slice head, struct slice path, char *front)
{
    char *at = front + sizeof(*r);

    CHECK(head.n == r->head_n && path.n == r->path_n);
    at = put(at, tags, r->tags_n * sizeof(*tags));
    at = put(at, sums, (size_t) segment_pieces(r->body_n) * sizeof(*sums));
    at = put(at, head.at, head.n);
    put(at, path.at, path.n);
    put_record(front, segment_front_bytes(r), r);
}

void
segment_front_move(char *front, size_t front_n, const struct segment_record *now)
{
    struct segment_record r;

    memcpy(&r, front, sizeof(r));
    r.ordinal = now->ordinal;
    r.segment = now->segment;
    r.measured = now->measured;
    r.soft = now->soft;
    /* The clock of another process means nothing to this one. */
    r.made_us = now->made_us;
    put_record(front, front_n, &r);
}

static bool
is_plausible(const struct segment_record *r, uint64_t segment)
{
    return r->magic == RECORD_MAGIC && r->segment == segment && r->body_n <= BODY_MOST &&
           r->tags_n <= UINT16_MAX && r->head_n <= SEGMENT_FRONT_MAX &&
           r->path_n <= SEGMENT_FRONT_MAX && r->ordinal < SEGMENT_RECORDS_MAX &&
           segment_front_bytes(r) <= SEGMENT_FRONT_MAX;
}

enum segment_found
segment_record_view(struct slice bytes, uint64_t segment, struct segment_view *view)
{
    struct segment_record *r = &view->record;

    view->front_n = sizeof(*r);
    if (bytes.n < sizeof(*r))
        return SEGMENT_MORE;
    memcpy(r, bytes.at, sizeof(*r));
    if (!is_plausible(r, segment))
        return SEGMENT_BAD;
    view->front_n = segment_front_bytes(r);
    if (bytes.n < view->front_n)
        return SEGMENT_MORE;
    if (r->sum != front_sum(bytes.at, view->front_n))
        return SEGMENT_BAD;
    view->bytes = segment_bytes(r);
    view->tags = (const uint64_t *) (const void *) (bytes.at + sizeof(*r));
    view->sums = view->tags + r->tags_n;
    view->head = slice_of((const char *) (view->sums + segment_pieces(r->body_n)), r->head_n);
    view->path = slice_of(view->head.at + view->head.n, r->path_n);
    return SEGMENT_GOOD;
}

/* ------------------------------------------------------------------ footers */

void
segment_trailer_make(struct segment_trailer *t, uint64_t number, uint64_t entries_at,
                     const struct segment_entry *entries, size_t n, uint64_t measured,
                     uint64_t newest)
{
    *t = (struct segment_trailer){.magic = TRAILER_MAGIC,
                                  .number = number,
                                  .entries_at = entries_at,
                                  .entries_n = n,
                                  .measured = measured,
                                  .newest = newest};
    t->entries_sum = segment_sum(entries, n * sizeof(*entries));
    t->sum = SUM_OF(t);
}

bool
segment_trailer_is_good(const struct segment_trailer *t, uint64_t number, uint64_t file_bytes)
{
    return t->magic == TRAILER_MAGIC && t->sum == SUM_OF(t) && t->number == number &&
           t->entries_n <= SEGMENT_RECORDS_MAX && t->entries_at < file_bytes &&
           t->entries_at + t->entries_n * sizeof(struct segment_entry) + sizeof(*t) == file_bytes;
}

static bool
entry_is_good(const struct segment_entry *e, uint64_t end)
{
    return e->at % SEGMENT_UNIT == 0 && e->at >= sizeof(struct segment_header) && e->at < end &&
           e->bytes % SEGMENT_UNIT == 0 && e->bytes >= sizeof(struct segment_record) &&
           e->bytes <= end - e->at;
}

bool
segment_entries_are_good(const struct segment_trailer *t, const struct segment_entry *entries)
{
    if (segment_sum(entries, (size_t) t->entries_n * sizeof(*entries)) != t->entries_sum)
        return false;
    for (uint64_t i = 0; i < t->entries_n; i++)
        if (!entry_is_good(&entries[i], t->entries_at))
            return false;
    return true;
}

/* ------------------------------------------------------------------ the log */

size_t
segment_log_bytes(const struct segment_log_entry *e)
{
    return sizeof(*e) + (((size_t) e->bytes_n + 7) & ~(size_t) 7);
}

void
segment_log_make(struct segment_log_entry *e, struct slice bytes, char *out)
{
    const size_t sum_at = offsetof(struct segment_log_entry, sum), end = sizeof(*e);
    size_t n;

    e->magic = LOG_MAGIC;
    e->bytes_n = (uint32_t) bytes.n;
    e->front_sum = (uint32_t) segment_sum(e, offsetof(struct segment_log_entry, front_sum));
    e->sum = 0;
    n = segment_log_bytes(e);
    memset(out, 0, n);
    memcpy(out, e, sizeof(*e));
    put(out + end, bytes.at, bytes.n);
    e->sum = sum_of_both(out, sum_at, out + end, n - end);
    memcpy(out + sum_at, &e->sum, sizeof(e->sum));
}

static bool
log_sum_is_good(struct slice whole, const struct segment_log_entry *e)
{
    const size_t end = sizeof(*e);

    return e->sum == sum_of_both(whole.at, offsetof(struct segment_log_entry, sum),
                                 whole.at + end, whole.n - end);
}

enum segment_log_found
segment_log_next(struct slice *rest, struct segment_log_entry *e, struct slice *bytes)
{
    size_t n;

    if (rest->n < sizeof(*e))
        return SEGMENT_LOG_END;
    memcpy(e, rest->at, sizeof(*e));
    if (e->magic != LOG_MAGIC || e->kind == 0 || e->kind >= SEGMENT_NOTES ||
        e->front_sum != (uint32_t) segment_sum(e, offsetof(struct segment_log_entry, front_sum)))
        return SEGMENT_LOG_BAD;
    n = segment_log_bytes(e);
    if (rest->n < n)
        return SEGMENT_LOG_END;
    if (!log_sum_is_good(slice_of(rest->at, n), e))
        return SEGMENT_LOG_BAD;
    *bytes = slice_of(rest->at + sizeof(*e), e->bytes_n);
    *rest = slice_from(*rest, n);
    return SEGMENT_LOG_GOOD;
}
