/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/condition.h - conditional requests (RFC 9110 13): does the client want what there is?
 *
 * Whoever has a representation (a file, a cached response) says by which validators it is known;
 * what the request's conditions make of them is a pure function.
 */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include "http/message.h"

/* What a representation is known by (RFC 9110 8.8), as its response's fields say it. */
struct validators {
    struct slice etag;               /* with its quotes, and W/ before
                                      * them when weak; empty: none */
    int64_t      modified_s;         /* Last-Modified in Unix seconds, if has_modified */
    bool         has_modified;
    bool         modified_is_strong; /* it was a second old at least when the response was made, so
                                      * that no other version has the same (8.8.2.2) */
};

/* Out of ETag, Last-Modified and Date; an invalid date is none.  Slices point into the fields. */
void validators_from(const struct fields *response, int64_t now_s, struct validators *v);

enum condition {
    CONDITION_HOLDS,        /* no condition, or all that count are true: answer */
    CONDITION_NOT_MODIFIED, /* 304: the client has it already */
    CONDITION_FAILED,       /* 412 */
};

/* If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of 13.2.2.
 * v: NULL when the target has no representation. */
enum condition condition_check(const struct fields *request, enum method method,
                               const struct validators *v, int64_t now_s);
/* If-Range (13.1.5): true when Range counts, as it does without the field. */
bool condition_range_counts(const struct fields *request, const struct validators *v,
                            int64_t now_s);
/* The request has one of the four that condition_check() looks at. */
bool condition_is_there(const struct fields *request);

/* RFC 9110 8.8.3.2; an empty one equals nothing. */
bool etag_equals_strongly(struct slice a, struct slice b);
bool etag_equals_weakly(struct slice a, struct slice b);
/* The next entity tag of a list.  False when none is left.  What is not quoted counts up to the
 * next comma, so that one bad tag does not hide the others. */
bool etag_next(struct slice *rest, struct slice *etag);

#endif
