/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/places.c - tiers, and regions in each of them, around any policy.
 *
 * Work goes to the lowest tier, and there to the region next to where it comes from.  A tier or
 * region of which only a few are usable would be overrun by all of its work: with `spill`, it keeps
 * only as much as its usable share allows, and the rest goes on to the next (Envoy's priority
 * levels, whose overprovisioning factor is 1 / spill).  When all together cannot keep everything,
 * each takes its part in proportion.
 *
 * A cell is a part of the set with a policy of its own: each tier as a whole, for work that comes
 * from nowhere in particular, and each region of a tier; those without a region come last.
 */
#include "balance/load.h"
#include "balance/mix.h"
#include "balance/part.h"

#include "base/check.h"

#include <stdlib.h>

#define STAY_ALL 65536u

struct cell {
    struct lb_part    part;
    struct lb_policy *policy; /* NULL: nobody is here */
    _Atomic uint32_t  stay;   /* how much of its work it keeps, of STAY_ALL */
};

struct places {
    struct lb_policy policy;
    struct lb_census census;
    uint64_t         spill; /* millionths */
    size_t           tiers;
    size_t           width; /* cells of a tier: the whole, the regions, those without one */
    struct cell      cells[];
};

static const struct lb_policy_ops places_ops;

/* ------------------------------------------------------------------ making */

static int
by_number(const void *a, const void *b)
{
    return *(const uint16_t *) a - *(const uint16_t *) b;
}

/* The numbers of the tiers there are, in order; NULL when out of memory. */
static uint16_t *
tiers_of(const struct lb_set *set, size_t *n)
{
    uint16_t *tiers = calloc(set->n ? set->n : 1, sizeof(*tiers));

    *n = 0;
    if (!tiers)
        return NULL;
    for (size_t i = 0; i < set->n; i++)
        tiers[i] = set->places[i].tier;
    qsort(tiers, set->n, sizeof(*tiers), by_number);
    for (size_t i = 0; i < set->n; i++)
        if (i == 0 || tiers[i] != tiers[*n - 1])
            tiers[(*n)++] = tiers[i];
    return tiers;
}

/* Which of a tier's cells: 0 the whole, then the regions, then those without one. */
static size_t
column_of(const struct lb_set *set, size_t i)
{
    uint16_t region = set->places[i].region;

    return 1 + (region < set->regions ? region : set->regions);
}

static bool
fill_cell(struct cell *cell, const struct lb_set *set, const struct lb_policy_ops *ops,
          const struct lb_options *options, const uint32_t *at, size_t n)
{
    atomic_init(&cell->stay, 0);
    if (n == 0)
        return true;
    if (!lb_part_init(&cell->part, set, at, n))
        return false;
    cell->policy = ops->create(&cell->part.set, options);
    return cell->policy != NULL;
}

/* `at` has room for the indices of a cell. */
static bool
fill_tier(struct places *p, size_t row, uint16_t tier, const struct lb_policy_ops *ops,
          const struct lb_options *options, uint32_t *at)
{
    const struct lb_set *set = p->policy.set;
    bool ok = true;

    for (size_t column = 0; ok && column < p->width; column++) {
        size_t n = 0;

        for (size_t i = 0; i < set->n; i++)
            if (set->places[i].tier == tier && (column == 0 || column_of(set, i) == column))
                at[n++] = (uint32_t) i;
        ok = fill_cell(&p->cells[row * p->width + column], set, ops, options, at, n);
    }
    return ok;
}

static void
destroy(struct lb_policy *policy)
{
    struct places *p = container_of(policy, struct places, policy);

    for (size_t i = 0; i < p->tiers * p->width; i++) {
        lb_policy_free(p->cells[i].policy);
        lb_part_free(&p->cells[i].part);
    }
    free(p);
}

static struct places *
places_new(const struct lb_set *set, const struct lb_policy_ops *ops,
           const struct lb_options *options, const uint16_t *tiers, size_t n)
{
    size_t width = set->regions ? set->regions + 2 : 1;
    struct places *p = calloc(1, sizeof(*p) + n * width * sizeof(p->cells[0]));
    uint32_t *at = calloc(set->n, sizeof(*at));
    bool ok = p && at;

    if (p) {
        p->policy = (struct lb_policy){&places_ops, set};
        p->spill = options->spill;
        p->tiers = n;
        p->width = width;
        lb_census_init(&p->census, set->n);
    }
    for (size_t row = 0; ok && row < n; row++)
        ok = fill_tier(p, row, tiers[row], ops, options, at);
    free(at);
    if (!ok && p)
        destroy(&take(&p)->policy);
    return p;
}

struct lb_policy *
lb_places_new(const struct lb_set *set, const struct lb_policy_ops *ops,
              const struct lb_options *options)
{
    struct places *p;
    uint16_t *tiers;
    size_t n;

    if (!set->places)
        return ops->create(set, options);
    tiers = tiers_of(set, &n);
    if (!tiers)
        return NULL;
    if (n <= 1 && set->regions == 0) {
        free(tiers);
        return ops->create(set, options);
    }
    p = places_new(set, ops, options, tiers, n);
    free(tiers);
    return p ? &p->policy : NULL;
}

/* ------------------------------------------------------------------ counting */

static uint32_t
stay_of(const struct places *p, const struct lb_set *set, const struct lb_ask *ask)
{
    uint64_t usable = 0, total = 0, stay;

    for (size_t i = 0; i < set->n; i++) {
        const struct lb_target *t = set->targets[i];

        total += set->weights[i];
        if (atomic_load_explicit(&t->standing, memory_order_relaxed) >= ask->least)
            usable += set->weights[i];
    }
    if (usable == 0)
        return 0;
    if (p->spill == 0)
        return STAY_ALL;
    stay = (uint64_t) ((double) usable / (double) total * 1e6 / (double) p->spill * STAY_ALL);
    return stay < STAY_ALL ? (uint32_t) stay : STAY_ALL;
}

static void
count(struct places *p, const struct lb_ask *ask)
{
    for (size_t i = 0; i < p->tiers * p->width; i++) {
        struct cell *cell = &p->cells[i];

        if (cell->policy)
            atomic_store_explicit(&cell->stay, stay_of(p, &cell->part.set, ask),
                                  memory_order_relaxed);
    }
}

/* ------------------------------------------------------------------ picking */

/* The cells that work may go to, in its order of preference. */
typedef struct cell *stop_f(struct places *p, const struct lb_ask *ask, size_t tier, size_t i);

static stop_f tier_stop, region_stop;

/* Each tier as a whole; `tier` has no meaning yet. */
static struct cell *
tier_stop(struct places *p, const struct lb_ask *ask, size_t tier, size_t i)
{
    (void) ask;
    (void) tier;
    return &p->cells[i * p->width];
}

/* The regions of a tier by nearness, those without one at last. */
static struct cell *
region_stop(struct places *p, const struct lb_ask *ask, size_t tier, size_t i)
{
    const struct lb_set *set = p->policy.set;
    size_t column = i < set->regions ? set->near[ask->region * set->regions + i] : i;

    return &p->cells[tier * p->width + 1 + column];
}

/* The stop where this piece of work is to go: as much of all work stays at each as it can keep. */
static size_t
first_stop(struct places *p, const struct lb_ask *ask, size_t tier, stop_f *stop, size_t n,
           uint64_t random)
{
    uint64_t total = 0, point;

    for (size_t i = 0; i < n && total < STAY_ALL; i++)
        total += atomic_load_explicit(&stop(p, ask, tier, i)->stay, memory_order_relaxed);
    point = lb_below(random, total < STAY_ALL ? total : STAY_ALL);
    for (size_t i = 0; i < n; i++) {
        uint32_t stay = atomic_load_explicit(&stop(p, ask, tier, i)->stay, memory_order_relaxed);

        if (point < stay)
            return i;
        point -= stay;
    }
    return 0; /* nobody is usable anywhere, or somebody went out just now */
}

static size_t
pick_in_cell(const struct cell *cell, const struct lb_ask *ask)
{
    size_t at = cell->policy ? cell->policy->ops->pick(cell->policy, ask) : LB_NONE;

    return at == LB_NONE ? LB_NONE : cell->part.at[at];
}

static size_t
pick_in_tier(struct places *p, const struct lb_ask *ask, size_t tier, uint64_t random)
{
    size_t regions = p->policy.set->regions, first, at;

    if (ask->region >= regions)
        return pick_in_cell(tier_stop(p, ask, tier, tier), ask);
    first = first_stop(p, ask, tier, region_stop, regions + 1, lb_mix(random));
    at = pick_in_cell(region_stop(p, ask, tier, first), ask);
    for (size_t i = 0; i <= regions && at == LB_NONE; i++)
        if (i != first)
            at = pick_in_cell(region_stop(p, ask, tier, i), ask);
    return at;
}

static size_t
pick(struct lb_policy *policy, const struct lb_ask *ask)
{
    struct places *p = container_of(policy, struct places, policy);
    /* A key stays where it is, or moves, for good. */
    uint64_t random = lb_mix((ask->affinity ? ask->affinity : ask->entropy) ^ LB_GOLDEN), since;
    size_t first, at;

    if (lb_census_due(&p->census, ask->now_us, &since))
        count(p, ask);
    first = first_stop(p, ask, 0, tier_stop, p->tiers, random);
    at = pick_in_tier(p, ask, first, random);
    for (size_t i = 0; i < p->tiers && at == LB_NONE; i++)
        if (i != first)
            at = pick_in_tier(p, ask, i, random);
    return at;
}

static const struct lb_policy_ops places_ops = {
    .name = "places",
    .summary = "Tiers first, then the nearest region.",
    .destroy = destroy,
    .pick = pick,
};
