/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_analytics.c - who asks for what, over hours, days and months. */
#include "analytics/analytics.h"
#include "control/operations.h"

enum { ANSWER_MAX = 32 * 1024 * 1024 };

static void
answer(struct api_call *c, bool good, struct text *t, const char *why)
{
    if (good) {
        api_answer(c, 200, t);
        return;
    }
    text_free(t);
    api_problem(c, 400, "bad_query", "%s", why);
}

static bool
is_on(struct api_call *c)
{
    if (!analytics_is_on())
        api_problem(c, 409, "off", "nothing is recorded: say `analytics: on` in the configuration");
    return analytics_is_on();
}

static void
analytics_get(struct api_call *c)
{
    uint64_t from_s, to_s, top;
    char why[200] = "";
    struct text t;
    bool good;

    if (!is_on(c) || !api_number(c, "from", 0, INT64_MAX, &from_s) ||
        !api_number(c, "to", 0, INT64_MAX, &to_s) ||
        !api_number(c, "top", 0, ANALYTICS_TOP_MAX, &top))
        return;
    text_init(&t, ANSWER_MAX);
    good = analytics_ask((int64_t) from_s, (int64_t) to_s, api_query(c, "what"), top, &t, why);
    answer(c, good, &t, why);
}

static void
series_get(struct api_call *c)
{
    uint64_t from_s, to_s, step_s;
    char why[200] = "";
    struct text t;
    bool good;

    if (!is_on(c) || !api_number(c, "from", 0, INT64_MAX, &from_s) ||
        !api_number(c, "to", 0, INT64_MAX, &to_s) || !api_number(c, "step", 0, INT64_MAX, &step_s))
        return;
    text_init(&t, ANSWER_MAX);
    good = analytics_series((int64_t) from_s, (int64_t) to_s, (int64_t) step_s, &t, why);
    answer(c, good, &t, why);
}

#define STRETCH_QUERY                                                                             \
    {"from", "integer", "Seconds since 1970; an hour before `to` when absent."},                  \
        {"to", "integer", "Seconds since 1970; now when absent."}

const struct api_operation operations_analytics[] = {
    {METHOD_GET, "/v1/analytics", API_READ, analytics_get,
     .summary = "Totals, and the most frequent paths, clients, agents, referrers and so on.",
     .query = {STRETCH_QUERY,
               {"what", "string", "Only this list, such as `paths`."},
               {"top", "integer", "How many of each list."}},
     .answer = "Analytics"},
    {METHOD_GET, "/v1/analytics/series", API_READ, series_get,
     .summary = "Points in time, for charts.",
     .query = {STRETCH_QUERY, {"step", "integer", "Seconds between points, 60 at least."}},
     .answer = "Series"},
    {0},
};

const struct api_schema schemas_analytics[] = {
    {"Analytics", "{\"type\":\"object\",\"required\":[\"from\",\"to\",\"totals\"],\"properties\":{"
                  "\"totals\":{\"type\":\"object\",\"required\":[\"requests\",\"errors\","
                  "\"visitors\",\"took\"]}}}"},
    {"Series", "{\"type\":\"object\",\"required\":[\"from\",\"to\",\"step\",\"points\"],"
               "\"properties\":{\"points\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
               "\"required\":[\"at\",\"requests\",\"errors\"]}}}}"},
    {0},
};
