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
    {"AnalyticsDurations",
     "{\"type\":\"object\",\"required\":[\"mean_us\",\"p50_us\",\"p90_us\",\"p99_us\","
     "\"p999_us\"],\"properties\":{\"mean_us\":{\"type\":\"integer\"},\"p50_us\":{\"type\":"
     "\"integer\"},\"p90_us\":{\"type\":\"integer\"},\"p99_us\":{\"type\":\"integer\"},"
     "\"p999_us\":{\"type\":\"integer\"}}}"},
    {"AnalyticsList",
     "{\"type\":\"object\",\"required\":[\"unseen\",\"items\"],\"properties\":{\"unseen\":{"
     "\"type\":\"integer\"},\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
     "\"required\":[\"name\",\"requests\",\"within\",\"errors\",\"bytes\",\"mean_us\"],"
     "\"properties\":{\"name\":{\"type\":\"string\"},\"requests\":{\"type\":\"integer\"},"
     "\"within\":{\"type\":\"integer\"},\"errors\":{\"type\":\"integer\"},\"bytes\":{\"type\":"
     "\"integer\"},\"mean_us\":{\"type\":\"integer\"}}}}}}"},
    {"Analytics",
     "{\"type\":\"object\",\"required\":[\"from\",\"to\",\"totals\"],\"properties\":{\"from\":{"
     "\"type\":\"integer\"},\"to\":{\"type\":\"integer\"},\"totals\":{\"type\":\"object\","
     "\"required\":[\"multiplexing\",\"visitors\",\"requests\",\"errors\",\"client_errors\","
     "\"threats\",\"secure\",\"bytes_in\",\"bytes_out\",\"hits\",\"saved_us\","
     "\"client_connections\",\"server_requests\",\"server_connections\",\"missed\",\"took\","
     "\"origin\"],\"properties\":{\"multiplexing\":{\"type\":[\"number\",\"null\"]},"
     "\"visitors\":{\"type\":\"integer\"},\"requests\":{\"type\":\"integer\"},\"errors\":{"
     "\"type\":\"integer\"},\"client_errors\":{\"type\":\"integer\"},\"threats\":{\"type\":"
     "\"integer\"},\"secure\":{\"type\":\"integer\"},\"bytes_in\":{\"type\":\"integer\"},"
     "\"bytes_out\":{\"type\":\"integer\"},\"hits\":{\"type\":\"integer\"},\"saved_us\":{"
     "\"type\":\"integer\"},\"client_connections\":{\"type\":\"integer\"},\"server_requests\":{"
     "\"type\":\"integer\"},\"server_connections\":{\"type\":\"integer\"},\"missed\":{\"type\":"
     "\"integer\"},\"took\":{\"$ref\":\"#/components/schemas/AnalyticsDurations\"},\"origin\":{"
     "\"$ref\":\"#/components/schemas/AnalyticsDurations\"}}},\"paths\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"clients\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"agents\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"referrers\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"hosts\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"routes\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"upstreams\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"statuses\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"countries\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"threats\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"methods\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"},\"versions\":{\"$ref\":"
     "\"#/components/schemas/AnalyticsList\"}}}"},
    {"Series",
     "{\"type\":\"object\",\"required\":[\"from\",\"to\",\"step\",\"points\"],\"properties\":{"
     "\"from\":{\"type\":\"integer\"},\"to\":{\"type\":\"integer\"},\"step\":{\"type\":"
     "\"integer\"},\"points\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":["
     "\"at\",\"visitors\",\"requests\",\"errors\",\"client_errors\",\"threats\",\"secure\","
     "\"bytes_in\",\"bytes_out\",\"hits\",\"saved_us\",\"client_connections\","
     "\"server_requests\",\"server_connections\",\"missed\",\"mean_us\",\"p50_us\",\"p90_us\","
     "\"p99_us\"],\"properties\":{\"at\":{\"type\":\"integer\"},\"visitors\":{\"type\":"
     "\"integer\"},\"requests\":{\"type\":\"integer\"},\"errors\":{\"type\":\"integer\"},"
     "\"client_errors\":{\"type\":\"integer\"},\"threats\":{\"type\":\"integer\"},\"secure\":{"
     "\"type\":\"integer\"},\"bytes_in\":{\"type\":\"integer\"},\"bytes_out\":{\"type\":"
     "\"integer\"},\"hits\":{\"type\":\"integer\"},\"saved_us\":{\"type\":\"integer\"},"
     "\"client_connections\":{\"type\":\"integer\"},\"server_requests\":{\"type\":\"integer\"},"
     "\"server_connections\":{\"type\":\"integer\"},\"missed\":{\"type\":\"integer\"},"
     "\"mean_us\":{\"type\":\"integer\"},\"p50_us\":{\"type\":\"integer\"},\"p90_us\":{\"type\":"
     "\"integer\"},\"p99_us\":{\"type\":\"integer\"}}}}}}"},
    {0},
};
