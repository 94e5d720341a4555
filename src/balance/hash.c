/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/hash.c - the same key to the same target, for as long as that has room.
 *
 * Keys fall into buckets, always the same number of them.  Each target visits all buckets, in an
 * order and at times that only its own key and weight decide: the first visits of a bucket come
 * from one with probability weight / sum of weights.  Who visits a bucket first has it: that is
 * rendezvous hashing (Thaler, Ravishankar 1998) with weights, for all keys of a bucket at once.
 * Since nobody's times depend on the others, one who leaves gives its buckets away, one who joins
 * takes some, and no other key moves, whatever the number of targets.
 *
 * A ring (Karger et al., 1997) can say that too, but needs a number of points for each target, and
 * a search; a table as in Maglev (Eisenbud et al., NSDI 2016) is more even, but its targets push
 * each other around, and nearly all keys move when it has to grow.  The price here: what one gets
 * of n varies by about sqrt(n / 2 / BUCKETS) of it: 0.3 % of 1 in 2, 3 % of 1 in 100, 9 % of 1 in
 * 1,000; and a weight below 1 in BUCKETS may get nothing.
 *
 * The second visitor is kept as well.  It gets the keys while the first one is out, and still has
 * them when that leaves for good.  After these two a key goes on to other buckets, each from a hash
 * of its own, so that the keys of those who are out, full or over the bound spread over all others,
 * and everybody else's stay.
 *
 * Memory    512 KiB, and 1 MiB while it is made; a few milliseconds, hardly more with more targets.
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
    BUCKET_BITS = 16,
    BUCKETS = 1 << BUCKET_BITS,
    RANKS = 2,    /* visitors of a bucket that are kept */
    PLACES = 256, /* of a key, before all targets are looked at one by one */
};

struct bucket {
    uint32_t at[RANKS]; /* who came first, and second: indices */
};

struct hash {
    struct lb_policy policy;
    double           bound; /* 0: none */
    struct lb_census census;
    _Atomic uint64_t busy;   /* work in flight on usable ones at the last census */
    _Atomic uint64_t weight; /* of the usable ones */
    struct bucket    buckets[BUCKETS];
};

/* When the visitors of a bucket came, while buckets are given out. */
struct hours {
    double at[RANKS];
};

/* A target on its way through the buckets. */
struct visitor {
    uint64_t key;
    uint32_t index;
    uint32_t visits;  /* so far */
    double   time;    /* of its next visit, were its weight 1 */
    double   pace;    /* 1 / weight */
    uint32_t draw[3]; /* random bits, from which its order comes */
};

/* By key, so that the order in which a name server lists them does not matter. */
static int
by_key(const void *a, const void *b)
{
    const struct visitor *one = a, *two = b;

    if (one->key != two->key)
        return one->key < two->key ? -1 : 1;
    return one->index < two->index ? -1 : 1;
}

static void
set_out(struct visitor *v, uint64_t seed, uint32_t weight)
{
    uint64_t one = lb_mix(seed), two = lb_mix(one + LB_GOLDEN);

    v->draw[0] = (uint32_t) one;
    v->draw[1] = (uint32_t) (one >> 32);
    v->draw[2] = (uint32_t) two;
    v->pace = 1.0 / weight;
    /* Anywhere in the first step: those of one weight do not all come at once. */
    v->time = (double) (two >> 32) * 0x1p-32 / BUCKETS;
}

static struct visitor *
visitors_new(const struct lb_set *set)
{
    struct visitor *visitors = calloc(set->n, sizeof(*visitors));
    uint64_t copies = 0;

    if (!visitors)
        return NULL;
    for (size_t i = 0; i < set->n; i++)
        visitors[i] = (struct visitor){.key = set->keys[i], .index = (uint32_t) i};
    qsort(visitors, set->n, sizeof(*visitors), by_key);
    /* One that is listed twice walks twice, on two ways. */
    for (size_t i = 0; i < set->n; i++) {
        copies = i && visitors[i].key == visitors[i - 1].key ? copies + 1 : 0;
        set_out(&visitors[i], lb_mix(visitors[i].key) + copies * LB_GOLDEN,
                set->weights[visitors[i].index]);
    }
    return visitors;
}

/* Where its next visit goes: a permutation of the buckets, because each step can be undone. */
static uint32_t
way_of(const struct visitor *v)
{
    uint32_t x = v->visits;

    x = (x + (v->draw[2] >> 16)) * (v->draw[0] | 1) % BUCKETS;
    x ^= x >> 7;
    x = x * (v->draw[1] | 1) % BUCKETS;
    x ^= x >> 9;
    return (x * (v->draw[2] | 1) + (v->draw[0] >> 16)) % BUCKETS;
}

/* True when this makes the bucket complete. */
static bool
visit(struct bucket *b, struct hours *h, uint32_t who, double time)
{
    bool complete = isinf(h->at[1]) && !isinf(h->at[0]);

    if (time >= h->at[1])
        return false;
    if (time >= h->at[0]) {
        h->at[1] = time;
        b->at[1] = who;
        return complete;
    }
    h->at[1] = h->at[0];
    b->at[1] = b->at[0];
    h->at[0] = time;
    b->at[0] = who;
    return complete;
}

/*
 * All visits of one until then; how many buckets they made complete.  Among so many buckets the
 * visits of a Poisson process would first reach another one, and another, after gaps of 1 / (those
 * not reached yet) on average; these gaps are taken as they are, which is more even than dice, and
 * the same on every machine, which log() is not.
 */
static size_t
walk(struct hash *h, struct hours *hours, struct visitor *v, double until)
{
    size_t complete = 0;

    while (v->visits < BUCKETS && v->time * v->pace <= until) {
        uint32_t at = way_of(v);

        complete += visit(&h->buckets[at], &hours[at], v->index, v->time * v->pace);
        v->visits++;
        v->time += 1.0 / (BUCKETS - v->visits);
    }
    return complete;
}

/* Everybody walks until the same time, then all on until a later one: whoever comes after every
 * bucket has been visited twice is too late, so most visits are never made. */
static void
give_out(struct hash *h, struct hours *hours, struct visitor *visitors)
{
    size_t n = h->policy.set->n, complete = 0;
    double weight = 0;

    for (size_t i = 0; i < n; i++)
        weight += h->policy.set->weights[i];
    for (size_t i = 0; i < BUCKETS; i++)
        hours[i] = (struct hours){{INFINITY, INFINITY}};
    for (double until = 1 / weight; complete < BUCKETS; until *= 1.25)
        for (size_t i = 0; i < n; i++)
            complete += walk(h, hours, &visitors[i], until);
}

/* False when out of memory. */
static bool
fill(struct hash *h)
{
    struct visitor *visitors;
    struct hours *hours;
    bool good;

    if (h->policy.set->n < RANKS)
        return true; /* all buckets are of the only one there is */
    visitors = visitors_new(h->policy.set);
    hours = calloc(BUCKETS, sizeof(*hours));
    good = visitors && hours;
    if (good)
        give_out(h, hours, visitors);
    free(visitors);
    free(hours);
    return good;
}

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    struct hash *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->policy = (struct lb_policy){&lb_hash, set};
    h->bound = (double) options->bound / 1e6;
    lb_census_init(&h->census, set->n);
    if (!fill(h)) {
        free(h);
        return NULL;
    }
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
place_of(const struct hash *h, uint64_t key, size_t place)
{
    uint64_t bucket = lb_mix(key + place / RANKS * LB_GOLDEN) >> (64 - BUCKET_BITS);

    return h->buckets[bucket].at[place % RANKS];
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct hash *h = container_of(p, struct hash, policy);
    uint64_t key = ask->affinity ? ask->affinity : ask->entropy;
    struct lb_ask keyed = *ask;
    double room;

    if (p->set->n == 0)
        return LB_NONE;
    room = room_of(h, ask);
    /* Shares thin out by key: one who is warming up has a part of its keys, the same each time. */
    keyed.entropy = lb_mix(~key);
    for (size_t place = 0; place < PLACES; place++) {
        size_t at = place_of(h, key, place);

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
