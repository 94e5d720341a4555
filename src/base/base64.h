/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/base64.h - bytes as letters that are safe in URLs and cookies (base64url without padding,
 * RFC 4648 section 5).
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/slice.h"

/* Letters that n bytes become, and most bytes that n letters can hold. */
#define BASE64_LETTERS(n) (((n) *4 + 2) / 3)
#define BASE64_BYTES(n) ((n) / 4 * 3 + (n) % 4 * 3 / 4)

/* Writes BASE64_LETTERS(bytes.n) letters, no zero byte. */
void base64_encode(struct slice bytes, char *out);
/* Writes BASE64_BYTES(letters.n) bytes.  False: there is something else among the letters, or they
 * are not the one way in which these bytes are written. */
bool base64_decode(struct slice letters, void *out);

#endif
