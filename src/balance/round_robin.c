/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/round_robin.c - one after the other, as often as their weights say, evenly interleaved.
 *
 * Smooth weighted round robin (nginx 1.3.1, 2012): each step every target gains its weight, the
 * richest is chosen and pays the total.  Its sequence repeats, so it is computed once here; a pick
 * is then one atomic addition, the same for all workers.
 */
#include "balance/policy.h"

#include "base/check.h"

#include <stdlib.h>

enum { SEQUENCE_MAX = 65536 };

struct round_robin {
    struct lb_policy  policy;
    size_t            n;
    _Atomic uint64_t  next;
    uint32_t          sequence[];
};

static uint64_t
gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* What divides all weights; also scales them down when the sequence would be too long. */
static uint64_t
unit_of(const struct lb_set *set)
{
    uint64_t unit = 0, total = 0;

    for (size_t i = 0; i < set->n; i++) {
        unit = gcd(set->weights[i], unit);
        total += set->weights[i];
    }
    if (unit == 0)
        return 1;
    return total / unit <= SEQUENCE_MAX ? unit : (total + SEQUENCE_MAX - 1) / SEQUENCE_MAX;
}

static uint64_t
share(const struct lb_set *set, size_t i, uint64_t unit)
{
    uint64_t s = set->weights[i] / unit;

    return s ? s : 1;
}

static bool
fill(struct round_robin *r, const struct lb_set *set, uint64_t unit)
{
    int64_t *gained = calloc(set->n ? set->n : 1, sizeof(*gained));

    if (!gained)
        return false;
    for (size_t step = 0; step < r->n; step++) {
        size_t richest = 0;

        for (size_t i = 0; i < set->n; i++) {
            gained[i] += (int64_t) share(set, i, unit);
            if (gained[i] > gained[richest])
                richest = i;
        }
        gained[richest] -= (int64_t) r->n;
        r->sequence[step] = (uint32_t) richest;
    }
    free(gained);
    return true;
}

static struct lb_policy *
create(const struct lb_set *set)
{
    uint64_t unit = unit_of(set), total = 0;
    struct round_robin *r;

    for (size_t i = 0; i < set->n; i++)
        total += share(set, i, unit);
    r = calloc(1, sizeof(*r) + total * sizeof(r->sequence[0]));
    if (!r)
        return NULL;
    r->policy = (struct lb_policy){&lb_round_robin, set};
    r->n = total;
    if (!fill(r, set, unit)) {
        free(r);
        return NULL;
    }
    return &r->policy;
}

static void
destroy(struct lb_policy *p)
{
    free(container_of(p, struct round_robin, policy));
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct round_robin *r = container_of(p, struct round_robin, policy);
    uint64_t at;

    if (r->n == 0)
        return LB_NONE;
    /* Those out of service are skipped in the sequence, so that the rest keep their proportions; a
     * handful of steps, then whoever is left. */
    for (int step = 0; step < 16; step++) {
        at = r->sequence[atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed) % r->n];
        if (lb_fits(p->set, ask, at))
            return at;
    }
    return lb_first_fit(p->set, ask, ask->entropy % p->set->n);
}

const struct lb_policy_ops lb_round_robin = {
    .name = "round_robin",
    .summary = "One after the other, in proportion to their weights.",
    .create = create,
    .destroy = destroy,
    .pick = pick,
};
