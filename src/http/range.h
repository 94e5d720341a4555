/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/range.h - parts of a representation (RFC 9110 14): Range, Content-Range and
 * multipart/byteranges.
 *
 * Only bytes are known.  A request for more parts than a careful server sends is answered with the
 * whole, which is always allowed and costs an attacker more than us.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "base/slice.h"
#include "base/text.h"

enum {
    RANGE_PARTS_MAX = 16,    /* parts of one answer */
    RANGE_OVERLAPS_MAX = 2,  /* ranges that lie over the one before */
    RANGE_GAP_BYTES = 128,   /* less than this between two parts is sent along: the line and fields
                              * before a part cost as much */
    RANGE_BOUNDARY_MAX = 70, /* RFC 2046 5.1.1 */
};

struct range {
    uint64_t offset;
    uint64_t length; /* at least 1 */
};

struct range_set {
    struct range at[RANGE_PARTS_MAX];
    size_t       n;
};

enum range_verdict {
    RANGE_WHOLE,         /* 200: no range that counts */
    RANGE_PARTS,         /* 206: those in the set, ascending, apart from each other */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* The value of a Range field, for a representation of that length.  Unknown units, bad syntax, too
 * many, overlapping and descending ranges: RANGE_WHOLE. */
enum range_verdict range_parse(struct slice value, uint64_t length, struct range_set *set);

/* What Content-Range says of a part. */
struct range_content {
    struct range range;      /* length 0: a star, the request's range could not be satisfied */
    bool         has_length; /* false: a star, the length of the whole is not known */
    uint64_t     length;     /* of the whole */
};

/* False when it is not valid (RFC 9110 14.4) or of another unit. */
bool range_content_parse(struct slice value, struct range_content *out);
/* "bytes 0-99/1000"; NULL: a star in place of the range. */
void range_content_write(struct text *out, const struct range *r, uint64_t length);

/*
 * multipart/byteranges (RFC 9110 14.6): the head of each part, and the end behind the last.
 * type: Content-Type of the whole, may be empty.  first: no line break stands before it.
 */
void range_part_head(struct text *out, struct slice boundary, bool first, struct slice type,
                     const struct range *r, uint64_t length);
void range_parts_end(struct text *out, struct slice boundary);

#endif
