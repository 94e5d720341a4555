/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_split.c - a route's requests in shares: `to: {app: 95, canary: 5}`.
 *
 * The branches divide the 64-bit numbers among themselves, in the order written, and a request goes
 * to the one its number falls to.  The number is drawn, or is a hash of what `split_by` says.  As
 * the order is kept, growing the last share moves only those into it that it grows by: who was with
 * the canary at 5 % still is at 10 %.
 *
 * Drawn and not dealt out in turn: two requests that always follow each other, a page and its
 * picture, would always meet the same two branches.
 */
#include "exchange/route_split.h"

#include "base/map.h"
#include "runtime/loop.h"

const struct route_branch *
route_split_at(const struct route_split *s, uint64_t number)
{
    const struct route_branch *b = s->branches;
    uint64_t point = (uint64_t) (((unsigned __int128) number * s->total) >> 64);

    while (point >= b->weight)
        point -= (b++)->weight;
    return b;
}

/* Mixed once more (the finaliser of splitmix64, Steele, Lea, Flood 2014): an upstream that chooses
 * its servers by a hash of the same value would otherwise find only those of one stretch. */
uint64_t
route_split_hash(struct slice value)
{
    uint64_t h = hash_stable(value);

    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
    return h ^ (h >> 31);
}

/* What the request is kept together by; empty when there is nothing of the kind. */
static struct slice
key_of(const struct route_split *s, struct exchange *x)
{
    return s->by ? expr_text(s->by, x) : SLICE("");
}

static void
split_handle(const struct middleware *self, struct exchange *x)
{
    const struct route_split *s = self->config;
    struct slice key = key_of(s, x);
    uint64_t number = key.n ? route_split_hash(key) : dice_next(&loop_self()->dice);
    const struct middleware *terminal = route_split_at(s, number)->terminal;

    terminal->ops->handle(terminal, x);
}

static void
put_shares(const struct route_split *s, struct text *out)
{
    for (size_t i = 0; i < s->n; i++)
        text_printf(out, "%s%.*s %.4g%%", i ? ", " : "", SLICE_ARG(s->branches[i].to),
                    100.0 * s->branches[i].weight / (double) s->total);
    if (s->by)
        text_printf(out, " by %.*s", SLICE_ARG(expr_source(s->by)));
    text_byte(out, '\n');
}

/* The one that it would be, or, when that is left to chance, each of them. */
static void
split_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct route_split *s = self->config;
    struct slice key = key_of(s, x);
    const struct route_branch *taken = key.n ? route_split_at(s, route_split_hash(key)) : NULL;

    text_literal(out, "split: ");
    put_shares(s, out);
    if (taken)
        text_printf(out, "  '%.*s' stays with %.*s\n", SLICE_ARG(key), SLICE_ARG(taken->to));
    for (size_t i = 0; i < s->n; i++) {
        const struct middleware *terminal = s->branches[i].terminal;

        if ((!taken || taken == &s->branches[i]) && terminal->ops->explain)
            terminal->ops->explain(terminal, x, out);
    }
}

const struct middleware_ops route_split = {
    .options = {.name = "split", .doc = "Ends a route whose `to` has several shares."},
    .handle = split_handle,
    .explain = split_explain,
};
