/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/random.c - any of them, in proportion to their weights.
 *
 * Sums of the weights and a binary search; one that is out of service gives its share to its
 * neighbour.
 */
#include "balance/policy.h"

#include "base/check.h"

#include <stdlib.h>

struct any {
    struct lb_policy policy;
    uint64_t         sums[]; /* of the weights up to and with this one */
};

static struct lb_policy *
create(const struct lb_set *set)
{
    struct any *a = calloc(1, sizeof(*a) + set->n * sizeof(a->sums[0]));
    uint64_t sum = 0;

    if (!a)
        return NULL;
    a->policy = (struct lb_policy){&lb_random, set};
    for (size_t i = 0; i < set->n; i++)
        a->sums[i] = sum += set->weights[i];
    return &a->policy;
}

static void
destroy(struct lb_policy *p)
{
    free(container_of(p, struct any, policy));
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct any *a = container_of(p, struct any, policy);
    size_t low = 0, high = p->set->n;
    uint64_t at;

    if (high == 0)
        return LB_NONE;
    at = ask->entropy % a->sums[high - 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (a->sums[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return lb_first_fit(p->set, ask, low);
}

const struct lb_policy_ops lb_random = {
    .name = "random",
    .summary = "Any server, in proportion to their weights.",
    .create = create,
    .destroy = destroy,
    .pick = pick,
};
