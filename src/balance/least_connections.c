/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/least_connections.c - the one with the least work in hand for its weight.
 *
 * The scan starts at a random place, so that equals take turns and workers do not flock.
 */
#include "balance/policy.h"

#include "base/check.h"

#include <stdlib.h>

static struct lb_policy *
create(const struct lb_set *set)
{
    struct lb_policy *p = calloc(1, sizeof(*p));

    if (p)
        *p = (struct lb_policy){&lb_least_connections, set};
    return p;
}

static void
destroy(struct lb_policy *p)
{
    free(p);
}

/* a's load is less than b's: (inflight + 1) / weight, compared without dividing. */
static bool
less_busy(const struct lb_set *set, size_t a, size_t b)
{
    uint64_t load_a = atomic_load_explicit(&set->targets[a]->inflight, memory_order_relaxed) + 1ull;
    uint64_t load_b = atomic_load_explicit(&set->targets[b]->inflight, memory_order_relaxed) + 1ull;

    return load_a * set->weights[b] < load_b * set->weights[a];
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct lb_set *set = p->set;
    size_t best = LB_NONE, at;

    if (set->n == 0)
        return LB_NONE;
    at = ask->entropy % set->n;
    for (size_t i = 0; i < set->n; i++) {
        if (lb_fits(set, ask, at) && (best == LB_NONE || less_busy(set, at, best)))
            best = at;
        if (++at == set->n)
            at = 0;
    }
    return best;
}

const struct lb_policy_ops lb_least_connections = {
    .name = "least_connections",
    .summary = "The server with the fewest exchanges in flight for its weight.",
    .create = create,
    .destroy = destroy,
    .pick = pick,
};
