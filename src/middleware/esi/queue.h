/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/queue.h - bytes that have come and wait for their turn.  Private to esi.
 */
#ifndef MIDDLEWARE_ESI_QUEUE_H
#define MIDDLEWARE_ESI_QUEUE_H

#include "base/list.h"
#include "base/slice.h"

/* Whoever pops it frees it with free(). */
struct esi_chunk {
    struct list link;
    size_t      n, room;
    char        bytes[];
};

struct esi_queue {
    struct list chunks;
    size_t      n; /* bytes in them */
};

void esi_queue_init(struct esi_queue *q);
void esi_queue_clear(struct esi_queue *q);
/* Copies; false when out of memory. */
bool esi_queue_put(struct esi_queue *q, struct slice bytes);
/* The oldest; NULL when there is none. */
struct esi_chunk *esi_queue_pop(struct esi_queue *q);

#endif
