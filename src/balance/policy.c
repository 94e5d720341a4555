/* SPDX-License-Identifier: Apache-2.0 */
/* balance/policy.c - the list of policies, and what they share. */
#include "balance/policy.h"

const struct lb_policy_ops *const lb_policies[] = {
    &lb_round_robin,
    &lb_least_connections,
    &lb_random,
    NULL,
};

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
