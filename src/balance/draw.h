/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/draw.h - draws from a set in proportion to weights, in constant time.  Private to the
 * room.
 *
 * The alias method (Walker 1977, built as Vose 1991 does): n slots of equal width, each shared by
 * at most two targets.  The upper part of a random number chooses the slot, the rest the one of
 * the two.  Most groups weigh the same everywhere and need no table at all.
 */
#ifndef BALANCE_DRAW_H
#define BALANCE_DRAW_H

#include "balance/mix.h"
#include "balance/policy.h"

#include "base/check.h"

struct lb_draw_slot {
    uint32_t keep;  /* below it: the slot's own target, in 2^-32 of the slot */
    uint32_t other; /* from there on */
};

struct lb_draw {
    size_t               n;
    struct lb_draw_slot *slots; /* NULL: all weigh the same */
};

/* False when out of memory. */
bool lb_draw_init(struct lb_draw *d, const struct lb_set *set);
void lb_draw_free(struct lb_draw *d);

/* Whoever it hits, in or out of service.  n must not be 0. */
static inline size_t
lb_draw_at(const struct lb_draw *d, uint64_t random)
{
    unsigned __int128 product = (unsigned __int128) random * d->n;
    size_t at = (size_t) (product >> 64);

    if (!d->slots || (uint32_t) ((uint64_t) product >> 32) < d->slots[at].keep)
        return at;
    return d->slots[at].other;
}

/* A policy that needs nothing else than to draw. */
struct lb_drawn {
    struct lb_policy policy;
    struct lb_draw   draw;
};

/* NULL when out of memory. */
struct lb_policy *lb_drawn_new(const struct lb_set *set, const struct lb_policy_ops *ops);
void lb_drawn_free(struct lb_policy *p);

static inline const struct lb_draw *
lb_draw_of(const struct lb_policy *p)
{
    return &container_of(p, const struct lb_drawn, policy)->draw;
}

/* One that fits, in proportion to the weights of all that fit; LB_NONE. */
size_t lb_draw_fit(const struct lb_draw *d, const struct lb_set *set, const struct lb_ask *ask);
/* Another one that fits, to be compared with `one`; LB_NONE when none is found soon. */
size_t lb_draw_rival(const struct lb_draw *d, const struct lb_set *set, const struct lb_ask *ask,
                     size_t one);

#endif
