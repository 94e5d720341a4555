/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/clock.h - time and dice, injectable so that a test can replay any decision.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Microseconds of a clock that never jumps; its zero means nothing. */
uint64_t clock_monotonic_us(void);
/* Microseconds since 1970-01-01 UTC; may jump. */
uint64_t clock_wall_us(void);
/* Tests: from now on both clocks stand at this time; 0 gives the real ones back. */
void clock_freeze(uint64_t monotonic_us, uint64_t wall_us);

/* A small, fast generator (xoshiro256**, Blackman and Vigna 2018); not for secrets. */
struct dice {
    uint64_t s[4];
};

/* Any seed, 0 included. */
void dice_init(struct dice *d, uint64_t seed);
uint64_t dice_next(struct dice *d);
/* Bytes from the kernel, fit for secrets. */
void random_bytes(void *out, uint64_t n);
uint64_t random_u64(void);

#endif
