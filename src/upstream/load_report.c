/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/load_report.c - what a server says of its load: `endpoint-load-metrics`, the Open
 * Request Cost Aggregation's field, as text or as JSON.
 *
 *     endpoint-load-metrics: TEXT application_utilization=0.7, cpu_utilization=0.5
 *     endpoint-load-metrics: JSON {"cpu_utilization": 0.5}
 *
 * A server's share of its weight is what is free of it.
 */
#include "upstream/relay.h"

#include <stdlib.h>

enum { VALUE_MAX = 1024 };

/* Where a name stands by itself, not as the end of another one; NULL when nowhere. */
static const char *
find_name(const char *text, const char *name)
{
    for (const char *at = text; (at = strstr(at, name)); at++)
        if (at > text && strchr(" \",{\t", at[-1]))
            return at + strlen(name);
    return NULL;
}

/* The number behind a name, with whatever stands between them; false when there is none. */
static bool
number_of(const char *text, const char *name, double *value)
{
    const char *at = find_name(text, name);
    char *end;

    if (!at)
        return false;
    at += strspn(at, "\" :=\t");
    *value = strtod(at, &end);
    return end != at && *value >= 0 && *value < 1000;
}

bool
load_report_share(struct slice value, uint16_t *share)
{
    char text[VALUE_MAX + 1];
    double used, free_share;

    if (value.n > VALUE_MAX ||
        (!slice_starts(value, SLICE("TEXT")) && !slice_starts(value, SLICE("JSON"))))
        return false;
    memcpy(text, value.at, value.n);
    text[value.n] = '\0';
    if (!number_of(text, "application_utilization", &used) &&
        !number_of(text, "cpu_utilization", &used))
        return false;
    free_share = used > 0.98 ? 0.02 : 1 - used;
    *share = (uint16_t) (free_share * LB_SHARE_FULL);
    return true;
}
