/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/mac.h - signatures with a shared secret (HMAC with SHA-256, RFC 2104), and how they are
 * compared.
 *
 * Any thread.  OpenSSL does the hashing.
 */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include "base/slice.h"

enum { MAC_BYTES = 32 };

/* Of the parts one after the other: where one could run into the next, the caller puts lengths or
 * separators between them.  Any length of key.  False when out of memory. */
bool mac_sha256(struct slice key, const struct slice *parts, size_t n, uint8_t out[MAC_BYTES]);
/* Takes as long whatever differs, so that nobody can guess a signature byte by byte. */
bool mac_equal(const void *a, const void *b, size_t n);

#endif
