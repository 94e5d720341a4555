/* SPDX-License-Identifier: Apache-2.0 */
/* balance/draw.c - building the table, and drawing until somebody fits. */
#include "balance/draw.h"

#include <stdlib.h>

/* Draws before all are looked at one by one: as long as half of them fit, that never happens. */
enum { DRAWS = 16, RIVAL_DRAWS = 8 };

/* Targets that still need more width than their slot has, or less. */
struct stacks {
    uint64_t *width; /* weight * n; a slot is as wide as the sum of weights */
    uint32_t *small;
    uint32_t *large;
    size_t    n_small;
    size_t    n_large;
};

static bool
all_equal(const struct lb_set *set)
{
    for (size_t i = 1; i < set->n; i++)
        if (set->weights[i] != set->weights[0])
            return false;
    return true;
}

static void
sort_out(struct stacks *s, size_t i, uint64_t total)
{
    if (s->width[i] < total)
        s->small[s->n_small++] = (uint32_t) i;
    else
        s->large[s->n_large++] = (uint32_t) i;
}

/* Each small one fills its slot up with a piece of a large one, which may become small by that. */
static void
fill(struct lb_draw_slot *slots, struct stacks *s, uint64_t total)
{
    while (s->n_small && s->n_large) {
        uint32_t small = s->small[--s->n_small], large = s->large[--s->n_large];

        slots[small].keep = (uint32_t) (((unsigned __int128) s->width[small] << 32) / total);
        slots[small].other = large;
        s->width[large] -= total - s->width[small];
        sort_out(s, large, total);
    }
}

static bool
build(struct lb_draw *d, const struct lb_set *set)
{
    struct stacks s = {.width = calloc(set->n, sizeof(*s.width)),
                       .small = calloc(set->n, sizeof(*s.small)),
                       .large = calloc(set->n, sizeof(*s.large))};
    uint64_t total = 0;
    bool ok = s.width && s.small && s.large;

    for (size_t i = 0; i < set->n; i++) {
        total += set->weights[i];
        d->slots[i] = (struct lb_draw_slot){UINT32_MAX, (uint32_t) i};
    }
    for (size_t i = 0; ok && i < set->n; i++) {
        s.width[i] = (uint64_t) set->weights[i] * set->n;
        sort_out(&s, i, total);
    }
    if (ok)
        fill(d->slots, &s, total);
    free(s.width);
    free(s.small);
    free(s.large);
    return ok;
}

bool
lb_draw_init(struct lb_draw *d, const struct lb_set *set)
{
    *d = (struct lb_draw){.n = set->n};
    if (all_equal(set))
        return true;
    d->slots = calloc(set->n, sizeof(*d->slots));
    if (d->slots && build(d, set))
        return true;
    lb_draw_free(d);
    return false;
}

void
lb_draw_free(struct lb_draw *d)
{
    free(d->slots);
    d->slots = NULL;
}

struct lb_policy *
lb_drawn_new(const struct lb_set *set, const struct lb_policy_ops *ops)
{
    struct lb_drawn *d = calloc(1, sizeof(*d));

    if (!d || !lb_draw_init(&d->draw, set)) {
        free(d);
        return NULL;
    }
    d->policy = (struct lb_policy){ops, set};
    return &d->policy;
}

void
lb_drawn_free(struct lb_policy *p)
{
    struct lb_drawn *d = container_of(p, struct lb_drawn, policy);

    lb_draw_free(&d->draw);
    free(d);
}

/* Looks at all: when most are out of service, this is exact where more draws would only be many. */
static size_t
draw_from_all(const struct lb_set *set, const struct lb_ask *ask)
{
    uint64_t total = 0, at;
    size_t last = LB_NONE;

    for (size_t i = 0; i < set->n; i++)
        total += lb_fits(set, ask, i) ? set->weights[i] : 0;
    at = lb_below(lb_mix(ask->entropy), total);
    for (size_t i = 0; total && i < set->n; i++) {
        if (!lb_fits(set, ask, i)) /* may have changed meanwhile: hence `last` */
            continue;
        last = i;
        if (at < set->weights[i])
            break;
        at -= set->weights[i];
    }
    return last;
}

size_t
lb_draw_fit(const struct lb_draw *d, const struct lb_set *set, const struct lb_ask *ask)
{
    struct lb_ask again;

    if (d->n == 0)
        return LB_NONE;
    again = *ask;
    for (int draw = 0; draw < DRAWS; draw++) {
        size_t at = lb_draw_at(d, again.entropy);

        if (lb_fits(set, &again, at))
            return at;
        /* A share decides about each draw anew, so that it counts like a smaller weight. */
        again.entropy = lb_mix(again.entropy + LB_GOLDEN);
    }
    return draw_from_all(set, ask);
}

size_t
lb_draw_rival(const struct lb_draw *d, const struct lb_set *set, const struct lb_ask *ask,
              size_t one)
{
    uint64_t random = lb_mix(~ask->entropy);

    for (int draw = 0; d->n > 1 && draw < RIVAL_DRAWS; draw++) {
        size_t at = d->slots ? lb_draw_at(d, random)
                             : (one + 1 + lb_below(random, d->n - 1)) % d->n;

        if (at != one && lb_fits(set, ask, at))
            return at;
        random = lb_mix(random + LB_GOLDEN);
    }
    return LB_NONE;
}
