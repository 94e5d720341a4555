/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/otlp.c - spans, attributes and events, written as the collector reads them. */
#include "exchange/otlp.h"

#include "base/check.h"

enum { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3, STATUS_ERROR = 2 };

/* Members of an object or list: a comma in front of each but the first. */
struct series {
    struct text *out;
    bool         more;
};

static void
comma(struct series *s)
{
    if (s->more)
        text_byte(s->out, ',');
    s->more = true;
}

/* ------------------------------------------------------------------ values */

static void
put_string(struct text *out, const char *name, struct slice value)
{
    text_printf(out, "\"%s\":\"", name);
    text_json(out, value);
    text_byte(out, '"');
}

static void
put_hex(struct text *out, const char *name, const uint8_t *bytes, size_t n)
{
    char digits[2 * TRACE_ID_BYTES];

    CHECK(n <= TRACE_ID_BYTES);
    trace_context_hex(digits, bytes, n);
    put_string(out, name, slice_of(digits, 2 * n));
}

/* Monotonic microseconds of this trace, as nanoseconds since 1970. */
static void
put_time(struct text *out, const char *name, const struct trace *t, uint64_t at_us)
{
    int64_t wall_us = t->began_wall_us + (int64_t) (at_us - t->began_us);

    text_printf(out, "\"%s\":\"%lld000\"", name, (long long) wall_us);
}

static void
attribute(struct series *s, const char *name, struct slice value)
{
    if (!value.n)
        return;
    comma(s);
    text_printf(s->out, "{\"key\":\"%s\",\"value\":{", name);
    put_string(s->out, "stringValue", value);
    text_literal(s->out, "}}");
}

static void
attribute_number(struct series *s, const char *name, uint64_t value)
{
    comma(s);
    text_printf(s->out, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%llu\"}}", name,
                (unsigned long long) value);
}

/* ------------------------------------------------------------------ the exchange */

static struct slice
version_text(unsigned version)
{
    switch (version) {
    case 10: return SLICE("1.0");
    case 11: return SLICE("1.1");
    case 20: return SLICE("2");
    default: return SLICE("");
    }
}

static void
put_attributes(const struct trace *t, struct text *out)
{
    struct series s = {out, false};
    struct slice query = t->target, path = slice_cut(&query, '?');

    text_literal(out, "\"attributes\":[");
    attribute(&s, "http.request.method", t->method);
    attribute(&s, "url.scheme", t->scheme);
    attribute(&s, "url.path", path);
    attribute(&s, "url.query", query);
    attribute(&s, "server.address", t->host);
    attribute(&s, "client.address", t->client);
    attribute(&s, "network.protocol.version", version_text(t->version));
    attribute(&s, "http.route", t->route);
    if (t->status)
        attribute_number(&s, "http.response.status_code", t->status);
    attribute_number(&s, "http.request.body.size", t->request_bytes);
    attribute_number(&s, "http.response.body.size", t->response_bytes);
    attribute(&s, "maitred.request_id", t->request_id);
    attribute(&s, "maitred.upstream", t->upstream);
    attribute(&s, "maitred.server", t->server);
    if (!slice_eq(t->reason, SLICE("none")))
        attribute(&s, "maitred.reason", t->reason);
    text_byte(out, ']');
}

static void
put_event(const struct trace *t, const struct trace_event *e, struct series *events)
{
    struct text *out = events->out;
    struct series s = {out, false};

    comma(events);
    text_byte(out, '{');
    put_time(out, "timeUnixNano", t, e->at_us);
    text_byte(out, ',');
    put_string(out, "name", slice_str(e->what));
    text_literal(out, ",\"attributes\":[");
    attribute(&s, "maitred.detail", e->detail);
    attribute(&s, "maitred.where", e->where);
    if (e->took_us)
        attribute_number(&s, "maitred.took_us", e->took_us);
    text_literal(out, "]}");
}

static void
put_events(const struct trace *t, struct text *out)
{
    struct series events = {out, false};

    text_literal(out, "\"events\":[");
    for (size_t i = 0; i < t->n; i++)
        if (!t->events[i].is_span)
            put_event(t, &t->events[i], &events);
    text_printf(out, "],\"droppedEventsCount\":%zu", t->lost);
}

static bool
has_parent(const struct trace *t)
{
    static const uint8_t none[TRACE_SPAN_BYTES];

    return memcmp(t->parent, none, sizeof(none)) != 0;
}

/* No answer at all, or one of the 5xx (semantic conventions: other errors are the client's). */
static void
put_status(struct text *out, unsigned status, struct slice message)
{
    text_literal(out, "\"status\":{");
    if (status == 0 || status >= 500) {
        text_printf(out, "\"code\":%d,", STATUS_ERROR);
        put_string(out, "message", message);
    }
    text_byte(out, '}');
}

static void
put_root(const struct trace *t, struct series *spans)
{
    struct text *out = spans->out;

    comma(spans);
    text_byte(out, '{');
    put_hex(out, "traceId", t->id, sizeof(t->id));
    text_byte(out, ',');
    put_hex(out, "spanId", t->span, sizeof(t->span));
    text_byte(out, ',');
    if (has_parent(t)) {
        put_hex(out, "parentSpanId", t->parent, sizeof(t->parent));
        text_byte(out, ',');
    }
    text_literal(out, "\"name\":\"");
    text_json(out, t->method);
    if (t->route.n) {
        text_byte(out, ' ');
        text_json(out, t->route);
    }
    text_printf(out, "\",\"kind\":%d,", t->is_child ? SPAN_INTERNAL : SPAN_SERVER);
    put_time(out, "startTimeUnixNano", t, t->began_us);
    text_byte(out, ',');
    put_time(out, "endTimeUnixNano", t, t->ended_us);
    text_byte(out, ',');
    put_attributes(t, out);
    text_byte(out, ',');
    put_events(t, out);
    text_byte(out, ',');
    put_status(out, t->status, t->reason);
    text_byte(out, '}');
}

/* ------------------------------------------------------------------ attempts */

static void
put_attempt(const struct trace *t, const struct trace_event *e, struct series *spans)
{
    struct text *out = spans->out;
    struct series s = {out, false};

    comma(spans);
    text_byte(out, '{');
    put_hex(out, "traceId", t->id, sizeof(t->id));
    text_byte(out, ',');
    put_hex(out, "spanId", e->span, sizeof(e->span));
    text_byte(out, ',');
    put_hex(out, "parentSpanId", t->span, sizeof(t->span));
    text_byte(out, ',');
    put_string(out, "name", t->method);
    text_printf(out, ",\"kind\":%d,", SPAN_CLIENT);
    put_time(out, "startTimeUnixNano", t, e->at_us);
    text_byte(out, ',');
    put_time(out, "endTimeUnixNano", t, e->at_us + e->took_us);
    text_literal(out, ",\"attributes\":[");
    attribute(&s, "http.request.method", t->method);
    attribute(&s, "maitred.detail", e->detail);
    if (e->status)
        attribute_number(&s, "http.response.status_code", e->status);
    text_literal(out, "],");
    put_status(out, e->status, e->detail);
    text_byte(out, '}');
}

void
otlp_write(struct trace *const *traces, size_t n, struct slice service, struct text *out)
{
    struct series attributes = {out, false}, spans = {out, false};

    text_literal(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    attribute(&attributes, "service.name", service);
    text_literal(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"maitred\",\"version\":\""
                      MAITRED_VERSION "\"},\"spans\":[");
    for (size_t i = 0; i < n; i++) {
        const struct trace *t = traces[i];

        put_root(t, &spans);
        for (size_t j = 0; j < t->n; j++)
            if (t->events[j].is_span)
                put_attempt(t, &t->events[j], &spans);
    }
    text_literal(out, "]}]}]}");
}
