/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/schedule.h - when: to renew, to try again.  No clock and no dice here: both come in.
 * Private to the room.
 */
#ifndef ACME_SCHEDULE_H
#define ACME_SCHEDULE_H

#include "base/slice.h"

/* Where a certificate authority says nothing: at that part of its life (millionths), or up to a
 * thirtieth of its life earlier, so that certificates that were got together are not renewed
 * together. */
int64_t acme_renewal_s(int64_t from_s, int64_t to_s, uint64_t part, uint64_t entropy);
/* Anywhere in the window, all seconds alike (RFC 9773 4.2). */
int64_t acme_window_s(int64_t from_s, int64_t to_s, uint64_t entropy);
/* How long after so many failures in a row: `first_us`, doubled with each, up to six hours; less up
 * to a quarter. */
uint64_t acme_backoff_us(uint64_t first_us, unsigned failures, uint64_t entropy);
/* "2025-01-03T00:00:00Z", with fraction and offset as RFC 3339 allows; false: it is none. */
bool acme_time_read(struct slice text, int64_t *at_s);

#endif
