/* SPDX-License-Identifier: Apache-2.0 */
/* balance/policy.c - the list of policies, how they are wrapped, and what they share. */
#include "balance/policy.h"

#include "balance/part.h"

const struct lb_policy_ops *const lb_policies[] = {
    &lb_round_robin, &lb_least_connections, &lb_random, &lb_two_choices,
    &lb_peak_ewma,   &lb_least_time,        &lb_hash,   NULL,
};

struct lb_policy *
lb_policy_new(const struct lb_set *set, const struct lb_policy_ops *ops,
              const struct lb_options *options)
{
    if (options->subset && options->subset < set->n)
        return lb_subset_new(set, ops, options);
    return lb_places_new(set, ops, options);
}

void
lb_policy_free(struct lb_policy *p)
{
    if (p)
        p->ops->destroy(p);
}

size_t
lb_pick(struct lb_policy *p, const struct lb_ask *ask)
{
    struct lb_ask again;
    size_t at = p->ops->pick(p, ask);

    if (at != LB_NONE || ask->any_share)
        return at;
    again = *ask;
    again.any_share = true;
    return p->ops->pick(p, &again);
}

size_t
lb_first_fit(const struct lb_set *set, const struct lb_ask *ask, size_t start)
{
    for (size_t i = 0; i < set->n; i++) {
        size_t at = (start + i) % set->n;

        if (lb_fits(set, ask, at))
            return at;
    }
    return LB_NONE;
}
