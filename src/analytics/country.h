/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/country.h - the country of an address, by a MaxMind database (GeoLite2-Country and the
 * like).
 *
 * A look-up takes a microsecond, and clients come again: some thousand answers are remembered.
 *
 * Threads  one at a time.
 */
#ifndef ANALYTICS_COUNTRY_H
#define ANALYTICS_COUNTRY_H

#include "base/slice.h"

struct countries;

/* The file is mapped into memory: whoever replaces it must rename another one over it.  NULL: *why
 * says why, as a static text. */
struct countries *countries_open(const char *path, const char **why);
void countries_close(struct countries *c); /* NULL is allowed */
/* address: 4 or 16 bytes, else it has no country.  Two letters (ISO 3166) that stay until the next
 * call, or absent: the database does not know. */
struct slice countries_find(struct countries *c, struct slice address);

#endif
