/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/two_choices.c - draw two, keep the less busy one.
 *
 * Looking at all costs O(n) and sends all workers to the same one at once.  Two draws get most of
 * the benefit for O(1) (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
 * 2001).  Draws follow the weights, so that shares do even while everybody is idle.
 */
#include "balance/draw.h"
#include "balance/load.h"

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    (void) options;
    return lb_drawn_new(set, &lb_two_choices);
}

/* A connection to it waits for work. */
static bool
has_idle_connection(const struct lb_target *t)
{
    return atomic_load_explicit(&t->connections, memory_order_relaxed) >
           atomic_load_explicit(&t->inflight, memory_order_relaxed);
}

/* Load is work by weight; compared without dividing. */
static bool
less_busy(const struct lb_set *set, const struct lb_ask *ask, size_t a, size_t b)
{
    const struct lb_target *one = set->targets[a], *two = set->targets[b];
    uint64_t work_a = lb_work(atomic_load_explicit(&one->inflight, memory_order_relaxed));
    uint64_t work_b = lb_work(atomic_load_explicit(&two->inflight, memory_order_relaxed));

    work_a *= lb_weight_now(set, ask, b);
    work_b *= lb_weight_now(set, ask, a);
    if (work_a == work_b && ask->reuse)
        return has_idle_connection(one) && !has_idle_connection(two);
    return work_a < work_b;
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct lb_draw *draw = lb_draw_of(p);
    size_t one = lb_draw_fit(draw, p->set, ask), two;

    if (one == LB_NONE)
        return LB_NONE;
    two = lb_draw_rival(draw, p->set, ask, one);
    return two != LB_NONE && less_busy(p->set, ask, two, one) ? two : one;
}

const struct lb_policy_ops lb_two_choices = {
    .name = "two_choices",
    .summary = "The less busy of two servers drawn by weight.",
    .create = create,
    .destroy = lb_drawn_free,
    .pick = pick,
};
