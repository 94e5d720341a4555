/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/round_robin.c - one after the other, as often as their weights say, evenly interleaved.
 *
 * Smooth weighted round robin (nginx 1.3.1, 2012): each step every target gains its weight, the
 * richest is chosen and pays the total.  Its sequence repeats, so it is computed once here; a pick
 * is then one atomic addition, the same for all workers.
 *
 * Large groups with odd weights have sequences of millions of steps.  They walk round the circle
 * of weights in steps of the golden section instead, whose stops spread as evenly as those of any
 * sequence do (Knuth, TAOCP 6.4): exact for all weights, with no more than a table of draws.
 */
#include "balance/draw.h"

#include "base/check.h"

#include <stdlib.h>

enum {
    SEQUENCE_MAX = 8192,
    WORK_MAX = 1 << 24, /* to compute a sequence: some ten milliseconds */
    STEPS = 16,         /* over those out of service */
};

struct round_robin {
    struct lb_policy policy;
    struct lb_draw   draw;
    size_t           period; /* of the sequence; 0: none */
    _Atomic uint64_t next;
    uint32_t         sequence[];
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

/* Steps until the sequence repeats; *unit divides all weights. */
static uint64_t
period_of(const struct lb_set *set, uint32_t *unit)
{
    uint64_t total = 0;

    *unit = 0;
    for (size_t i = 0; i < set->n; i++) {
        *unit = (uint32_t) gcd(set->weights[i], *unit);
        total += set->weights[i];
    }
    return set->n ? total / *unit : 0;
}

static bool
fill(struct round_robin *r, const struct lb_set *set, uint32_t unit)
{
    int64_t *gained = calloc(set->n, sizeof(*gained));

    if (!gained)
        return false;
    for (size_t step = 0; step < r->period; step++) {
        size_t richest = 0;

        for (size_t i = 0; i < set->n; i++) {
            gained[i] += set->weights[i] / unit;
            if (gained[i] > gained[richest])
                richest = i;
        }
        gained[richest] -= (int64_t) r->period;
        r->sequence[step] = (uint32_t) richest;
    }
    free(gained);
    return true;
}

static void
destroy(struct lb_policy *p)
{
    struct round_robin *r = container_of(p, struct round_robin, policy);

    lb_draw_free(&r->draw);
    free(r);
}

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    uint32_t unit;
    uint64_t period = period_of(set, &unit);
    struct round_robin *r;

    (void) options;
    /* Equals are their own sequence. */
    if (period == set->n || period > SEQUENCE_MAX || period * set->n > WORK_MAX)
        period = 0;
    r = calloc(1, sizeof(*r) + period * sizeof(r->sequence[0]));
    if (!r)
        return NULL;
    r->policy = (struct lb_policy){&lb_round_robin, set};
    r->period = period;
    if (lb_draw_init(&r->draw, set) && (period == 0 || fill(r, set, unit)))
        return &r->policy;
    destroy(&r->policy);
    return NULL;
}

static size_t
step(struct round_robin *r)
{
    uint64_t at = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);

    if (r->period)
        return r->sequence[at % r->period];
    return r->draw.slots ? lb_draw_at(&r->draw, at * LB_GOLDEN) : at % r->draw.n;
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct round_robin *r = container_of(p, struct round_robin, policy);

    if (p->set->n == 0)
        return LB_NONE;
    /* Those out of service are skipped in the sequence, so that the rest keep their proportions; a
     * handful of steps, then whoever is left. */
    for (int i = 0; i < STEPS; i++) {
        size_t at = step(r);

        if (lb_fits(p->set, ask, at))
            return at;
    }
    return lb_draw_fit(&r->draw, p->set, ask);
}

const struct lb_policy_ops lb_round_robin = {
    .name = "round_robin",
    .summary = "One after the other, in proportion to their weights.",
    .create = create,
    .destroy = destroy,
    .pick = pick,
};
