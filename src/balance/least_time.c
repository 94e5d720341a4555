/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/least_time.c - the one where work would wait least, of all.
 *
 * The estimate is the average of what answers took, times the work in hand.  It fades while a
 * server is not asked, so that one bad moment does not shut it out for ever.
 */
#include "balance/draw.h"
#include "balance/load.h"

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    (void) options;
    return lb_drawn_new(set, &lb_least_time);
}

static double
load_of(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    const struct lb_target *t = set->targets[i];

    return lb_time_load(set, ask, i, atomic_load_explicit(&t->average_us, memory_order_relaxed));
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct lb_draw *draw = lb_draw_of(p);
    /* Equals take turns, by weight: the scan starts at one that was drawn. */
    size_t best = lb_draw_fit(draw, p->set, ask), at = best;
    double least;

    if (best == LB_NONE)
        return LB_NONE;
    least = load_of(p->set, ask, best);
    for (size_t i = 1; i < p->set->n && least > 0; i++) {
        double load;

        at = at + 1 == p->set->n ? 0 : at + 1;
        load = load_of(p->set, ask, at);
        if (load < least && lb_fits(p->set, ask, at)) {
            best = at;
            least = load;
        }
    }
    return best;
}

const struct lb_policy_ops lb_least_time = {
    .name = "least_time",
    .summary = "The server with the least work in hand by what its answers take, for its weight.",
    .create = create,
    .destroy = lb_drawn_free,
    .pick = pick,
};
