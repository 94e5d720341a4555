/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/locality.c - regions: what can be configured of them, and who is in which. */
#include "upstream/locality.h"

#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "upstream/geo.h"

#include <math.h>

enum { REGIONS_MAX = 64 };

/* ------------------------------------------------------------------ options */

/* "-6.26": up to six decimals; false: something else, or beyond max in either direction. */
static bool
read_degrees(struct slice s, double max, double *degrees)
{
    struct slice fraction = s, whole;
    uint64_t units, parts = 0;
    double sign = 1;

    if (slice_starts(fraction, SLICE("-"))) {
        sign = -1;
        fraction = slice_from(fraction, 1);
    }
    whole = slice_cut(&fraction, '.');
    if (!slice_to_u64(whole, 180, &units) || fraction.n > 6 ||
        (slice_is_present(fraction) && !slice_to_u64(fraction, 999999, &parts)))
        return false;
    *degrees = sign * ((double) units + (double) parts / pow(10, (double) fraction.n));
    return fabs(*degrees) <= max;
}

static bool
check_region(struct config_bind *b, void *object)
{
    struct region_config *r = object;
    struct slice longitude = r->at, latitude = slice_cut(&longitude, ',');

    if (!slice_is_present(r->at))
        return true;
    if (read_degrees(slice_trim(latitude), 90, &r->latitude) &&
        read_degrees(slice_trim(longitude), 180, &r->longitude))
        return true;
    return config_bind_error(b, &r->at, "latitude and longitude in degrees, such as \"53.3,-6.3\"",
                             "`%.*s` is no place on Earth", SLICE_ARG(r->at));
}

static const struct option region_options[] = {
    {"name", &option_string, offsetof(struct region_config, name), .flags = OPTION_KEY,
     .doc = "The key in `regions`; servers name it in `region`."},
    {"at", &option_string, offsetof(struct region_config, at),
     .doc = "Where it is: latitude and longitude in degrees, such as `\"53.3,-6.3\"`."},
    {"near", &option_string, offsetof(struct region_config, near), .flags = OPTION_LIST,
     .doc = "The regions that take its work when it cannot, the first one first; the others "
            "follow by distance."},
    {NULL},
};

static const struct option_object region_object = {
    .name = "region",
    .doc = "A place where servers are.",
    .size = sizeof(struct region_config),
    .options = region_options,
    .check = check_region,
};

static const struct option locality_options[] = {
    {"from", &option_value, offsetof(struct locality_config, from),
     .doc = "An expression that names the client's region, such as `header('x-region')`."},
    {"database", &option_string, offsetof(struct locality_config, database),
     .doc = "A MaxMind database with locations, such as `GeoLite2-City.mmdb`: a client belongs to "
            "the nearest region, unless `from` names one.  The worker's own user must be able to "
            "read it; a new one is renamed over the old one and taken with the next reload."},
    {"regions", &option_objects, offsetof(struct locality_config, regions),
     .object = &region_object, .flags = OPTION_MAP | OPTION_REQUIRED,
     .doc = "The regions, by name."},
    {"spill", &option_percent, offsetof(struct locality_config, spill), .preset = "70%",
     .doc = "Below this share of usable servers in a region part of its work goes on to the next "
            "one; 0% waits until none is left."},
    {NULL},
};

static struct region_config *
region_at(const struct locality_config *config, size_t i)
{
    return (struct region_config *) config->regions.at + i;
}

static bool
check_near(struct config_bind *b, const struct locality_config *config,
           const struct region_config *r)
{
    const struct slice *names = r->near.at;
    struct slice known[REGIONS_MAX];

    for (size_t i = 0; i < config->regions.n; i++)
        known[i] = region_at(config, i)->name;
    for (size_t i = 0; i < r->near.n; i++)
        if (locality_find(config, names[i]) == LB_NO_REGION)
            return config_bind_error(
                b, &r->near,
                config_suggest(config_bind_arena(b), names[i], known, config->regions.n),
                "there is no region `%.*s`", SLICE_ARG(names[i]));
    return true;
}

static bool
check_regions(struct config_bind *b, const struct locality_config *config)
{
    bool ok = true;

    if (config->regions.n == 0 || config->regions.n > REGIONS_MAX)
        return config_bind_error(b, &config->regions, NULL, "there must be 1 to %d regions",
                                 REGIONS_MAX);
    for (size_t i = 0; i < config->regions.n; i++) {
        const struct region_config *r = region_at(config, i);

        ok = check_near(b, config, r) && ok;
        if (slice_is_present(config->database) && !slice_is_present(r->at))
            ok = config_bind_error(b, r, "add `at: \"latitude,longitude\"`",
                                   "with a database, region `%.*s` needs a place",
                                   SLICE_ARG(r->name));
    }
    return ok;
}

static void
close_database(void *database)
{
    geo_close(database);
}

static bool
open_database(struct config_bind *b, struct locality_config *config)
{
    struct slice path = config_bind_path(b, &config->database, config->database);
    const char *why = "out of memory";

    config->geo = slice_is_present(path) ? geo_open(path.at, &why) : NULL;
    if (!config->geo)
        return config_bind_error(b, &config->database, NULL, "cannot open `%.*s`: %s",
                                 SLICE_ARG(config->database), why);
    return config_bind_cleanup(b, close_database, config->geo);
}

static bool
check_locality(struct config_bind *b, void *object)
{
    struct locality_config *l = object;

    if (!l->from && !slice_is_present(l->database))
        return config_bind_error(b, l, "such as `from: header('x-region')`",
                                 "`from` or `database` must tell where clients are");
    return check_regions(b, l) && (!slice_is_present(l->database) || open_database(b, l));
}

const struct option_object locality_object = {
    .name = "locality",
    .doc = "Clients go to servers of their own region, or of the nearest one that can take them.",
    .size = sizeof(struct locality_config),
    .options = locality_options,
    .check = check_locality,
};

/* ------------------------------------------------------------------ who is where */

uint16_t
locality_find(const struct locality_config *config, struct slice name)
{
    for (size_t i = 0; i < config->regions.n; i++)
        if (slice_eq_nocase(region_at(config, i)->name, name))
            return (uint16_t) i;
    return LB_NO_REGION;
}

static struct geo_place
place_of(const struct region_config *r)
{
    return (struct geo_place){r->latitude, r->longitude};
}

static uint16_t
nearest(const struct locality_config *config, const struct geo_place *place)
{
    uint16_t best = LB_NO_REGION;
    double least = INFINITY;

    for (size_t i = 0; i < config->regions.n; i++) {
        struct geo_place other = place_of(region_at(config, i));
        double distance = geo_distance(place, &other);

        if (distance < least) {
            least = distance;
            best = (uint16_t) i;
        }
    }
    return best;
}

uint16_t
locality_region(const struct locality_config *config, struct exchange *x)
{
    uint16_t named = LB_NO_REGION;
    struct geo_place place;

    if (config->from)
        named = locality_find(config, expr_text(config->from, x));
    if (named != LB_NO_REGION || !config->geo ||
        !geo_find(config->geo, &x->client_address, &place))
        return named;
    return nearest(config, &place);
}

/* ------------------------------------------------------------------ who is near */

/* How far from region i the others are: their place in its `near` list, then by distance (which is
 * up to 1), then the rest. */
static double
farness(const struct locality_config *config, size_t i, size_t other)
{
    const struct region_config *r = region_at(config, i), *o = region_at(config, other);
    struct geo_place a = place_of(r), b = place_of(o);

    if (i == other)
        return -INFINITY;
    for (size_t k = 0; k < r->near.n; k++)
        if (slice_eq_nocase(((const struct slice *) r->near.at)[k], o->name))
            return (double) k - (double) r->near.n;
    return slice_is_present(r->at) && slice_is_present(o->at) ? geo_distance(&a, &b) : INFINITY;
}

/* By insertion, so that equals stay as they are configured. */
static void
sort_near(const struct locality_config *config, size_t i, uint16_t *near)
{
    for (size_t n = 0; n < config->regions.n; n++) {
        size_t k = n;

        for (; k && farness(config, i, near[k - 1]) > farness(config, i, n); k--)
            near[k] = near[k - 1];
        near[k] = (uint16_t) n;
    }
}

void
locality_near(const struct locality_config *config, uint16_t *near)
{
    for (size_t i = 0; i < config->regions.n; i++)
        sort_near(config, i, near + i * config->regions.n);
}
