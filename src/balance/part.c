/* SPDX-License-Identifier: Apache-2.0 */
/* balance/part.c - cutting a part out of a set. */
#include "balance/part.h"

#include "base/check.h"

#include <stdlib.h>

/* All arrays of a part in one block: those of pointers and 64 bits first. */
struct row {
    struct lb_target *target;
    uint64_t          key;
    uint32_t          weight;
    uint32_t          at;
    uint32_t          whole;
    struct lb_place   place;
};

bool
lb_part_init(struct lb_part *part, const struct lb_set *from, const uint32_t *at, size_t n)
{
    struct lb_target **targets = calloc(n ? n : 1, sizeof(struct row));
    uint64_t *keys = (uint64_t *) (targets + n);
    uint32_t *weights = (uint32_t *) (keys + n), *own = weights + n, *whole = own + n;
    struct lb_place *places = (struct lb_place *) (void *) (whole + n);

    if (!targets)
        return false;
    for (size_t i = 0; i < n; i++) {
        CHECK(at[i] < from->n);
        targets[i] = from->targets[at[i]];
        keys[i] = from->keys[at[i]];
        weights[i] = from->weights[at[i]];
        own[i] = at[i];
        whole[i] = from->whole ? from->whole[at[i]] : at[i];
        if (from->places)
            places[i] = from->places[at[i]];
    }
    *part = (struct lb_part){*from, own, targets};
    part->set.n = n;
    part->set.targets = targets;
    part->set.weights = weights;
    part->set.keys = keys;
    part->set.places = from->places ? places : NULL;
    part->set.whole = whole;
    return true;
}

void
lb_part_free(struct lb_part *part)
{
    free(part->block);
    *part = (struct lb_part){0};
}
