/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/access_log.c - records of exchanges, formatted on the worker.
 *
 * ACCESS_LOG_FIELDS is the one place that says what a JSON record holds: from it come the code that
 * writes a record, the proof that one always fits (each field has a budget; what exceeds it is
 * cut), and the reference.  Nothing here allocates, waits or calls printf; the date is formatted
 * once a second.
 */
#include "edge/access_log.h"

#include "base/check.h"
#include "config/option.h"
#include "exchange/route.h"
#include "http/date.h"
#include "observe/record.h"
#include "tls/tls.h"

/* ------------------------------------------------------------------ dates */

/* "2026-11-20T22:48:00." and "20/Nov/2026:22:48:00 +0000" */
#define ISO_SECOND_LENGTH 20
#define NCSA_DATE_LENGTH 26

/* The current second as text; each thread has its own. */
struct second {
    uint64_t seconds;
    char     iso[ISO_SECOND_LENGTH];
    char     ncsa[NCSA_DATE_LENGTH];
};

static void
ncsa_from_http_date(char *out, const char *date)
{
    memcpy(out, date + 5, 2);
    out[2] = '/';
    memcpy(out + 3, date + 8, 3);
    out[6] = '/';
    memcpy(out + 7, date + 12, 4);
    out[11] = ':';
    memcpy(out + 12, date + 17, 8);
    memcpy(out + 20, " +0000", 6);
}

static const struct second *
second_of(uint64_t wall_us)
{
    static _Thread_local struct second now;
    uint64_t seconds = wall_us / 1000000u;
    char iso[ISO_DATE_LENGTH], date[HTTP_DATE_LENGTH];

    if (likely(now.seconds == seconds))
        return &now;
    iso_date_write(iso, wall_us);
    http_date_write(date, (int64_t) seconds);
    memcpy(now.iso, iso, sizeof(now.iso));
    ncsa_from_http_date(now.ncsa, date);
    now.seconds = seconds;
    return &now;
}

/* ------------------------------------------------------------------ values */

static char *
put_string(char *p, size_t budget, struct slice s)
{
    *p++ = '"';
    p = record_json(p, budget, s);
    *p++ = '"';
    return p;
}

static char *
put_integer(char *p, size_t budget, uint64_t value)
{
    (void) budget;
    return record_u64(p, value);
}

static char *
put_boolean(char *p, size_t budget, bool value)
{
    (void) budget;
    return value ? RECORD_LITERAL(p, "true") : RECORD_LITERAL(p, "false");
}

static char *
put_date(char *p, size_t budget, uint64_t wall_us)
{
    unsigned ms = (unsigned) (wall_us / 1000 % 1000);

    (void) budget;
    *p++ = '"';
    memcpy(p, second_of(wall_us)->iso, ISO_SECOND_LENGTH);
    p += ISO_SECOND_LENGTH;
    *p++ = (char) ('0' + ms / 100);
    *p++ = (char) ('0' + ms / 10 % 10);
    *p++ = (char) ('0' + ms % 10);
    return RECORD_LITERAL(p, "Z\"");
}

static struct slice
version_text(unsigned version)
{
    switch (version) {
    case 10: return SLICE("1.0");
    case 11: return SLICE("1.1");
    case 20: return SLICE("2");
    case 30: return SLICE("3");
    default: return SLICE("");
    }
}

/* "timeouts.response at site.yaml:12:5"; rare, and so it may take its time. */
static struct slice
limit_text(struct exchange *x)
{
    struct slice name = slice_str(x->fault.limit_name), where, text;

    if (!x->fault.limit || !x->config)
        return name;
    where = config_where_text(x->config, x->fault.limit, &x->arena);
    if (slice_eq(where, SLICE("default")))
        text = arena_printf(&x->arena, "%.*s (default)", SLICE_ARG(name));
    else
        text = arena_printf(&x->arena, "%.*s at %.*s", SLICE_ARG(name), SLICE_ARG(where));
    return text.at ? text : name;
}

static struct slice
blame_text(const struct exchange *x)
{
    return slice_str(blame_name(reason_blame(x->fault.reason)));
}

/* A moment of the exchange, counted from its beginning. */
static uint64_t
since_start(const struct exchange *x, uint64_t moment_us)
{
    uint64_t start_us = x->times.received_us ? x->times.received_us : x->times.started_us;

    return moment_us > start_us ? moment_us - start_us : 0;
}

static struct slice
request_field(const struct exchange *x, enum field_id id)
{
    return fields_has(&x->request.fields, id) ? fields_value(&x->request.fields, id)
                                              : (struct slice){0};
}

/* All absent, for connections without TLS. */
static const struct tls_facts *
tls_of(const struct exchange *x)
{
    static const struct tls_facts none;

    return x->client->tls ? x->client->tls : &none;
}

/* ------------------------------------------------------------------ the fields */

/* A target as long as the usual limit (max_target) fits whole. */
#define TARGET_BUDGET (8 * 1024 + 16)
#define AGENT_BUDGET 2000

/* Kind of value, name, most bytes of the value, whether it is there, the value, what it says. */
#define ACCESS_LOG_FIELDS(X)                                                                      \
    X(date, time, 24, true, wall_us, "When the exchange was over (UTC).")                         \
    X(string, id, 128, x->request_id.n, x->request_id,                                            \
      "Id of the request, if one was made or taken over.")                                        \
    X(string, trace_id, 32, x->trace_id.n, x->trace_id,                                           \
      "Id of the trace that the exchange is part of, where there is `tracing`.")                  \
    X(string, client, ADDRESS_TEXT_MAX, x->client_ip.n, x->client_ip,                             \
      "IP address of the client; behind trusted proxies the one that they tell.")                 \
    X(string, listener, 128, x->client->listener.n, x->client->listener, "Name of the listener.") \
    X(integer, connection, 20, true, x->client->id,                                               \
      "Number of the client's connection, unique while the process runs.")                        \
    X(string, method, 64, x->request.method_token.n, x->request.method_token,                     \
      "Method of the request.")                                                                   \
    X(string, scheme, 16, x->scheme.n, x->scheme, "`http` or `https`, as the client sees it.")    \
    X(string, host, 300, x->request.host.n, x->request.host,                                      \
      "Host that was asked for, without port.")                                                   \
    X(string, target, TARGET_BUDGET, x->request.target.raw.n, x->request.target.raw,              \
      "Path and query as they came.")                                                             \
    X(string, version, 16, x->request.version, version_text(x->request.version),                  \
      "Version of HTTP that the client spoke: `1.0`, `1.1`, `2`.")                                \
    X(string, tls, 8, tls_of(x)->version.n, tls_of(x)->version,                                   \
      "Version of TLS of the client's connection; absent without.")                               \
    X(string, tls_cipher, 64, tls_of(x)->cipher.n, tls_of(x)->cipher, "Its cipher.")              \
    X(boolean, tls_resumed, 5, tls_of(x)->version.n, tls_of(x)->resumed,                          \
      "Whether the client came back with a session ticket.")                                      \
    X(string, sni, 255, tls_of(x)->sni.n, tls_of(x)->sni,                                         \
      "Name that the client asked for in the handshake.")                                         \
    X(string, alpn, 16, tls_of(x)->alpn.n, tls_of(x)->alpn, "Protocol agreed on there.")          \
    X(string, ja4, TLS_JA4_LENGTH, tls_of(x)->ja4.n, tls_of(x)->ja4,                              \
      "JA4 fingerprint of the client hello.")                                                     \
    X(string, tls_client, 400, tls_of(x)->client_subject.n, tls_of(x)->client_subject,            \
      "Subject of the client's certificate.")                                                     \
    X(integer, status, 20, x->response.status, x->response.status,                                \
      "Status of the response; absent when the client was gone before there was one.")            \
    X(integer, grpc_status, 20, x->has_grpc_status, x->grpc_status,                               \
      "Status of a gRPC call, such as 14 for UNAVAILABLE; absent when there was none.")           \
    X(string, reason, 64, x->fault.reason, slice_str(reason_code(x->fault.reason)),               \
      "Why maitred answered by itself, or why the answer broke off: a stable code.")              \
    X(string, blame, 32, x->fault.reason, blame_text(x),                                          \
      "Whose fault that was: `client`, `server`, `proxy`, `configuration` or `nobody`.")          \
    X(string, limit, 300, x->fault.limit_name, limit_text(x),                                     \
      "Option whose value was reached, and the place that set it.")                               \
    X(string, error, 32, x->fault.err, slice_str(err_name(x->fault.err)),                         \
      "Error of the operation that failed.")                                                      \
    X(string, detail, 600, x->fault.detail.n, x->fault.detail,                                    \
      "What else is known about the failure.")                                                    \
    X(string, route, 200, x->route && x->route->name.n, x->route->name, "Name of the route.")     \
    X(string, upstream, 200, x->relay.upstream.n, x->relay.upstream,                              \
      "Name of the upstream; absent when no server was involved.")                                \
    X(string, server, 200, x->relay.server.n, x->relay.server,                                    \
      "Address of the server that answered, or was tried last.")                                  \
    X(integer, attempts, 20, x->relay.upstream.n, x->relay.attempts,                              \
      "How many servers were tried.")                                                             \
    X(boolean, reused, 5, x->relay.server.n, x->relay.reused,                                     \
      "Whether the connection to the server had served before.")                                  \
    X(integer, request_bytes, 20, true, x->request_bytes, "Bytes of the request's body.")         \
    X(integer, response_bytes, 20, true, x->response_bytes,                                       \
      "Bytes of the response's body that were sent to the client.")                               \
    X(integer, received_us, 20, x->times.started_us, since_start(x, x->times.started_us),         \
      "When the request's head was complete.")                                                    \
    X(integer, queued_us, 20, x->times.queued_us, since_start(x, x->times.queued_us),             \
      "When a server was asked for.")                                                             \
    X(integer, connected_us, 20, x->times.connected_us, since_start(x, x->times.connected_us),    \
      "When a connection to the server was at hand.")                                             \
    X(integer, first_byte_us, 20, x->times.first_byte_us, since_start(x, x->times.first_byte_us), \
      "When the head of the server's response was there.")                                        \
    X(integer, total_us, 20, x->times.done_us, since_start(x, x->times.done_us),                  \
      "When the last byte was sent, or the exchange broke off.")                                  \
    X(string, user_agent, AGENT_BUDGET, request_field(x, FIELD_USER_AGENT).n,                     \
      request_field(x, FIELD_USER_AGENT), "The field User-Agent of the request.")                 \
    X(string, referer, AGENT_BUDGET, request_field(x, FIELD_REFERER).n,                           \
      request_field(x, FIELD_REFERER), "The field Referer of the request.")

/* A comma, the name in quotes, a colon, the value in quotes. */
#define FIELD_BUDGET(kind, name, budget, present, value, doc)                                     \
    +(sizeof(",\"" #name "\":") - 1 + (budget) + 2)

_Static_assert(0 ACCESS_LOG_FIELDS(FIELD_BUDGET) + sizeof("}") <= SINK_RECORD_MAX,
               "every record must fit into the room that a sink gives");

static char *
put_json_record(char *p, struct exchange *x, uint64_t wall_us)
{
    char *start = p;

#define FIELD_WRITE(kind, name, budget, present, value, doc)                                      \
    if (present) {                                                                                \
        p = RECORD_LITERAL(p, ",\"" #name "\":");                                                 \
        p = put_##kind(p, budget, value);                                                         \
    }
    ACCESS_LOG_FIELDS(FIELD_WRITE)
#undef FIELD_WRITE
    *start = '{';
    *p++ = '}';
    return p;
}

void
access_log_reference(struct text *out)
{
    text_literal(out,
                 "Fields that end in `_us` are microseconds since the first byte of the request; "
                 "what there is nothing to say about is left out.\n\n"
                 "| field | type | meaning |\n|---|---|---|\n");
#define FIELD_DOCUMENT(kind, name, budget, present, value, doc)                                   \
    text_literal(out, "| `" #name "` | " #kind " | " doc " |\n");
    ACCESS_LOG_FIELDS(FIELD_DOCUMENT)
#undef FIELD_DOCUMENT
}

/* ------------------------------------------------------------------ NCSA combined */

static char *
put_quoted(char *p, size_t budget, struct slice s)
{
    *p++ = '"';
    p = s.n ? record_quoted(p, budget, s) : RECORD_LITERAL(p, "-");
    *p++ = '"';
    return p;
}

/* "GET /x HTTP/1.1"; "-" when there was nothing that could be read as a request. */
static char *
put_request_line(char *p, const struct request *r)
{
    if (r->method_token.n == 0)
        return RECORD_LITERAL(p, "\"-\"");
    *p++ = '"';
    p = record_quoted(p, 64, r->method_token);
    *p++ = ' ';
    p = record_quoted(p, TARGET_BUDGET, r->target.raw);
    p = RECORD_LITERAL(p, " HTTP/");
    *p++ = (char) ('0' + r->version / 10 % 10);
    *p++ = '.';
    *p++ = (char) ('0' + r->version % 10);
    *p++ = '"';
    return p;
}

static char *
put_status(char *p, unsigned status)
{
    return status ? record_u64(p, status) : RECORD_LITERAL(p, "000");
}

_Static_assert(ADDRESS_TEXT_MAX + 64 + TARGET_BUDGET + 2 * AGENT_BUDGET + 2 * RECORD_U64_MAX +
                       100 <=
                   SINK_RECORD_MAX,
               "every record must fit into the room that a sink gives");

static char *
put_combined_record(char *p, struct exchange *x, uint64_t wall_us)
{
    p = x->client_ip.n ? record_quoted(p, ADDRESS_TEXT_MAX, x->client_ip) : RECORD_LITERAL(p, "-");
    p = RECORD_LITERAL(p, " - - [");
    memcpy(p, second_of(wall_us)->ncsa, NCSA_DATE_LENGTH);
    p = RECORD_LITERAL(p + NCSA_DATE_LENGTH, "] ");
    p = put_request_line(p, &x->request);
    *p++ = ' ';
    p = put_status(p, x->response.status);
    *p++ = ' ';
    p = record_u64(p, x->response_bytes);
    *p++ = ' ';
    p = put_quoted(p, AGENT_BUDGET, request_field(x, FIELD_REFERER));
    *p++ = ' ';
    return put_quoted(p, AGENT_BUDGET, request_field(x, FIELD_USER_AGENT));
}

void
access_log_write(const struct access_log *log, unsigned worker, struct exchange *x)
{
    uint64_t wall_us = clock_wall_us();
    struct sink_tap *tap = sink_tap(log->sink, worker);
    struct text *record;
    char *end = NULL;

    if (log->when && !expr_test(log->when, x))
        return;
    record = sink_begin(tap);
    if (!record)
        return;
    switch ((enum access_log_format) log->format) {
    case ACCESS_LOG_JSON: end = put_json_record(record->at, x, wall_us); break;
    case ACCESS_LOG_COMBINED: end = put_combined_record(record->at, x, wall_us); break;
    }
    record->n = (size_t) (end - record->at);
    sink_commit(tap);
}

/* ------------------------------------------------------------------ configuration */

/* A misspelt word must not become a file. */
static bool
check_destination(struct config_bind *b, void *object)
{
    static const struct slice words[] = {SLICE_INIT("stdout"), SLICE_INIT("stderr"),
                                         SLICE_INIT("syslog")};
    const struct access_log *log = object;

    for (size_t i = 0; i < countof(words); i++)
        if (slice_eq(log->to, words[i]))
            return true;
    if (slice_find(log->to, '/') != SLICE_NOT_FOUND || slice_find(log->to, '.') != SLICE_NOT_FOUND)
        return true;
    return config_bind_error(
        b, &log->to, config_suggest(config_bind_arena(b), log->to, words, countof(words)),
        "`%.*s` is not stdout, stderr, syslog, syslog://address:port or a path",
        SLICE_ARG(log->to));
}

static const char *const formats[] = {
    [ACCESS_LOG_JSON] = "json",
    [ACCESS_LOG_COMBINED] = "combined",
    NULL,
};

static const struct option access_log_options[] = {
    {"to", &option_string, offsetof(struct access_log, to), .flags = OPTION_REQUIRED,
     .doc = "Where records go: `stdout`, `stderr`, the path of a file, `syslog` (the local one), "
            "`syslog:///path` (a socket), `syslog://address:port` (UDP)."},
    {"format", &option_choice, offsetof(struct access_log, format), .preset = "json",
     .choices = formats,
     .doc = "`json`: one object a line with all that is known; `combined`: NCSA combined."},
    {"when", &option_expr, offsetof(struct access_log, when),
     .doc = "Only exchanges for which this expression is true are logged."},
    {"queue", &option_bytes, offsetof(struct access_log, queue_bytes), .preset = "4MiB",
     .min = 2 * SINK_CHUNK_BYTES, .max = INT64_C(1) << 30,
     .doc = "For each worker: how much is kept while the destination is slow. What does not fit is "
            "dropped and counted; nobody waits for a log."},
    {NULL},
};

const struct option_object access_log_object = {
    .name = "access_log",
    .doc = "One record for each exchange.",
    .size = sizeof(struct access_log),
    .options = access_log_options,
    .shorthand = "to",
    .check = check_destination,
};

bool
access_log_open(struct access_log *log, struct config_report *report, const struct config *config)
{
    char error[256];

    log->sink = sink_open(log->to, log->queue_bytes, error, sizeof(error));
    if (log->sink)
        return true;
    config_report_add(report, CONFIG_ERROR, config_where(config, &log->to),
                      "the process that serves (see `process.user`) must be able to write there",
                      "%s", error);
    return false;
}

void
access_log_close(struct access_log *log)
{
    sink_release(take(&log->sink));
}
