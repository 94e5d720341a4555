/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/options.c - `analytics:` in the configuration. */
#include "analytics/country.h"
#include "analytics/keeper.h"

#define DAY_US (INT64_C(86400) * 1000000)
#define MIB    (INT64_C(1024) * 1024)

static const char *const anonymize_choices[] = {"off", "on", NULL};

static const struct option analytics_options[] = {
    {"enabled", &option_bool, offsetof(struct analytics_config, enabled), .preset = "on",
     .doc = "Whether exchanges are counted."},
    {"memory", &option_bytes, offsetof(struct analytics_config, memory), .preset = "32MiB",
     .min = 8 * MIB, .max = 1024 * MIB,
     .doc = "All that analytics may take; more makes long lists more exact."},
    {"top", &option_int, offsetof(struct analytics_config, top), .preset = "100", .min = 10,
     .max = ANALYTICS_TOP_MAX, .doc = "How many entries of each list can be told."},
    {"keep", &option_duration, offsetof(struct analytics_config, keep_us), .preset = "35d",
     .min = 7 * DAY_US, .max = 3660 * DAY_US,
     .doc = "How long days are kept. Hours with their lists are kept for two days, minutes for "
            "two hours and a half."},
    {"anonymize", &option_choice, offsetof(struct analytics_config, anonymize), .preset = "off",
     .choices = anonymize_choices,
     .doc = "`on`: of clients' addresses the last octet (IPv4) or the last 80 bits (IPv6) are "
            "not kept."},
    {"database", &option_string, offsetof(struct analytics_config, database),
     .doc = "A MaxMind database with countries, such as `GeoLite2-Country.mmdb`; without, there "
            "are none. The worker's own user must be able to read it; a new one is renamed over "
            "the old one and taken with the next reload."},
    {NULL},
};

/* It is opened to be sure that it can be; the keeper has a handle of its own. */
static bool
check_database(struct config_bind *b, struct analytics_config *config)
{
    const char *why = "out of memory";
    struct countries *c;

    config->database = config_bind_path(b, &config->database, config->database);
    c = slice_is_present(config->database) ? countries_open(config->database.at, &why) : NULL;
    countries_close(c);
    return c || config_bind_error(b, &config->database, NULL, "cannot open the database: %s", why);
}

static bool
check_analytics(struct config_bind *b, void *object)
{
    struct analytics_config *config = object;
    struct shares shares;

    if (!keeper_share(config->memory, config->top, 1, &shares))
        return config_bind_error(b, &config->memory, "give it more, or a shorter `top`",
                                 "so little memory is not enough for lists of %lld",
                                 (long long) config->top);
    return !slice_is_present(config->database) || check_database(b, config);
}

const struct option_object analytics_object = {
    .name = "analytics",
    .doc = "Counts who asks for what, in memory that does not grow.",
    .size = sizeof(struct analytics_config),
    .options = analytics_options,
    .shorthand = "enabled",
    .check = check_analytics,
};
