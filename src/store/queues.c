/* SPDX-License-Identifier: Apache-2.0 */
/* store/queues.c - S3-FIFO with sizes: queues are measured in units of memory, not in objects. */
#include "store/queues.h"

enum {
    SMALL_SHARE = 10, /* one part in so many is the small queue's */
    GHOSTS_WAYS = 4,
    PATIENCE = 256,   /* places looked at for one victim, before hits are forgotten */
};

void
queues_init(struct queues *q)
{
    *q = (struct queues){0};
    for (unsigned i = 0; i < QUEUES; i++)
        list_init(&q->lists[i]);
}

void
queues_set_ghosts(struct queues *q, struct ghost *ghosts, uint32_t n)
{
    CHECK(n == 0 || (n >= GHOSTS_WAYS && (n & (n - 1)) == 0));
    q->ghosts = ghosts;
    q->ghosts_n = n;
}

/* ------------------------------------------------------------------ ghosts */

static struct ghost *
set_of(const struct queues *q, uint32_t fingerprint)
{
    /* The low bits chose the slot; any will do, but all must count. */
    uint32_t mixed = fingerprint * UINT32_C(0x9E3779B1);

    return q->ghosts + ((mixed >> 3) & (q->ghosts_n - 1) & ~(uint32_t) (GHOSTS_WAYS - 1));
}

static void
haunt(struct queues *q, uint32_t fingerprint)
{
    struct ghost *set, *oldest;

    q->left++;
    if (!q->ghosts)
        return;
    oldest = set = set_of(q, fingerprint);
    for (unsigned i = 1; i < GHOSTS_WAYS; i++)
        if (q->left - set[i].left_at > q->left - oldest->left_at)
            oldest = &set[i];
    *oldest = (struct ghost){fingerprint, q->left};
}

/* It left not longer ago than as many others as the main queue holds. */
static bool
was_here(struct queues *q, uint32_t fingerprint)
{
    struct ghost *set;

    if (!q->ghosts)
        return false;
    set = set_of(q, fingerprint);
    for (unsigned i = 0; i < GHOSTS_WAYS; i++)
        if (set[i].fingerprint == fingerprint && set[i].left_at) {
            bool lately = q->left - set[i].left_at <= q->count[QUEUE_MAIN] + q->count[QUEUE_SMALL];

            set[i] = (struct ghost){0};
            return lately;
        }
    return false;
}

/* ------------------------------------------------------------------ queues */

static void
enter(struct queues *q, enum queue which, struct place *p)
{
    p->queue = (uint8_t) which;
    list_push(&q->lists[which], &p->link);
    q->units[which] += p->units;
    q->count[which]++;
}

void
queues_remove(struct queues *q, struct place *p)
{
    if (p->queue == QUEUE_NONE)
        return;
    q->units[p->queue] -= p->units;
    q->count[p->queue]--;
    list_remove(&p->link);
    p->queue = QUEUE_NONE;
}

void
queues_insert(struct queues *q, struct place *p)
{
    CHECK(p->queue == QUEUE_NONE);
    enter(q, was_here(q, p->fingerprint) ? QUEUE_MAIN : QUEUE_SMALL, p);
}

void
queues_inherit(struct place *p, const struct place *before)
{
    uint8_t hits = atomic_load_explicit(&before->hits, memory_order_relaxed);

    /* From the small queue one hit leads to the main one. */
    if (hits == 0 && before->queue == QUEUE_MAIN)
        hits = 1;
    atomic_store_explicit(&p->hits, hits, memory_order_relaxed);
}

static struct place *
oldest_of(struct queues *q)
{
    enum queue which = QUEUE_MAIN;

    if (q->units[QUEUE_SMALL] * SMALL_SHARE >= q->units[QUEUE_SMALL] + q->units[QUEUE_MAIN])
        which = QUEUE_SMALL;
    if (list_is_empty(&q->lists[which]))
        which = which == QUEUE_MAIN ? QUEUE_SMALL : QUEUE_MAIN;
    if (list_is_empty(&q->lists[which]))
        return NULL;
    return list_entry(q->lists[which].prev, struct place, link);
}

/* At the end of its queue: does it go to the main queue (again)? */
static bool
deserves_more(struct place *p)
{
    uint8_t hits = atomic_load_explicit(&p->hits, memory_order_relaxed);

    if (p->queue == QUEUE_SMALL) {
        atomic_store_explicit(&p->hits, 0, memory_order_relaxed);
        return hits > 0;
    }
    if (hits > 0)
        atomic_store_explicit(&p->hits, hits - 1, memory_order_relaxed);
    return hits > 0;
}

struct place *
queues_victim(struct queues *q, bool (*must_stay)(const struct place *p))
{
    struct place *p;

    for (unsigned seen = 0; seen < 2 * PATIENCE && (p = oldest_of(q)); seen++) {
        bool more = deserves_more(p), small = p->queue == QUEUE_SMALL;

        queues_remove(q, p);
        if (must_stay(p) || (more && seen < PATIENCE)) {
            enter(q, QUEUE_MAIN, p);
            continue;
        }
        if (small)
            haunt(q, p->fingerprint);
        return p;
    }
    return NULL;
}
