/* SPDX-License-Identifier: Apache-2.0 */
/* tls/held.c - bytes that wait, in lent buffers. */
#include "tls/held.h"

#include <string.h>

/* Into another buffer of that size. */
static bool
move(struct tls_held *h, unsigned size)
{
    size_t n = tls_held_bytes(h);
    char *other = buffer_take(size);

    if (!other)
        return false;
    if (n)
        memcpy(other, h->at + h->start, n);
    tls_held_give(h);
    *h = (struct tls_held){.at = other, .end = (uint32_t) n, .size = (uint8_t) size};
    return true;
}

bool
tls_held_make_room(struct tls_held *h, size_t n)
{
    size_t held = tls_held_bytes(h);
    unsigned size = BUFFER_SMALL;

    if (h->at && n <= tls_held_room(h))
        return true;
    while (size < BUFFER_SIZES && buffer_bytes(size) < held + n)
        size++;
    if (size == BUFFER_SIZES)
        return false;
    if (!h->at || size > h->size)
        return move(h, size);
    memmove(h->at, h->at + h->start, held);
    h->start = 0;
    h->end = (uint32_t) held;
    return true;
}

bool
tls_held_add(struct tls_held *h, const void *at, size_t n)
{
    if (!tls_held_make_room(h, n))
        return false;
    memcpy(h->at + h->end, at, n);
    h->end += (uint32_t) n;
    return true;
}

void
tls_held_drop(struct tls_held *h, size_t n)
{
    h->start += (uint32_t) n;
    if (h->start == h->end)
        tls_held_give(h);
}

void
tls_held_shrink(struct tls_held *h)
{
    unsigned size = BUFFER_SMALL;

    while (buffer_bytes(size) < tls_held_bytes(h))
        size++;
    if (h->at && size < h->size)
        (void) move(h, size);
}

void
tls_held_give(struct tls_held *h)
{
    if (h->at)
        buffer_give(h->size, h->at);
    *h = (struct tls_held){0};
}
