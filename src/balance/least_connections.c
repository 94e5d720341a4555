/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/least_connections.c - the one with the least work in hand for its weight, of all.
 *
 * Exact, so each pick looks at all of them, which is made cheap: one load and one comparison rule
 * nearly everybody out, because the best so far soon is as good as the best there is; whether one
 * is in service is only asked of the others.  An idle one ends the search.
 */
#include "balance/draw.h"
#include "balance/load.h"

/* The best so far: `work` for `weight`, where the weight counts with its share. */
struct best {
    size_t   at;
    uint64_t work;
    uint64_t weight;
};

static struct lb_policy *
create(const struct lb_set *set, const struct lb_options *options)
{
    (void) options;
    return lb_drawn_new(set, &lb_least_connections);
}

static inline uint32_t
inflight_of(const struct lb_target *t)
{
    return atomic_load_explicit(&t->inflight, memory_order_relaxed);
}

static struct best
best_of(const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    return (struct best){i, lb_work(inflight_of(set->targets[i])), lb_weight_now(set, ask, i)};
}

/* Makes it the best so far when it is better. */
static void
consider(struct best *best, const struct lb_set *set, const struct lb_ask *ask, size_t i)
{
    struct best it = best_of(set, ask, i);

    if (it.work * best->weight < best->work * it.weight && lb_fits(set, ask, i))
        *best = it;
}

/*
 * Work for each unit of weight from which on nobody is better, even with all of its weight; in
 * 2^-16, rounded up, so that nobody is ruled out wrongly.  Times a weight it still has 64 bits.
 */
static uint64_t
bar_of(const struct best *best)
{
    uint64_t most = UINT64_C(1) << 47;
    uint64_t bar;

    if (best->weight == 0) /* its share has become 0 meanwhile */
        return most;
    bar = ((best->work * LB_SHARE_FULL << 16) + best->weight - 1) / best->weight;
    return bar < most ? bar : most;
}

/* The first from `from` on that may be better; `end`.  Weights differ. */
static size_t
next_lighter(const struct lb_set *set, size_t from, size_t end, uint64_t bar)
{
    for (; from < end; from++) {
        uint64_t inflight = inflight_of(set->targets[from]);

        if ((inflight + 1) << 16 < bar * set->weights[from] || inflight == 0)
            break;
    }
    return from;
}

/* The same when all weigh the same: how many in flight are too many is one number for all.  It is
 * never 0 as long as the best is not idle, so that idle ones need no care of their own. */
static size_t
next_below(const struct lb_set *set, size_t from, size_t end, uint64_t bar)
{
    uint64_t too_many = ((bar * set->weights[0] + 0xFFFF) >> 16) - 1;

    while (from < end && inflight_of(set->targets[from]) >= too_many)
        from++;
    return from;
}

static void
scan(struct best *best, const struct lb_set *set, const struct lb_ask *ask, bool even, size_t from,
     size_t end)
{
    for (size_t i = from; best->work; i++) {
        i = even ? next_below(set, i, end, bar_of(best)) : next_lighter(set, i, end, bar_of(best));
        if (i >= end)
            return;
        consider(best, set, ask, i);
    }
}

static size_t
pick(struct lb_policy *p, const struct lb_ask *ask)
{
    const struct lb_draw *draw = lb_draw_of(p);
    bool even = draw->slots == NULL;
    /* Equals take turns, by weight, and workers do not flock: the scan starts where a draw says. */
    size_t start = lb_draw_fit(draw, p->set, ask);
    struct best best;

    if (start == LB_NONE)
        return LB_NONE;
    best = best_of(p->set, ask, start);
    scan(&best, p->set, ask, even, start + 1, p->set->n);
    scan(&best, p->set, ask, even, 0, start);
    return best.at;
}

const struct lb_policy_ops lb_least_connections = {
    .name = "least_connections",
    .summary = "The server with the fewest exchanges in flight for its weight.",
    .create = create,
    .destroy = lb_drawn_free,
    .pick = pick,
};
