/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_control.h - what Cache-Control says, in a request or in a response.
 *
 * RFC 9111 5.2, with the directives of RFC 5861 (stale-while-revalidate, stale-if-error) and 8246
 * (immutable), and the targeted fields of RFC 9213.  All lines of a field count as one.  What is
 * said twice, or cannot be understood, is taken at its most restrictive (RFC 9111 4.2.1): the
 * smallest of two ages, and 0 for one that is no number, so that such a response is stale.
 *
 * Memory  slices point into the fields' values; nothing is allocated.
 */
#ifndef HTTP_CACHE_CONTROL_H
#define HTTP_CACHE_CONTROL_H

#include "http/message.h"

/* Directives without a number, bits of cache_control.said. */
enum {
    CACHE_NO_STORE = 1 << 0,
    CACHE_NO_CACHE = 1 << 1, /* without a list of fields, or with one that is not understood */
    CACHE_PRIVATE = 1 << 2,  /* likewise */
    CACHE_PUBLIC = 1 << 3,
    CACHE_MUST_REVALIDATE = 1 << 4,
    CACHE_PROXY_REVALIDATE = 1 << 5,
    CACHE_MUST_UNDERSTAND = 1 << 6,
    CACHE_NO_TRANSFORM = 1 << 7,
    CACHE_IMMUTABLE = 1 << 8,
    CACHE_ONLY_IF_CACHED = 1 << 9,
    CACHE_TARGETED = 1 << 10, /* a targeted field said all this: Expires does not count */
};

/* Longer spans are cut to this (RFC 9111 1.2.2). */
#define CACHE_SECONDS_MAX ((int64_t) 1 << 31)
#define CACHE_UNSAID (-1)

/* Spans in seconds, 0..CACHE_SECONDS_MAX, or CACHE_UNSAID. */
struct cache_control {
    uint32_t     said;
    int64_t      max_age_s;
    int64_t      s_maxage_s;
    int64_t      stale_while_revalidate_s;
    int64_t      stale_if_error_s;
    int64_t      min_fresh_s;
    int64_t      max_stale_s;     /* CACHE_SECONDS_MAX when no span was given */
    struct slice no_cache_fields; /* the list of no-cache="a, b"; absent: none */
    struct slice private_fields;  /* the list of private="a, b"; absent: none */
};

/* Of a request.  `Pragma: no-cache` counts where there is no Cache-Control (RFC 9111 5.4).  Spans
 * that are no numbers are as if not said: a client cannot make anything stale by them. */
void cache_control_of_request(const struct fields *request, struct cache_control *cc);

/*
 * Of a response.  targets: names of targeted fields, the most wanted first (RFC 9213 2.1; n may be
 * 0): the first of them that is there, is a dictionary (RFC 8941 3.2) and not empty replaces
 * Cache-Control and Expires; CACHE_TARGETED is said then.
 */
void cache_control_of_response(const struct fields *response, const struct slice *targets,
                               size_t targets_n, struct cache_control *cc);

static inline bool
cache_control_says(const struct cache_control *cc, uint32_t directive)
{
    return cc->said & directive;
}

/* May a shared cache keep this field for others?  Not when no-cache="..." or private="..." lists
 * it. */
bool cache_control_lets_keep(const struct cache_control *cc, struct slice field_name);

#endif
