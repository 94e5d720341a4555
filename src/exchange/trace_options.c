/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/trace_options.c - `tracing:` in the configuration. */
#include "exchange/expr.h"
#include "exchange/trace.h"

#define AT(member) offsetof(struct otlp_config, member)

static const struct option otlp_options[] = {
    {"url", &option_string, AT(url), .flags = OPTION_REQUIRED,
     .doc = "Where traces are sent, such as `http://127.0.0.1:4318/v1/traces`; `https:` too."},
    {"headers", &option_pairs, AT(fields), .flags = OPTION_MAP | OPTION_SECRET,
     .doc = "Fields that each request carries, such as the credentials that the collector wants."},
    {"service", &option_string, AT(service), .preset = "maitred",
     .doc = "`service.name` of what is sent."},
    {"every", &option_duration, AT(every_us), .preset = "5s", .min = 100000, .max = 3600000000,
     .doc = "How often what has come together is sent."},
    {"queue", &option_int, AT(queue), .preset = "2048", .min = 1, .max = 100000,
     .doc = "How many traces may wait, for each worker and again while the collector does not "
            "answer; what is more is dropped and counted."},
    {"timeout", &option_duration, AT(timeout_us), .preset = "10s", .min = 100000, .max = 600000000,
     .doc = "How long the collector may take for one request."},
    {NULL},
};

#undef AT

static bool
check_otlp(struct config_bind *b, void *object)
{
    struct otlp_config *o = object;

    if (slice_starts(o->url, SLICE("http://")) || slice_starts(o->url, SLICE("https://")))
        return true;
    return config_bind_error(b, &o->url, "such as `http://127.0.0.1:4318/v1/traces`",
                             "`%.*s` is not an http: or https: URL", SLICE_ARG(o->url));
}

static const struct option_object otlp_object = {
    .name = "otlp",
    .doc = "Traces as OTLP over HTTP, in JSON, for OpenTelemetry collectors and all that take it.",
    .size = sizeof(struct otlp_config),
    .options = otlp_options,
    .shorthand = "url",
    .check = check_otlp,
};

static const char *const followed[] = {
    [TRACE_FOLLOW_NOBODY] = "nobody",
    [TRACE_FOLLOW_TRUSTED] = "trusted",
    [TRACE_FOLLOW_EVERYBODY] = "everybody",
    NULL,
};

#define AT(member) offsetof(struct tracing_config, member)

static const struct option tracing_options[] = {
    {"sample", &option_percent, AT(sample), .preset = "0%", .max = 1000000,
     .doc = "How many of the exchanges are traced, chosen by chance."},
    {"when", &option_request_expr, AT(when),
     .doc = "Exchanges for which this expression is true are traced as well. It is asked when the "
            "head of the request has come."},
    {"follow", &option_choice, AT(follow), .preset = "trusted", .choices = followed,
     .doc = "Whose `traceparent` decides in place of chance, by its flag `sampled`: of "
            "`everybody`, of the listener's `trusted_proxies`, or of `nobody`. The id of the "
            "client's trace is taken over in any case."},
    {"keep", &option_int, AT(keep), .preset = "200", .min = 0, .max = 100000,
     .doc = "How many finished traces each worker keeps for `maitred explain --live` and the API."},
    {"propagate", &option_bool, AT(propagate), .preset = "true",
     .doc = "Servers get a `traceparent` that names the trace and the attempt (W3C Trace "
            "Context). Of exchanges that are not traced the client's passes unchanged."},
    {"otlp", &option_objects, AT(otlp), .object = &otlp_object, .flags = OPTION_POINTER,
     .doc = "Where finished traces are sent; nowhere when absent."},
    {NULL},
};

const struct option_object tracing_object = {
    .name = "tracing",
    .doc = "What is written down of exchanges: each decision, its reason, and how long it took.",
    .size = sizeof(struct tracing_config),
    .options = tracing_options,
    .shorthand = "sample",
};
