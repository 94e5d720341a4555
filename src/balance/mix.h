/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance/mix.h - fresh bits out of the few that a question brings.  Private to the room.
 *
 * A pick gets one random number and one key, and may need several independent decisions of each.
 */
#ifndef BALANCE_MIX_H
#define BALANCE_MIX_H

#include <stddef.h>
#include <stdint.h>

/* 2^64 divided by the golden ratio: its multiples fill the circle as evenly as any can. */
#define LB_GOLDEN 0x9E3779B97F4A7C15u

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit depends on every bit. */
static inline uint64_t
lb_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* 0..n-1 out of 64 random bits, without the division (Lemire 2019); 0 when n is 0. */
static inline uint64_t
lb_below(uint64_t random, uint64_t n)
{
    return (uint64_t) (((unsigned __int128) random * n) >> 64);
}

#endif
