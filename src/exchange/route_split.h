/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_split.h - the terminal of a route whose requests are split between several.
 * Private to the routes.
 */
#ifndef EXCHANGE_ROUTE_SPLIT_H
#define EXCHANGE_ROUTE_SPLIT_H

#include "exchange/route.h"

struct route_branch {
    const struct middleware *terminal;
    struct slice             to; /* as written */
    uint32_t                 weight;
};

/* The config of route_split. */
struct route_split {
    const struct route_branch *branches;
    size_t                     n;     /* 1..ROUTE_SHARES_MAX */
    uint64_t                   total; /* of the weights */
    const struct expr         *by;    /* NULL: each request by itself */
};

extern const struct middleware_ops route_split;

/* Each branch takes as much of the 64-bit numbers as its weight says. */
const struct route_branch *route_split_at(const struct route_split *s, uint64_t number);
/* The number of a value of `split_by`: always the same, in every process and version. */
uint64_t route_split_hash(struct slice value);

#endif
