/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/subset.c - each worker uses only a few of a very large group.
 *
 * Otherwise each worker keeps connections to each server, and most of them idle.  Servers are put
 * into an order drawn from their keys, and workers take stretches of it one after the other, round
 * and round, so that no two servers differ by more than one worker (as in "Site Reliability
 * Engineering", Beyer et al. 2016, chapter 20, with an order that hardly changes when a server
 * comes or goes: each worker then swaps one at most).
 *
 * A worker with nobody in its part who fits uses all of them.
 */
#include "balance/mix.h"
#include "balance/part.h"

#include "base/check.h"

#include <stdlib.h>

struct own {
    struct lb_part    part;
    struct lb_policy *policy; /* over the part */
};

struct subset {
    struct lb_policy  policy;
    struct lb_policy *all;
    size_t            workers;
    struct own        own[];
};

static const struct lb_policy_ops subset_ops;

struct ranked {
    uint64_t rank;
    uint32_t index;
};

static int
by_rank(const void *a, const void *b)
{
    const struct ranked *one = a, *two = b;

    if (one->rank != two->rank)
        return one->rank < two->rank ? -1 : 1;
    return one->index < two->index ? -1 : 1;
}

/* The order, twice in a row, so that each stretch is one. */
static uint32_t *
order_new(const struct lb_set *set, uint64_t seed)
{
    struct ranked *ranked = calloc(set->n, sizeof(*ranked));
    uint32_t *order = calloc(set->n, 2 * sizeof(*order));

    if (!ranked || !order) {
        free(ranked);
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < set->n; i++)
        ranked[i] = (struct ranked){lb_mix(set->keys[i] ^ lb_mix(seed)), (uint32_t) i};
    qsort(ranked, set->n, sizeof(*ranked), by_rank);
    for (size_t i = 0; i < 2 * set->n; i++)
        order[i] = ranked[i % set->n].index;
    free(ranked);
    return order;
}

static void
destroy(struct lb_policy *p)
{
    struct subset *s = container_of(p, struct subset, policy);

    for (size_t i = 0; i < s->workers; i++) {
        lb_policy_free(s->own[i].policy);
        lb_part_free(&s->own[i].part);
    }
    lb_policy_free(s->all);
    free(s);
}

static bool
fill(struct subset *s, const struct lb_policy_ops *ops, const struct lb_options *options)
{
    const struct lb_set *set = s->policy.set;
    uint32_t *order = order_new(set, options->seed);
    bool ok = order != NULL;

    for (size_t i = 0; ok && i < s->workers; i++) {
        struct own *own = &s->own[i];
        size_t from = i * options->subset % set->n;

        ok = lb_part_init(&own->part, set, order + from, options->subset) &&
             (own->policy = lb_places_new(&own->part.set, ops, options)) != NULL;
    }
    free(order);
    return ok;
}

struct lb_policy *
lb_subset_new(const struct lb_set *set, const struct lb_policy_ops *ops,
              const struct lb_options *options)
{
    size_t workers = options->workers ? options->workers : 1;
    struct subset *s = calloc(1, sizeof(*s) + workers * sizeof(s->own[0]));

    CHECK(options->subset && options->subset < set->n);
    if (!s)
        return NULL;
    s->policy = (struct lb_policy){&subset_ops, set};
    s->workers = workers;
    s->all = lb_places_new(set, ops, options);
    if (s->all && fill(s, ops, options))
        return &s->policy;
    destroy(&s->policy);
    return NULL;
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct subset *s = container_of(p, struct subset, policy);
    const struct own *own = &s->own[ask->worker % s->workers];
    size_t at = own->policy->ops->pick(own->policy, ask);

    return at == LB_NONE ? s->all->ops->pick(s->all, ask) : own->part.at[at];
}

static const struct lb_policy_ops subset_ops = {
    .name = "subset",
    .summary = "A part of the servers for each worker.",
    .destroy = destroy,
    .pick = pick,
};
