/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/queue.c - see queue.h. */
#include "middleware/esi/queue.h"

#include <stdlib.h>

enum { CHUNK_LEAST = 1024 - sizeof(struct esi_chunk) };

void
esi_queue_init(struct esi_queue *q)
{
    list_init(&q->chunks);
    q->n = 0;
}

void
esi_queue_clear(struct esi_queue *q)
{
    struct esi_chunk *c;

    while ((c = esi_queue_pop(q)))
        free(c);
}

/* As much as the youngest has room for. */
static struct slice
fill_last(struct esi_queue *q, struct slice bytes)
{
    struct esi_chunk *c;
    size_t n;

    if (list_is_empty(&q->chunks))
        return bytes;
    c = list_entry(q->chunks.prev, struct esi_chunk, link);
    n = c->room - c->n < bytes.n ? c->room - c->n : bytes.n;
    if (n)
        memcpy(c->bytes + c->n, bytes.at, n);
    c->n += n;
    q->n += n;
    return slice_from(bytes, n);
}

bool
esi_queue_put(struct esi_queue *q, struct slice bytes)
{
    struct slice rest = fill_last(q, bytes);
    size_t room = rest.n > CHUNK_LEAST ? rest.n : CHUNK_LEAST;
    struct esi_chunk *c;

    if (rest.n == 0)
        return true;
    c = malloc(sizeof(*c) + room);
    if (!c)
        return false;
    c->n = 0;
    c->room = room;
    list_append(&q->chunks, &c->link);
    (void) fill_last(q, rest);
    return true;
}

struct esi_chunk *
esi_queue_pop(struct esi_queue *q)
{
    struct list *l = list_pop(&q->chunks);
    struct esi_chunk *c = l ? list_entry(l, struct esi_chunk, link) : NULL;

    if (c)
        q->n -= c->n;
    return c;
}
