/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/geo.c - the only file that knows libmaxminddb. */
#include "upstream/geo.h"

#include <errno.h>
#include <math.h>
#include <maxminddb.h>
#include <stdlib.h>

struct geo {
    MMDB_s db;
};

struct geo *
geo_open(const char *path, const char **why)
{
    struct geo *g = calloc(1, sizeof(*g));
    int status;

    if (!g) {
        *why = strerror(ENOMEM);
        return NULL;
    }
    status = MMDB_open(path, MMDB_MODE_MMAP, &g->db);
    if (status == MMDB_SUCCESS)
        return g;
    *why = status == MMDB_FILE_OPEN_ERROR && errno ? strerror(errno) : MMDB_strerror(status);
    free(g);
    return NULL;
}

void
geo_close(struct geo *g)
{
    if (!g)
        return;
    MMDB_close(&g->db);
    free(g);
}

static bool
read_degrees(MMDB_entry_s *entry, const char *name, double *out)
{
    const char *const path[] = {"location", name, NULL};
    MMDB_entry_data_s data;

    if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data ||
        data.type != MMDB_DATA_TYPE_DOUBLE)
        return false;
    *out = data.double_value;
    return isfinite(*out);
}

bool
geo_find(const struct geo *g, const union address *address, struct geo_place *place)
{
    MMDB_lookup_result_s found;
    int status;

    if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
        return false;
    found = MMDB_lookup_sockaddr(&g->db, &address->any, &status);
    return status == MMDB_SUCCESS && found.found_entry &&
           read_degrees(&found.entry, "latitude", &place->latitude) &&
           read_degrees(&found.entry, "longitude", &place->longitude);
}

static double
radians(double degrees)
{
    return degrees * 0.017453292519943295;
}

/* The haversine of the angle between them. */
double
geo_distance(const struct geo_place *a, const struct geo_place *b)
{
    double north = sin(radians(a->latitude - b->latitude) / 2);
    double east = sin(radians(a->longitude - b->longitude) / 2);

    return north * north +
           east * east * cos(radians(a->latitude)) * cos(radians(b->latitude));
}
