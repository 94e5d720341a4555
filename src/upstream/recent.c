/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/recent.c - counts over a sliding window, without a lock and without sharing. */
#include "upstream/recent.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum { EPOCH_SHIFT = 48 };

#define RELAXED memory_order_relaxed

bool
recent_init(struct recent *r, unsigned workers)
{
    size_t size = workers * sizeof(r->lines[0]);

    *r = (struct recent){.workers = workers};
    r->lines = aligned_alloc(_Alignof(struct recent_line), size);
    if (r->lines)
        memset(r->lines, 0, size);
    return r->lines != NULL;
}

void
recent_free(struct recent *r)
{
    free(take(&r->lines));
}

/* The number of the stretch of time, with the epoch above it.  1 is added so that a slot that was
 * never used belongs to no time. */
static uint64_t
tag_of(const struct recent *r, uint64_t window_us, uint64_t now_us)
{
    uint64_t epoch = atomic_load_explicit(&r->epoch, RELAXED);

    return epoch << EPOCH_SHIFT | (now_us / (window_us / RECENT_SLOTS) + 1);
}

/* Only one thread writes, so that loads and stores do; the counts are emptied before they get
 * their new meaning, for whoever sums at this moment. */
void
recent_add(struct recent *r, unsigned worker, uint64_t window_us, uint64_t now_us, uint32_t all,
           uint32_t some)
{
    uint64_t tag = tag_of(r, window_us, now_us);
    struct recent_slot *s = &r->lines[worker].slots[tag % RECENT_SLOTS];

    if (atomic_load_explicit(&s->tag, RELAXED) != tag) {
        atomic_store_explicit(&s->all, 0, RELAXED);
        atomic_store_explicit(&s->some, 0, RELAXED);
        atomic_store_explicit(&s->tag, tag, memory_order_release);
    }
    atomic_store_explicit(&s->all, atomic_load_explicit(&s->all, RELAXED) + all, RELAXED);
    atomic_store_explicit(&s->some, atomic_load_explicit(&s->some, RELAXED) + some, RELAXED);
}

struct recent_sum
recent_sum(const struct recent *r, uint64_t window_us, uint64_t now_us)
{
    struct recent_sum sum = {0};
    uint64_t newest = tag_of(r, window_us, now_us) + 1; /* another worker's clock may be ahead */

    for (unsigned w = 0; w < r->workers; w++)
        for (size_t i = 0; i < RECENT_SLOTS; i++) {
            const struct recent_slot *s = &r->lines[w].slots[i];

            if (newest - atomic_load_explicit(&s->tag, memory_order_acquire) > RECENT_SLOTS)
                continue;
            sum.all += atomic_load_explicit(&s->all, RELAXED);
            sum.some += atomic_load_explicit(&s->some, RELAXED);
        }
    return sum;
}

void
recent_forget(struct recent *r)
{
    atomic_fetch_add_explicit(&r->epoch, 1, RELAXED);
}
