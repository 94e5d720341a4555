/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_process.c - the process as a whole: what it is, its log, its metrics. */
#include "analytics/analytics.h"
#include "config/units.h"
#include "control/admin.h"
#include "control/configuration.h"
#include "control/operations.h"
#include "control/overrides.h"
#include "control/room.h"
#include "http/accept.h"
#include "observe/log.h"
#include "observe/metrics.h"

#include <stdio.h>
#include <unistd.h>

enum { TEXT_MAX = 64 * 1024 * 1024, UPGRADE_WITHIN_S_MAX = 3600 };

static const char *const levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static json_t *
faults(void)
{
    struct slice state = revisions_fault(), trial = configuration_fault();
    json_t *list = json_array();
    char why[200] = "";

    if (state.n)
        json_array_append_new(list, json_stringn(state.at, state.n));
    if (trial.n)
        json_array_append_new(list, json_stringn(trial.at, trial.n));
    analytics_fault(why);
    if (why[0])
        json_array_append_new(list, json_string(why));
    return list;
}

static json_t *
configuration(void)
{
    const struct config_document *d = configuration_now();
    struct slice path = control_host()->path;
    char hash[20] = "";

    if (d)
        snprintf(hash, sizeof(hash), "%016llx",
                 (unsigned long long) config_document_hash(d, config_document_find(d, SLICE(""))));
    return json_pack("{s:o, s:o, s:s, s:I}", "path",
                     path.n ? json_stringn(path.at, path.n) : json_null(), "revision",
                     configuration_revision() ? json_integer(configuration_revision())
                                              : json_null(),
                     "hash", hash, "loaded_at", (json_int_t) configuration_since_s());
}

static json_t *
links(void)
{
    json_t *all = json_object();

    for (size_t i = 0; api_operations[i]; i++)
        for (const struct api_operation *o = api_operations[i]; o->path; o++)
            if (o->method == METHOD_GET && !strchr(o->path, '{'))
                json_object_set_new(all, o->path, json_string(o->summary));
    return all;
}

static void
process_get(struct api_call *c)
{
    int64_t now_s = clock_wall_us() / 1000000;

    api_answer_json(c, 200,
                    json_pack("{s:s, s:i, s:I, s:I, s:i, s:o, s:o, s:o}", "version",
                              MAITRED_VERSION, "pid", (int) getpid(), "started",
                              (json_int_t) control_started_s(), "uptime_s",
                              (json_int_t) (now_s - control_started_s()), "workers",
                              (int) control_host()->workers, "config", configuration(), "faults",
                              faults(), "links", links()));
}

static void
whoami_get(struct api_call *c)
{
    api_answer_json(c, 200,
                    json_pack("{s:s%, s:s}", "name", c->who.name.at, c->who.name.n, "right",
                              api_rights[c->who.right]));
}

static void
openapi_get(struct api_call *c)
{
    struct text t;

    text_init(&t, TEXT_MAX);
    openapi_write(&t);
    api_answer(c, 200, &t);
}

static void
schema_get(struct api_call *c)
{
    const struct snapshot *s = control_host()->snapshot(control_host()->current());
    struct text t;

    text_init(&t, TEXT_MAX);
    config_write_schema(s->config->type, "maitred", &t);
    api_answer(c, 200, &t);
}

/* ------------------------------------------------------------------ log */

static void
log_get(struct api_call *c)
{
    enum log_level level = LOG_LEVEL_ERROR;

    while (level < LOG_LEVEL_DEBUG && log_is_on(level + 1))
        level++;
    api_answer_json(c, 200, json_pack("{s:s}", "level", levels[level]));
}

/* False after answering 400. */
static bool
take_level(struct api_call *c, json_t *body)
{
    const char *level = json_string_value(json_object_get(body, "level"));

    for (enum log_level l = LOG_LEVEL_ERROR; level && l <= LOG_LEVEL_DEBUG; l++)
        if (strcmp(level, levels[l]) == 0) {
            overrides_set_level(l);
            return true;
        }
    api_problem(c, 400, "bad_value", "level is one of error, warning, info, debug");
    return false;
}

static void
log_put(struct api_call *c)
{
    static const char *const known[] = {"level", NULL};
    json_t *body = api_json(c);

    if (body && api_only_known(c, body, known) && take_level(c, body))
        log_get(c);
    json_decref(body);
}

/* ------------------------------------------------------------------ metrics */

static void
metrics_get_all(struct api_call *c)
{
    const struct fields *f = &c->x->request.fields;
    struct exposition e = {.format = EXPOSITION_PROMETHEUS};
    struct text t;

    if (accept_q(f, SLICE("application/openmetrics-text")) > accept_q(f, SLICE("text/plain")))
        e.format = EXPOSITION_OPENMETRICS;
    text_init(&t, TEXT_MAX);
    e.out = &t;
    metrics_expose(&e);
    api_answer(c, 200, &t);
    if (e.format == EXPOSITION_OPENMETRICS)
        fields_set(&c->x->response.fields, FIELD_CONTENT_TYPE,
                   SLICE("application/openmetrics-text; version=1.0.0; charset=utf-8"));
}

/* ------------------------------------------------------------------ upgrade */

static json_t *
upgrade_json(const struct control_upgrade *u)
{
    static const char *const states[] = {
        [UPGRADE_NONE] = "none",
        [UPGRADE_RUNNING] = "running",
        [UPGRADE_DONE] = "done",
        [UPGRADE_FAILED] = "failed",
    };
    json_t *value = json_pack("{s:s}", "state", states[u->state]);

    if (u->pid)
        json_object_set_new(value, "pid", json_integer(u->pid));
    if (u->why[0])
        json_object_set_new(value, "why", json_string(u->why));
    return value;
}

/* In whole seconds; 0: nothing is said.  False after answering 400. */
static bool
take_within(struct api_call *c, unsigned *within_s)
{
    struct slice text = api_query(c, "within");
    uint64_t us;

    *within_s = 0;
    if (!slice_is_present(text))
        return true;
    if (!units_read_duration(text, &us) || us < 1000000 ||
        us > (uint64_t) UPGRADE_WITHIN_S_MAX * 1000000) {
        api_problem(c, 400, "bad_query",
                    "within is how long the new process has to get ready, such as 60s, from a "
                    "second to an hour");
        return false;
    }
    *within_s = (unsigned) (us / 1000000);
    return true;
}

static void
upgrade_get(struct api_call *c)
{
    struct control_upgrade last;

    if (control_host()->upgraded(&last))
        api_answer_json(c, 200, upgrade_json(&last));
    else
        api_problem(c, 503, "failed", "this process is not in charge any more");
}

static void
upgrade_post(struct api_call *c)
{
    struct control_upgrade now;
    unsigned within_s;

    if (!take_within(c, &within_s))
        return;
    if (control_host()->upgrade(within_s, &now))
        api_answer_json(c, 202, upgrade_json(&now));
    else
        api_problem(c, 409, "conflict", "%s", now.why);
}

const struct api_operation operations_process[] = {
    {METHOD_GET, "/v1", API_READ, process_get,
     .summary = "What this process is, what is wrong with it, and what can be asked.",
     .answer = "Process"},
    {METHOD_GET, "/v1/whoami", API_READ, whoami_get, .summary = "Who you are to the API.",
     .answer = "Identity"},
    {METHOD_GET, "/v1/openapi.json", API_READ, openapi_get, .summary = "This description.",
     .answer = "Any"},
    {METHOD_GET, "/v1/schema.json", API_READ, schema_get,
     .summary = "The JSON Schema of the configuration.", .answer = "Any"},
    {METHOD_GET, "/v1/log", API_READ, log_get, .summary = "How much the message log tells.",
     .answer = "Log"},
    {METHOD_PUT, "/v1/log", API_OPERATE, log_put,
     .summary = "Have the message log tell more or less, until the next reload.", .body = "Log",
     .answer = "Log", .writes = true},
    {METHOD_GET, "/metrics", API_READ, metrics_get_all,
     .summary = "Metrics for Prometheus, or as OpenMetrics by Accept.",
     .type = "text/plain; version=0.0.4; charset=utf-8"},
    {METHOD_POST, "/v1/upgrade", API_ADMIN, upgrade_post,
     .summary = "Replace the program by the one on disk.",
     .query = {{"within", "string",
                "How long the new process has to get ready, such as 60s; without it 30s."}},
     .answer = "Upgrade", .success = 202, .writes = true},
    {METHOD_GET, "/v1/upgrade", API_READ, upgrade_get,
     .summary = "What came of the last upgrade, also when it was begun by a signal.",
     .answer = "Upgrade"},
    {0},
};

const struct api_schema schemas_process[] = {
    {"Any", "{\"type\":\"object\"}"},
    {"Process",
     "{\"type\":\"object\",\"required\":[\"version\",\"pid\",\"started\",\"uptime_s\",\"workers\","
     "\"config\",\"faults\",\"links\"],\"properties\":{\"version\":{\"type\":\"string\"},\"pid\":{"
     "\"type\":\"integer\"},\"started\":{\"type\":\"integer\"},\"uptime_s\":{\"type\":\"integer\"},"
     "\"workers\":{\"type\":\"integer\"},\"config\":{\"type\":\"object\",\"required\":[\"path\","
     "\"revision\",\"hash\",\"loaded_at\"]},\"faults\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"string\"}},\"links\":{\"type\":\"object\"}}}"},
    {"Identity", "{\"type\":\"object\",\"required\":[\"name\",\"right\"],\"properties\":{\"name\":{"
                 "\"type\":\"string\"},\"right\":{\"enum\":[\"read\",\"operate\",\"admin\"]}}}"},
    {"Upgrade",
     "{\"type\":\"object\",\"required\":[\"state\"],\"properties\":{\"state\":{\"enum\":[\"none\","
     "\"running\",\"done\",\"failed\"]},\"pid\":{\"type\":\"integer\"},"
     "\"why\":{\"type\":\"string\"}}}"},
    {"Log", "{\"type\":\"object\",\"required\":[\"level\"],\"properties\":{\"level\":{\"enum\":["
            "\"error\",\"warning\",\"info\",\"debug\"]}},\"additionalProperties\":false}"},
    {0},
};
