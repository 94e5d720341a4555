/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/held.h - private: bytes that wait, in a buffer that the worker lends while there are some.
 */
#ifndef TLS_HELD_H
#define TLS_HELD_H

#include "runtime/loop.h"

struct tls_held {
    char    *at;         /* NULL: nothing is held */
    uint32_t start, end; /* of what is held */
    uint8_t  size;       /* of the buffer */
};

static inline size_t
tls_held_bytes(const struct tls_held *h)
{
    return h->end - h->start;
}

/* Behind what is held. */
static inline size_t
tls_held_room(const struct tls_held *h)
{
    return h->at ? buffer_bytes(h->size) - h->end : 0;
}

/* At least n bytes of room; false: out of memory, or more than the largest buffer would be held. */
bool tls_held_make_room(struct tls_held *h, size_t n);
/* False: there is no room. */
bool tls_held_add(struct tls_held *h, const void *at, size_t n);
/* The first n have left; with the last one the buffer is given back. */
void tls_held_drop(struct tls_held *h, size_t n);
/* Somebody is about to wait: moves to the smallest buffer that will do. */
void tls_held_shrink(struct tls_held *h);
/* Nothing of it is needed. */
void tls_held_give(struct tls_held *h);

#endif
