/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/peak_ewma.c - draw two, keep the one where work would wait less.
 *
 * The estimate is the peak of what answers took, times the work in hand, as in Finagle and linkerd:
 * a server that becomes slow is avoided from its first slow answer on, because the peak rises at
 * once, and is tried again after some time, because it fades.
 */
#include "balance/draw.h"
#include "balance/load.h"

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    (void) options;
    return lb_drawn_new(set, &lb_peak_ewma);
}

static double
load_of(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    const struct lb_target *t = set->targets[i];

    return lb_time_load(set, ask, i, atomic_load_explicit(&t->peak_us, memory_order_relaxed));
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct lb_draw *draw = lb_draw_of(p);
    size_t one = lb_draw_fit(draw, p->set, ask), two;

    if (one == LB_NONE)
        return LB_NONE;
    two = lb_draw_rival(draw, p->set, ask, one);
    return two != LB_NONE && load_of(p->set, ask, two) < load_of(p->set, ask, one) ? two : one;
}

const struct lb_policy_ops lb_peak_ewma = {
    .name = "peak_ewma",
    .summary = "Of two servers drawn by weight, the one with less work by what its answers took.",
    .create = create,
    .destroy = lb_drawn_free,
    .pick = pick,
};
