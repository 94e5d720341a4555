/* SPDX-License-Identifier: Apache-2.0 */
/* balance/random.c - any of them, in proportion to their weights. */
#include "balance/draw.h"

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    (void) options;
    return lb_drawn_new(set, &lb_random);
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    return lb_draw_fit(lb_draw_of(p), p->set, ask);
}

const struct lb_policy_ops lb_random = {
    .name = "random",
    .summary = "Any server, in proportion to their weights.",
    .create = create,
    .destroy = lb_drawn_free,
    .pick = pick,
};
