/* SPDX-License-Identifier: Apache-2.0 */
/* balance/part.h - some of a set, as a set of its own; and who wraps what.  Private to the room. */
#ifndef BALANCE_PART_H
#define BALANCE_PART_H

#include "balance/policy.h"

struct lb_part {
    struct lb_set set;
    uint32_t     *at;    /* each one's index in the set that it was cut from */
    void         *block; /* everything that the set points to */
};

/* Those at the `n` indices of `from`, which outlives the part.  False when out of memory. */
bool lb_part_init(struct lb_part *part, const struct lb_set *from, const uint32_t *at, size_t n);
/* A zeroed part is fine. */
void lb_part_free(struct lb_part *part);

/* `ops` over the set, tier by tier and region by region; just `ops` when all places are the same.
 * NULL when out of memory. */
struct lb_policy *lb_places_new(const struct lb_set *set, const struct lb_policy_ops *ops,
                                const struct lb_options *options);
/* lb_places_new() over each worker's own part.  NULL when out of memory. */
struct lb_policy *lb_subset_new(const struct lb_set *set, const struct lb_policy_ops *ops,
                                const struct lb_options *options);

#endif
