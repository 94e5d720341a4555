/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/uniques.h - how many different ones there were, in 16 KiB.
 *
 * HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007) with 2^14 registers: the standard error is
 * 1.04 / sqrt(2^14), 0.8 %.  The count is computed as Ertl does ("New cardinality estimation
 * algorithms for HyperLogLog sketches", 2017, algorithm 6), which needs no tables of corrections
 * and is right from 0 to 2^64.  Two are merged by the larger of each register.
 */
#ifndef ANALYTICS_UNIQUES_H
#define ANALYTICS_UNIQUES_H

#include <stdint.h>

enum {
    UNIQUES_BITS = 14,
    UNIQUES_REGISTERS = 1 << UNIQUES_BITS,
    UNIQUES_RANK_MAX = 64 - UNIQUES_BITS + 1, /* the largest value of a register */
};

struct uniques {
    uint8_t registers[UNIQUES_REGISTERS];
};

/* hash: 64 good bits. */
static inline void
uniques_add(struct uniques *u, uint64_t hash)
{
    uint64_t rest = hash << UNIQUES_BITS | 1u << (UNIQUES_BITS - 1);
    uint8_t rank = (uint8_t) (__builtin_clzll(rest) + 1);
    uint8_t *reg = &u->registers[hash >> (64 - UNIQUES_BITS)];

    if (rank > *reg)
        *reg = rank;
}

void uniques_merge(struct uniques *into, const struct uniques *u);
uint64_t uniques_count(const struct uniques *u);

#endif
