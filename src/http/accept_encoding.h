/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/accept_encoding.h - which content codings a client takes, and how gladly (RFC 9110 12.5.3).
 *
 * A client that sends no Accept-Encoding might take anything, says the RFC; those that are around
 * cannot decode, so it counts as one that takes the plain form only.
 */
#ifndef HTTP_ACCEPT_ENCODING_H
#define HTTP_ACCEPT_ENCODING_H

#include "http/message.h"

/* Codings in one field that are looked at; who names more is not understood less. */
enum { ACCEPT_ENCODING_MAX = 16 };

struct accept_encoding {
    struct {
        struct slice coding;
        unsigned     q; /* thousandths */
    }        at[ACCEPT_ENCODING_MAX];
    unsigned n;
    unsigned others; /* "*": of what is not named; 0 when it does not stand there */
    bool     has_others;
};

/* From all fields of that name.  What is malformed is left out.  Names point into the fields. */
void accept_encoding_parse(struct accept_encoding *a, const struct fields *f);
/* Thousandths: 0 is "never".  "identity" is fine unless it is refused (by name or by "*;q=0");
 * "x-gzip" and "gzip" are the same (RFC 9110 8.4.1.3). */
unsigned accept_encoding_q(const struct accept_encoding *a, struct slice coding);

/* Takes the last coding off a Content-Encoding ("a, b" is b made of a): absent when none is left.
 * Trimmed; "identity" is passed over. */
struct slice content_encoding_last(struct slice *codings);

#endif
