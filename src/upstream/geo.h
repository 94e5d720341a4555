/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/geo.h - where an address is on Earth, by a MaxMind database (GeoLite2-City and the
 * like).  Private to the room.
 *
 * Lifetime  a database is opened when the configuration is loaded and belongs to it.
 * Threads   any number may look up at once.
 */
#ifndef UPSTREAM_GEO_H
#define UPSTREAM_GEO_H

#include "base/address.h"

struct geo;

struct geo_place {
    double latitude, longitude; /* degrees */
};

/* The file is mapped into memory: whoever replaces it must rename another one over it.  NULL: *why
 * says why, as a static text. */
struct geo *geo_open(const char *path, const char **why);
void geo_close(struct geo *g);
/* False: the database does not know. */
bool geo_find(const struct geo *g, const union address *address, struct geo_place *place);
/* Grows with the distance along the surface, 0 to 1. */
double geo_distance(const struct geo_place *a, const struct geo_place *b);

#endif
