/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/health_state.h - what a row of answers makes of a server: up or down.  Private to the
 * room.
 *
 * No clock and no I/O in here, so that tests replay everything.
 *
 * The first answer decides at once: nobody should wait for `fall` failures to learn that a server
 * was dead from the start.  After that a server goes down after `fall` failures in a row and comes
 * back after `rise` passes in a row.
 *
 * Flapping: when more than five changes lie within the last 5 * (rise + fall) answers, half of all
 * that could, the passes that are needed to come back double, up to eight times `rise`; after as
 * many answers without a change they halve again.
 */
#ifndef UPSTREAM_HEALTH_STATE_H
#define UPSTREAM_HEALTH_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum { HEALTH_FLAPS = 6, HEALTH_PATIENCE_MAX = 8 };

/* A zeroed state is a new one: up, as far as anybody knows. */
struct health_state {
    bool     down;
    bool     proved;   /* it has passed once */
    uint8_t  doublings; /* of the passes that are needed */
    uint32_t row;      /* answers in a row that speak against what it is */
    uint32_t answers;  /* so far */
    uint32_t quiet_since; /* at which answer it last changed, or its patience did */
    uint32_t changes;  /* so far */
    uint32_t changed_at[HEALTH_FLAPS]; /* the last ones, a ring */
};

enum health_change { HEALTH_SAME, HEALTH_WENT_UP, HEALTH_WENT_DOWN };

/* One more answer.  rise, fall: from 1. */
enum health_change health_note(struct health_state *s, unsigned rise, unsigned fall, bool passed);
/* How many passes in a row a server that is down needs. */
unsigned health_passes_needed(const struct health_state *s, unsigned rise);

/*
 * When the number-th of all checks is first due, from now, less than every_us.  Multiples of the
 * golden ratio, modulo 1: they lie evenly however many there will be, so that nobody has to be
 * counted before the first begins (Knuth, TAOCP 6.4, Fibonacci hashing).
 */
uint64_t health_phase_us(uint32_t number, uint64_t every_us);

#endif
