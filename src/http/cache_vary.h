/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_vary.h - which requests a kept response is for, beside its URI (RFC 9111 4.1).
 *
 * The names that Vary lists are brought into one order; the values that a request has for them make
 * the secondary key.  Values that mean the same to every origin give the same key.
 */
#ifndef HTTP_CACHE_VARY_H
#define HTTP_CACHE_VARY_H

#include "base/text.h"
#include "http/message.h"

enum { CACHE_VARY_NAMES_MAX = 16, CACHE_VARY_NAMES_BYTES = 512 };

enum cache_vary {
    CACHE_VARY_NONE,  /* for all requests */
    CACHE_VARY_NAMED, /* names were written */
    CACHE_VARY_STAR,  /* for no other request: `*`, no token, or more than can be kept */
};

/* Writes the names: lower case, sorted, each once, separated by commas. */
enum cache_vary cache_vary_names(const struct fields *response, struct text *names);

/*
 * Writes the secondary key of a request for such names.
 * Accept-Encoding: the codings that are taken, sorted; q-values say only whether.
 * Accept-Language: the ranges by preference.
 * Accept, Cookie and other lists: blanks around commas do not count, lines are joined.
 * Fields that are no lists (User-Agent, Authorization, Referer, ...): as they are.
 * A field that is not there differs from an empty one.  text.full: it did not fit.
 */
void cache_vary_key(struct slice names, const struct fields *request, struct text *key);

#endif
