/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/ring.c - a ring of records, each behind its length. */
#include "analytics/ring.h"

#include "base/check.h"

#include <stdlib.h>

/* Before each record.  Lengths are multiples of 8, so that a head always fits before the end. */
struct head {
    uint32_t bytes; /* of head and record */
    uint32_t skip;  /* 1: there is no record, go on at the start */
};

_Static_assert(sizeof(struct head) == RING_HEAD, "records are aligned by it");

bool
ring_init(struct ring *r, size_t room)
{
    CHECK(room >= 1024 && room <= UINT32_MAX / 2 && (room & (room - 1)) == 0);
    *r = (struct ring){.room = room};
    r->bytes = aligned_alloc(RING_LINE, room);
    return r->bytes != NULL;
}

void
ring_free(struct ring *r)
{
    free(r->bytes);
    *r = (struct ring){0};
}

static struct head *
head_at(const struct ring *r, uint64_t position)
{
    return (void *) (r->bytes + (position & (r->room - 1)));
}

static uint64_t
whole(size_t n)
{
    return (RING_HEAD + (uint64_t) n + 7) & ~(uint64_t) 7;
}

static bool
has_room(struct ring *r, uint64_t end)
{
    if (end - r->seen_read <= r->room)
        return true;
    r->seen_read = atomic_load_explicit(&r->read, memory_order_acquire);
    return end - r->seen_read <= r->room;
}

static void
miss(struct ring *r)
{
    uint64_t missed = atomic_load_explicit(&r->missed, memory_order_relaxed);

    atomic_store_explicit(&r->missed, missed + 1, memory_order_relaxed);
}

void *
ring_reserve(struct ring *r, size_t n)
{
    uint64_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
    uint64_t to_end = r->room - (at & (r->room - 1)), need = whole(n);

    CHECK(n <= r->room / 4);
    r->begun = need > to_end ? at + to_end : at;
    if (!has_room(r, r->begun + need)) {
        miss(r);
        return NULL;
    }
    if (r->begun != at)
        *head_at(r, at) = (struct head){(uint32_t) to_end, 1};
    return head_at(r, r->begun) + 1;
}

/* One that seems half full by what was last seen of the consumer is looked at again. */
static bool
is_half_full(struct ring *r, uint64_t written)
{
    if (written - r->seen_read <= r->room / 2)
        return false;
    r->seen_read = atomic_load_explicit(&r->read, memory_order_acquire);
    return written - r->seen_read > r->room / 2;
}

bool
ring_commit(struct ring *r, size_t n)
{
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    uint64_t bytes = whole(n), written = r->begun + bytes;

    *head_at(r, r->begun) = (struct head){(uint32_t) bytes, 0};
    atomic_store_explicit(&r->taken, taken + 1, memory_order_relaxed);
    atomic_store_explicit(&r->written, written, memory_order_release);
    return is_half_full(r, written) &&
           !atomic_load_explicit(&r->rung, memory_order_relaxed) &&
           !atomic_exchange_explicit(&r->rung, true, memory_order_relaxed);
}

const void *
ring_peek(struct ring *r)
{
    uint64_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&r->written, memory_order_acquire);
    const struct head *h;

    if (at == end)
        return NULL;
    h = head_at(r, at);
    if (!h->skip)
        return h + 1;
    /* What is skipped is published together with the record behind it; what is given back is not
     * looked at again. */
    at += h->bytes;
    atomic_store_explicit(&r->read, at, memory_order_release);
    return head_at(r, at) + 1;
}

void
ring_release(struct ring *r)
{
    uint64_t at = atomic_load_explicit(&r->read, memory_order_relaxed);

    atomic_store_explicit(&r->read, at + head_at(r, at)->bytes, memory_order_release);
}

void
ring_listen(struct ring *r)
{
    atomic_store_explicit(&r->rung, false, memory_order_relaxed);
}
