/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/segment.h - what lies in the files of the disk tier, as bytes.
 *
 *     segment   header | record | record | ... | entries, one a record | trailer
 *     record    struct segment_record | tags | sums of the pieces | head | path | body | 0...
 *     log       header | entry | entry | ...
 *
 * A segment is written from front to back.  What its footer (entries and trailer) says about the
 * records is all that a start needs; a segment without one, the last of a process that was killed,
 * is read from record to record.  Each part has a checksum (XXH3), the body one for each piece, so
 * that no byte leaves here that was not written here.  Numbers are the machine's: files of another
 * kind of machine have another magic, and are nobody's.
 *
 * Pure functions, any thread, no I/O.  Nothing that is read is believed before it is checked.
 */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include "store/store.h"

enum {
    SEGMENT_UNIT = 64,          /* records begin at multiples of that */
    SEGMENT_PIECE = 64 * 1024,  /* of a body, with a checksum of its own */
    SEGMENT_FRONT_MAX = 192 * 1024, /* of a record before its body */
    SEGMENT_RECORDS_MAX = 32768,
};

struct segment_header {
    uint64_t magic;
    uint64_t number;
    uint64_t process; /* that wrote it */
    uint64_t unused[4];
    uint64_t sum;
};

struct segment_record {
    uint32_t         magic;
    uint32_t         ordinal; /* in its segment */
    uint64_t         segment;
    struct store_key key;
    uint64_t         body_n;
    uint64_t         measured; /* epoch of purges */
    uint64_t         made_us;  /* on the clock of the process */
    uint32_t         tags_n, head_n, path_n;
    uint32_t         soft;
    uint64_t         unused[2];
    uint64_t         sum; /* of all before the body */
};

/* Of the footer. */
struct segment_entry {
    struct store_key key;
    uint64_t         at;
    uint64_t         bytes; /* of the whole record */
};

struct segment_trailer {
    uint64_t magic;
    uint64_t number;
    uint64_t entries_at;
    uint64_t entries_n;
    uint64_t measured, newest; /* the least and the greatest epoch of all records */
    uint64_t entries_sum;
    uint64_t sum;
};

_Static_assert(sizeof(struct segment_header) == SEGMENT_UNIT, "one unit");
_Static_assert(sizeof(struct segment_record) == 96, "no holes");
_Static_assert(sizeof(struct segment_entry) == 32, "no holes");
_Static_assert(sizeof(struct segment_trailer) == SEGMENT_UNIT, "one unit");

void segment_header_make(struct segment_header *h, uint64_t number, uint64_t process);
bool segment_header_is_good(const struct segment_header *h);

/* ------------------------------------------------------------------ records */

/* A record's parts, lent by whoever has its bytes. */
struct segment_view {
    struct segment_record record;
    const uint64_t       *tags, *sums;
    struct slice          head, path;
    size_t                front_n; /* bytes before the body */
    uint64_t              bytes;   /* of the whole record, with what fills its last unit */
};

/* How many bytes stand before the body, and how many pieces it has. */
size_t segment_front_bytes(const struct segment_record *r);
uint64_t segment_pieces(uint64_t body_n);
uint64_t segment_bytes(const struct segment_record *r);

/* r: lengths, key and so on; front has room for segment_front_bytes(), at most
 * SEGMENT_FRONT_MAX. */
void segment_front_make(const struct segment_record *r, const uint64_t *tags,
                        const uint64_t *sums, struct slice head, struct slice path, char *front);
/* Changes what is not part of the object itself: where the record stands, and what is known of
 * purges. */
void segment_front_move(char *front, size_t front_n, const struct segment_record *now);

enum segment_found {
    SEGMENT_GOOD,
    SEGMENT_MORE, /* view->front_n bytes are needed */
    SEGMENT_BAD,
};

/* The record at the start of these bytes (aligned as uint64_t), in that segment. */
enum segment_found segment_record_view(struct slice bytes, uint64_t segment,
                                       struct segment_view *view);
uint64_t segment_sum(const void *bytes, size_t n);

/* ------------------------------------------------------------------ footers */

/* For n entries that stand at entries_at, or will. */
void segment_trailer_make(struct segment_trailer *t, uint64_t number, uint64_t entries_at,
                          const struct segment_entry *entries, size_t n, uint64_t measured,
                          uint64_t newest);
/* In a file of so many bytes, whose last ones these are. */
bool segment_trailer_is_good(const struct segment_trailer *t, uint64_t number,
                             uint64_t file_bytes);
/* All t->entries_n of them. */
bool segment_entries_are_good(const struct segment_trailer *t,
                              const struct segment_entry *entries);

/* ------------------------------------------------------------------ the log */

enum segment_note {
    SEGMENT_NOTE_BEGIN = 1, /* first of each log; a: boot, b: boot */
    SEGMENT_NOTE_TAG,       /* a rule: a is the tag */
    SEGMENT_NOTE_PREFIX,    /* a rule: the bytes are the prefix */
    SEGMENT_NOTE_ALL,       /* a rule */
    SEGMENT_NOTE_FORGET,    /* a, b: the key; segment, ordinal: records before that place */
    SEGMENT_NOTE_LIVE,      /* of that segment, records up to `ordinal`: a bit for each that is
                             * live, then a bit for each that is soft; others are gone */
    SEGMENT_NOTE_END,       /* closed in peace, and safe on the disk */
    SEGMENT_NOTES
};

struct segment_log_entry {
    uint32_t magic;
    uint32_t bytes_n; /* behind it, and filled up to a multiple of eight */
    uint32_t kind;    /* enum segment_note */
    uint32_t soft;
    uint64_t epoch;
    uint64_t a, b;
    uint64_t segment;
    uint32_t ordinal;
    uint32_t front_sum; /* of what stands before it: who believes bytes_n? */
    uint64_t sum;       /* of the rest, front_sum among it */
};

_Static_assert(sizeof(struct segment_log_entry) == 64, "no holes");

/* Bytes that it takes. */
size_t segment_log_bytes(const struct segment_log_entry *e);
/* Fills in magic, length and checksum; `out` has room for segment_log_bytes(), bytes.n is its
 * bytes_n. */
void segment_log_make(struct segment_log_entry *e, struct slice bytes, char *out);

enum segment_log_found {
    SEGMENT_LOG_GOOD,
    SEGMENT_LOG_END,  /* nothing follows, or one that was not written to its end */
    SEGMENT_LOG_BAD,  /* something is there that nobody can read */
};

/* The next one (rest is aligned as uint64_t), and what follows it. */
enum segment_log_found segment_log_next(struct slice *rest, struct segment_log_entry *e,
                                        struct slice *bytes);

#endif
