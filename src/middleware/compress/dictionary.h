/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/dictionary.h - earlier responses that clients have, for the next ones to be
 * encoded with (RFC 9842).
 *
 * The process keeps the newest and most used in one table of bounded size, and finds them by their
 * SHA-256, which is how clients name them.
 *
 * Threads  any; the table has a lock, under which nothing waits.
 */
#ifndef MIDDLEWARE_COMPRESS_DICTIONARY_H
#define MIDDLEWARE_COMPRESS_DICTIONARY_H

#include "exchange/exchange.h"

enum { DICTIONARY_ID_BYTES = 32 };

struct dictionary {
    uint8_t      id[DICTIONARY_ID_BYTES]; /* SHA-256 of the bytes */
    struct slice bytes;
};

/* The one that the request names in Available-Dictionary, which was made for this scheme and
 * authority; NULL: none.  Give it back with dictionary_release(). */
const struct dictionary *dictionary_available(const struct exchange *x);
void dictionary_release(const struct dictionary *d);

/*
 * The response, plain as it is now, becomes a dictionary when its body ends: wraps the body, unless
 * the table has it already.  What turns out longer than max_bytes does not.
 */
void dictionary_keep(struct exchange *x, uint64_t max_bytes);

/* Bytes in the table, for tests and metrics. */
size_t dictionary_table_bytes(void);

#endif
