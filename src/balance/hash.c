/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/hash.c - the same key to the same target, for as long as that has room.
 *
 * Places are given out as in Maglev (Eisenbud et al., NSDI 2016): each target has an order of its
 * own over all slots of a table, drawn from its key, and they take turns, each its next free one,
 * until the table is full.  Shares are nearly exact; a ring (Karger et al., 1997) would move no
 * more keys than it must when a target comes or goes, but needs thousands of points for each
 * target to be as even.  The test measures what the difference costs.
 *
 * A key has not one place but a row of them, each from a hash of its own, so that the keys of one
 * that is out, full or over the bound spread over all others, and everybody else's stay.
 *
 * Bounded load (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): nobody takes more than `bound` times
 * the average work in flight.  The sum is counted rarely (load.h) and every pick since is added,
 * as if none had ended: it is at most a sixteenth of a connection per target too high.
 */
#include "balance/load.h"
#include "balance/mix.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

enum {
    SLOTS_EACH = 512, /* on average; more slots move fewer keys */
    PLACES = 256,     /* of a key, before all targets are looked at one by one */
    FINENESS = 1024,  /* turns that the heaviest takes at least, for its share to be exact */
};

/* Primes, so that each stride visits all slots. */
static const uint32_t table_sizes[] = {
    1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287, 1048573,
};

struct hash {
    struct lb_policy policy;
    double           bound; /* 0: none */
    struct lb_census census;
    _Atomic uint64_t busy;   /* work in flight on usable ones at the last census */
    _Atomic uint64_t weight; /* of the usable ones */
    size_t           slots;  /* 0: nobody is there */
    uint32_t         table[];
};

/* A target while slots are given out. */
struct taker {
    uint64_t key;
    uint32_t index;
    uint32_t next;   /* the slot that it would like now */
    uint32_t stride; /* to the one after it */
    uint32_t taken;
};

static uint32_t
slots_for(size_t n)
{
    size_t size = 0;

    while (size + 1 < countof(table_sizes) && table_sizes[size] < n * SLOTS_EACH)
        size++;
    return n ? table_sizes[size] : 0;
}

/* By key, so that the order in which a name server lists them does not matter. */
static int
by_key(const void *a, const void *b)
{
    const struct taker *one = a, *two = b;

    if (one->key != two->key)
        return one->key < two->key ? -1 : 1;
    return one->index < two->index ? -1 : 1;
}

static struct taker *
takers_new(const struct lb_set *set, uint32_t slots)
{
    struct taker *takers = calloc(set->n, sizeof(*takers));

    for (size_t i = 0; takers && i < set->n; i++) {
        uint64_t where = lb_mix(set->keys[i]), stride = lb_mix(where + LB_GOLDEN);

        takers[i] = (struct taker){
            .key = set->keys[i],
            .index = (uint32_t) i,
            .next = (uint32_t) lb_below(where, slots),
            .stride = 1 + (uint32_t) lb_below(stride, slots - 1),
        };
    }
    if (takers)
        qsort(takers, set->n, sizeof(*takers), by_key);
    return takers;
}

/* What earns one slot in each round: about the average weight, so that rounds are few, but not so
 * little that the heaviest takes a visible share in a single one.  A power of two, so that it
 * seldom changes when a target comes or goes. */
static uint64_t
unit_of(const struct lb_set *set, uint32_t slots)
{
    uint64_t total = 0, most = 0, want, unit = 1;

    for (size_t i = 0; i < set->n; i++) {
        total += set->weights[i];
        most = set->weights[i] > most ? set->weights[i] : most;
    }
    want = most * FINENESS / slots;
    want = total / set->n > want ? total / set->n : want;
    while (unit * 2 <= want)
        unit *= 2;
    return unit;
}

static void
take_slot(struct hash *h, struct taker *t)
{
    while (h->table[t->next] != UINT32_MAX)
        t->next = (uint32_t) (((uint64_t) t->next + t->stride) % h->slots);
    h->table[t->next] = t->index;
    t->taken++;
}

/* Everybody gets one at least. */
static void
give_out(struct hash *h, const struct lb_set *set, struct taker *takers)
{
    uint64_t unit = unit_of(set, (uint32_t) h->slots);
    size_t left = h->slots;

    memset(h->table, 0xFF, h->slots * sizeof(h->table[0]));
    for (uint64_t round = 1; left; round++) {
        for (size_t i = 0; i < set->n; i++) {
            uint64_t due = round * set->weights[takers[i].index] / unit;

            for (due = due ? due : 1; left && takers[i].taken < due; left--)
                take_slot(h, &takers[i]);
        }
    }
}

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    uint32_t slots = slots_for(set->n);
    struct hash *h = calloc(1, sizeof(*h) + slots * sizeof(h->table[0]));
    struct taker *takers = set->n ? takers_new(set, slots) : NULL;

    if (!h || (set->n && !takers)) {
        free(h);
        free(takers);
        return NULL;
    }
    h->policy = (struct lb_policy){&lb_hash, set};
    h->bound = (double) options->bound / 1e6;
    h->slots = slots;
    lb_census_init(&h->census, set->n);
    if (slots)
        give_out(h, set, takers);
    free(takers);
    return &h->policy;
}

static void
destroy(struct lb_policy *p)
{
    free(container_of(p, struct hash, policy));
}

static void
count(struct hash *h, const struct lb_ask *ask)
{
    const struct lb_set *set = h->policy.set;
    uint64_t busy = 0, weight = 0;

    for (size_t i = 0; i < set->n; i++) {
        const struct lb_target *t = set->targets[i];

        if (atomic_load_explicit(&t->standing, memory_order_relaxed) < ask->least)
            continue;
        busy += atomic_load_explicit(&t->inflight, memory_order_relaxed);
        weight += set->weights[i];
    }
    atomic_store_explicit(&h->busy, busy, memory_order_relaxed);
    atomic_store_explicit(&h->weight, weight, memory_order_relaxed);
}

/* Work in flight that a target may have for each unit of its weight, with what is to be placed. */
static double
room_of(struct hash *h, const struct lb_ask *ask)
{
    uint64_t since, busy, weight;

    if (h->bound <= 0)
        return INFINITY;
    if (lb_census_due(&h->census, ask->now_us, &since)) {
        count(h, ask);
        since = 0;
    }
    busy = atomic_load_explicit(&h->busy, memory_order_relaxed) + since + 1;
    weight = atomic_load_explicit(&h->weight, memory_order_relaxed);
    return weight ? h->bound * (double) busy / (double) weight : INFINITY;
}

/* Below the bound rounded up, so that one who is idle always has room. */
static bool
has_room(const struct lb_set *set, size_t i, double room)
{
    return atomic_load_explicit(&set->targets[i]->inflight, memory_order_relaxed) <
           room * set->weights[i];
}

/* So few fit that no place of the key is with one of them. */
static size_t
look_at_all(const struct lb_set *set, const struct lb_ask *ask, double room, size_t start)
{
    for (size_t i = 0; i < set->n; i++) {
        size_t at = (start + i) % set->n;

        if (lb_fits(set, ask, at) && has_room(set, at, room))
            return at;
    }
    return lb_first_fit(set, ask, start);
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct hash *h = container_of(p, struct hash, policy);
    uint64_t key = ask->affinity ? ask->affinity : ask->entropy;
    struct lb_ask keyed = *ask;
    double room;

    if (h->slots == 0)
        return LB_NONE;
    room = room_of(h, ask);
    /* Shares thin out by key: one who is warming up has a part of its keys, the same each time. */
    keyed.entropy = lb_mix(~key);
    for (uint64_t place = 0; place < PLACES; place++) {
        size_t at = h->table[lb_below(lb_mix(key + place * LB_GOLDEN), h->slots)];

        if (lb_fits(p->set, &keyed, at) && has_room(p->set, at, room))
            return at;
    }
    return look_at_all(p->set, &keyed, room, lb_below(keyed.entropy, p->set->n));
}

const struct lb_policy_ops lb_hash = {
    .name = "hash",
    .summary = "The same server for the same key, as long as it has room.",
    .create = create,
    .destroy = destroy,
    .pick = pick,
};
