/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/locality.h - where clients are, and which regions are near each other.  Private to the
 * room.
 *
 * A region is an index into `locality.regions`; a client's is told by an expression, or found as
 * the one nearest to what a MaxMind database says of its address.
 */
#ifndef UPSTREAM_LOCALITY_H
#define UPSTREAM_LOCALITY_H

#include "upstream/upstream.h"

extern const struct option_object locality_object;

/* Index of the region of this name, or LB_NO_REGION: for servers. */
uint16_t locality_find(const struct locality_config *config, struct slice name);
/* Index of the region of the exchange's client, or LB_NO_REGION.  Never waits. */
uint16_t locality_region(const struct locality_config *config, struct exchange *x);
/* Fills n * n entries, n = config->regions.n: for each region all of them, itself first: those that
 * its `near` lists in their order, then the others by distance, then those of which no distance is
 * known. */
void locality_near(const struct locality_config *config, uint16_t *near);

#endif
