/* SPDX-License-Identifier: Apache-2.0 */
/* control/otlp_export.c - a fiber that empties the workers' queues into a collector. */
#include "control/otlp_export.h"

#include "base/check.h"
#include "base/json.h"
#include "exchange/otlp.h"
#include "http/date.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "upstream/fetch.h"

#include <jansson.h>
#include <stdlib.h>

enum {
    BATCH_MAX = 256,
    BATCH_BYTES_MAX = 16 * 1024 * 1024,
    ANSWER_MAX = 64 * 1024,
    ANSWER_LEVELS_MAX = 16,
    BACKOFF_US = 1000000,
    BACKOFF_MAX_US = 60000000,
    RETRY_AFTER_MAX_S = 600,
    LAST_US = 2000000, /* for what is left at the end */
};

/* Who takes them: a copy of the configuration, which may change meanwhile. */
struct collector {
    struct arena       arena;
    struct otlp_config config;
    struct field      *fields;
    size_t             n_fields;
};

static struct {
    struct fiber     *fiber; /* NULL: nobody exports */
    struct fiber     *waiter; /* for its end */
    struct collector *now, *next; /* next: `now` from the next round on */
    bool              ending, asleep;
    bool              failing;   /* said so in the log */
    bool              complains; /* likewise: about spans of requests that it took */
    struct trace    **queue;
    size_t            n;
    uint64_t          backoff_us; /* 0: the last request was taken */
    uint64_t          wait_us;    /* what the collector asked for; 0: nothing */
    struct otlp_counts counts;
} exporter;

/* ------------------------------------------------------------------ whom to send to */

static void
collector_free(struct collector *c)
{
    if (!c)
        return;
    arena_free(&c->arena);
    free(c);
}

static bool
copy_fields(struct collector *c, const struct option_list *pairs)
{
    const struct option_pair *pair = pairs->at;

    c->fields = arena_calloc(&c->arena, pairs->n + 1, sizeof(*c->fields));
    if (!c->fields)
        return false;
    c->fields[c->n_fields++] = (struct field){SLICE("Content-Type"), SLICE("application/json"),
                                              FIELD_CONTENT_TYPE};
    for (size_t i = 0; i < pairs->n; i++) {
        struct slice name = arena_copy(&c->arena, pair[i].key);
        struct slice value = arena_copy(&c->arena, pair[i].value);

        if (!name.at || !value.at)
            return false;
        c->fields[c->n_fields++] = (struct field){name, value, field_id_from(name)};
    }
    return true;
}

static struct collector *
collector_new(const struct otlp_config *config)
{
    struct collector *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    arena_init(&c->arena, NULL, 0, 1024 * 1024);
    c->config = *config;
    c->config.url = arena_copy(&c->arena, config->url);
    c->config.service = arena_copy(&c->arena, config->service);
    c->config.fields = (struct option_list){NULL, 0};
    if (c->config.url.at && c->config.service.at && copy_fields(c, &config->fields))
        return c;
    collector_free(c);
    return NULL;
}

/* ------------------------------------------------------------------ the queue */

static void
forget_first(size_t n)
{
    for (size_t i = 0; i < n; i++)
        trace_release(exporter.queue[i]);
    exporter.n -= n;
    memmove(exporter.queue, exporter.queue + n, exporter.n * sizeof(*exporter.queue));
}

/* Brings what the workers have; the newest have to go when there is no room. */
static void
collect(void)
{
    size_t most = (size_t) exporter.now->config.queue, n;
    uint64_t dropped;
    struct trace **taken = trace_take(&n, &dropped), **grown;
    size_t all = exporter.n + n;

    if (exporter.n > most) { /* a reload has made the room smaller */
        dropped += exporter.n - most;
        forget_first(exporter.n - most);
    }
    grown = n ? realloc(exporter.queue, all * sizeof(*grown)) : exporter.queue;
    if (grown)
        exporter.queue = grown;
    for (size_t i = 0; i < n; i++) {
        if (grown && exporter.n < most) {
            exporter.queue[exporter.n++] = taken[i];
            continue;
        }
        trace_release(taken[i]);
        dropped++;
    }
    free(taken);
    exporter.counts.dropped += dropped;
}

/* ------------------------------------------------------------------ sending */

enum verdict { TAKEN, LATER, REFUSED };

/* Seconds or a date (RFC 9110 10.2.3); 0: not said. */
static uint64_t
retry_after_us(const struct fetch_answer *a)
{
    struct slice value = fields_value(&a->fields, FIELD_RETRY_AFTER);
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000), at_s;
    uint64_t seconds = 0;

    if (!slice_to_u64(value, RETRY_AFTER_MAX_S, &seconds) &&
        http_date_parse(value, now_s, &at_s) && at_s > now_s)
        seconds = (uint64_t) (at_s - now_s);
    if (seconds > RETRY_AFTER_MAX_S)
        seconds = RETRY_AFTER_MAX_S;
    return seconds * 1000000;
}

/* https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes */
static enum verdict
judge(const struct fetch_answer *a)
{
    if (a->status >= 200 && a->status < 300)
        return TAKEN;
    if (a->status != 429 && a->status != 502 && a->status != 503 && a->status != 504)
        return REFUSED;
    exporter.wait_us = retry_after_us(a);
    return LATER;
}

/* Once for each time of trouble. */
static void
tell(enum verdict verdict, enum err e, const struct fetch_answer *a)
{
    struct slice url = exporter.now->config.url;

    if (verdict == TAKEN && exporter.failing)
        log_info("tracing: %.*s takes traces again", SLICE_ARG(url));
    else if (verdict != TAKEN && !exporter.failing && e != OK)
        log_warning("tracing: %.*s takes no traces: %s", SLICE_ARG(url), a->why);
    else if (verdict != TAKEN && !exporter.failing)
        log_warning("tracing: %.*s takes no traces: status %u", SLICE_ARG(url), a->status);
    exporter.failing = verdict != TAKEN;
}

/* A 64-bit number is a text in JSON, at least as protobuf writes it. */
static uint64_t
number_of(const json_t *value)
{
    uint64_t n = 0;

    if (json_is_string(value))
        (void) slice_to_u64(slice_str(json_string_value(value)), INT64_MAX, &n);
    else if (json_is_integer(value) && json_integer_value(value) > 0)
        n = (uint64_t) json_integer_value(value);
    return n;
}

/* A request that was taken: its spans were not all to the collector's liking, perhaps.  They are
 * not sent again (https://opentelemetry.io/docs/specs/otlp/#partial-success-1). */
static void
hear_complaints(const struct fetch_answer *a)
{
    json_t *answer = json_levels(a->body) > ANSWER_LEVELS_MAX
                         ? NULL
                         : json_loadb(a->body.n ? a->body.at : "", a->body.n, 0, NULL);
    const json_t *partial = json_object_get(answer, "partialSuccess");
    const char *why = json_string_value(json_object_get(partial, "errorMessage"));
    uint64_t rejected = number_of(json_object_get(partial, "rejectedSpans"));
    bool complains = rejected || (why && *why);

    exporter.counts.rejected_spans += rejected;
    if (complains && !exporter.complains)
        log_warning("tracing: %.*s complains: %llu spans were not taken%s%.200s",
                    SLICE_ARG(exporter.now->config.url), (unsigned long long) rejected,
                    why && *why ? ": " : "", why ? why : "");
    exporter.complains = complains;
    json_decref(answer);
}

static enum verdict
post(struct slice body, uint64_t timeout_us)
{
    const struct collector *c = exporter.now;
    struct fetch f = {
        .url = c->config.url,
        .method = METHOD_POST,
        .fields = c->fields,
        .n_fields = c->n_fields,
        .body = body,
        .deadline_us = loop_now_us() + timeout_us,
        .max_bytes = ANSWER_MAX,
    };
    struct fetch_answer a;
    enum err e = http_fetch(&f, &a);
    enum verdict verdict = e == OK ? judge(&a) : LATER;

    if (e != ERR_CANCELLED) {
        tell(verdict, e, &a);
        exporter.counts.failures += verdict != TAKEN;
    }
    if (verdict == TAKEN)
        hear_complaints(&a);
    fetch_answer_free(&a);
    return verdict;
}

/* The first of the queue, as many as fit into one request.  False: not now. */
static bool
send_batch(uint64_t timeout_us)
{
    size_t n = exporter.n < BATCH_MAX ? exporter.n : BATCH_MAX;
    enum verdict verdict = REFUSED;
    struct text body;

    text_init(&body, BATCH_BYTES_MAX);
    otlp_write(exporter.queue, n, exporter.now->config.service, &body);
    while (body.full && n > 1) {
        n /= 2;
        body.n = 0;
        body.full = false;
        otlp_write(exporter.queue, n, exporter.now->config.service, &body);
    }
    if (!body.full)
        verdict = post(text_slice(&body), timeout_us);
    text_free(&body);
    if (verdict == LATER)
        return false;
    if (verdict == TAKEN)
        exporter.counts.sent += n;
    else
        exporter.counts.dropped += n;
    forget_first(n);
    return true;
}

/* ------------------------------------------------------------------ the fiber */

/* Twice as long each time, a little earlier or later than others. */
static uint64_t
pause_us(void)
{
    uint64_t half_us = exporter.backoff_us / 2;

    if (exporter.wait_us)
        return exporter.wait_us;
    if (exporter.backoff_us)
        return half_us + dice_next(&loop_self()->dice) % half_us;
    return exporter.now->config.every_us;
}

static void
wait_a_while(void)
{
    exporter.asleep = true;
    (void) fiber_sleep_until(loop_now_us() + pause_us());
    exporter.asleep = false;
    fiber_uncancel(fiber_self());
    exporter.wait_us = 0;
}

static void
adopt(void)
{
    if (!exporter.next)
        return;
    collector_free(exporter.now);
    exporter.now = take(&exporter.next);
    exporter.backoff_us = exporter.wait_us = 0;
}

static void
send_all(void)
{
    while (exporter.n && !exporter.ending && !exporter.next) {
        if (send_batch(exporter.now->config.timeout_us)) {
            exporter.backoff_us = 0;
            continue;
        }
        exporter.backoff_us = exporter.backoff_us ? exporter.backoff_us * 2 : BACKOFF_US;
        if (exporter.backoff_us > BACKOFF_MAX_US)
            exporter.backoff_us = BACKOFF_MAX_US;
        break;
    }
    fiber_uncancel(fiber_self());
}

static void
say_goodbye(void)
{
    uint64_t until_us = loop_now_us() + LAST_US;

    collect();
    while (exporter.n && loop_now_us() < until_us && !exporter.next &&
           send_batch(until_us - loop_now_us()))
        continue;
    fiber_uncancel(fiber_self());
}

static void
export(void *arg)
{
    (void) arg;
    adopt();
    for (;;) {
        while (!exporter.ending) {
            wait_a_while();
            adopt();
            if (!exporter.ending)
                collect();
            send_all();
        }
        say_goodbye();
        if (!exporter.next)
            break;
        exporter.ending = false; /* configured anew meanwhile */
        adopt();
    }
    exporter.counts.dropped += exporter.n;
    forget_first(exporter.n);
    free(take(&exporter.queue));
    collector_free(take(&exporter.now));
    exporter.fiber = NULL;
    if (exporter.waiter)
        fiber_resume(take(&exporter.waiter));
}

/* ------------------------------------------------------------------ from outside */

static void
expose(struct exposition *e)
{
    const struct {
        const char *name, *doc;
        uint64_t    value;
    } all[] = {
        {"maitred_traces_exported_total", "Traces that the collector has taken.",
         exporter.counts.sent},
        {"maitred_traces_dropped_total",
         "Traces that were to be exported and found no room, or that the collector refused.",
         exporter.counts.dropped},
        {"maitred_traces_failures_total", "Requests that the collector did not take.",
         exporter.counts.failures},
        {"maitred_traces_rejected_spans_total",
         "Spans of requests that the collector took, which it rejected all the same.",
         exporter.counts.rejected_spans},
    };

    for (size_t i = 0; i < countof(all); i++) {
        exposition_family(e, all[i].name, METRIC_COUNTER, all[i].doc);
        exposition_sample(e, all[i].name, NULL, 0, (double) all[i].value);
    }
}

/* It looks at what is new; a request that is under way is given up when there is nothing new. */
static void
wake(void)
{
    if (exporter.fiber && (exporter.asleep || !exporter.next))
        fiber_cancel(exporter.fiber, ERR_CANCELLED);
}

static bool
is_same(const struct collector *c, const struct otlp_config *config)
{
    const struct option_pair *pair = config->fields.at;

    if (!c || !slice_eq(c->config.url, config->url) ||
        !slice_eq(c->config.service, config->service) || c->n_fields != config->fields.n + 1)
        return false;
    for (size_t i = 0; i < config->fields.n; i++)
        if (!slice_eq(c->fields[i + 1].name, pair[i].key) ||
            !slice_eq(c->fields[i + 1].value, pair[i].value))
            return false;
    return c->config.every_us == config->every_us && c->config.queue == config->queue &&
           c->config.timeout_us == config->timeout_us;
}

static void
follow(const struct otlp_config *config)
{
    static bool told;

    if (!exporter.ending && !exporter.next && is_same(exporter.now, config))
        return;
    collector_free(exporter.next);
    exporter.next = collector_new(config);
    if (!exporter.next) {
        log_error("tracing: out of memory");
        return;
    }
    if (!told)
        metrics_collector(expose);
    told = true;
    if (!exporter.fiber) {
        exporter.ending = false;
        exporter.fiber = fiber_start("otlp", export, NULL);
    } else {
        wake();
    }
}

void
otlp_follow(const struct tracing_config *tracing)
{
    if (tracing && tracing->otlp) {
        follow(tracing->otlp);
        return;
    }
    collector_free(take(&exporter.next));
    exporter.ending = true;
    wake();
}

void
otlp_stop(void)
{
    otlp_follow(NULL);
    while (exporter.fiber) {
        exporter.waiter = fiber_self();
        fiber_suspend();
    }
}

struct otlp_counts
otlp_counts(void)
{
    return exporter.counts;
}
