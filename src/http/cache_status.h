/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_status.h - the Cache-Status field (RFC 9211): what a cache did with a request. */
#ifndef HTTP_CACHE_STATUS_H
#define HTTP_CACHE_STATUS_H

#include "base/text.h"

#include <stdint.h>

#define CACHE_FORWARD_TABLE(X) /* RFC 9211 2.2 */                                                 \
    X(CACHE_FORWARD_NONE, "")                                                                     \
    X(CACHE_FORWARD_BYPASS, "bypass")     /* told not to handle it */                             \
    X(CACHE_FORWARD_METHOD, "method")     /* the method's meaning requires it */                  \
    X(CACHE_FORWARD_URI_MISS, "uri-miss") /* nothing kept for that URI */                         \
    X(CACHE_FORWARD_VARY_MISS, "vary-miss")                                                       \
    X(CACHE_FORWARD_MISS, "miss")                                                                 \
    X(CACHE_FORWARD_REQUEST, "request") /* fresh, but the request wants more */                   \
    X(CACHE_FORWARD_STALE, "stale")                                                               \
    X(CACHE_FORWARD_PARTIAL, "partial")

enum cache_forward {
#define CACHE_FORWARD_ENUM(id, name) id,
    CACHE_FORWARD_TABLE(CACHE_FORWARD_ENUM)
#undef CACHE_FORWARD_ENUM
};

struct slice cache_forward_name(enum cache_forward f);

/* One member of the list. */
struct cache_status {
    struct slice       name;           /* of this cache: a token, or written as a string */
    bool               hit;            /* answered without asking: forward is NONE then */
    enum cache_forward forward;        /* why the origin was asked; NONE: it was not */
    unsigned           forward_status; /* what it answered; 0: unsaid */
    bool               has_ttl;
    int64_t            ttl_s;          /* may be negative */
    bool               stored;
    bool               collapsed;      /* shared the fetch of another request */
    struct slice       key;            /* empty: unsaid */
    struct slice       detail;         /* empty: unsaid */
};

/* Bytes of strings that are not ASCII text are replaced by '?'. */
void cache_status_write(const struct cache_status *s, struct text *out);

#endif
