/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_freshness.h - how long a response is fresh (RFC 9111 4.2.1).  Private to cache_*. */
#ifndef HTTP_CACHE_FRESHNESS_H
#define HTTP_CACHE_FRESHNESS_H

#include "http/cache_rules.h"

struct cache_lifetime {
    enum cache_source source;
    int64_t           seconds;
};

struct cache_lifetime cache_lifetime_of(const struct cache_rules *rules,
                                        const struct cache_pair *pair, int64_t now_unix_s);
/* As http_date_parse(), with names in any case of letters (RFC 9111 4.2). */
bool cache_date_parse(struct slice s, int64_t now_unix_s, int64_t *unix_s);
/* Heuristically cacheable: may be kept when the origin says nothing (RFC 9110 15.1). */
bool cache_is_heuristic(unsigned status);

#endif
