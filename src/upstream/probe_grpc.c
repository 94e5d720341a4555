/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_grpc.c - a check by gRPC's own health service: grpc.health.v1.Health/Check, over
 * HTTP/2.
 *
 * The message that is sent, and the one that comes, have one field each; so protocol buffers are
 * written and read by hand here.
 */
#include "http/uri.h"
#include "upstream/probe_talk.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

enum {
    SERVICE_MAX = 100,
    RECEIVE_MAX = 64 * 1024,
    REPLY_MAX = 256,
    PREFIX = 5, /* of a message: whether it is compressed, and its length in four bytes */
    SERVING = 1,
};

/* One probe. */
struct asking {
    const struct health_config *config;
    struct probe_talk          *talk;
    struct probe_answer        *answer;
    nghttp2_session            *session;
    char                        request[PREFIX + 2 + SERVICE_MAX];
    size_t                      request_n, sent;
    unsigned                    status;      /* of HTTP; 0: no head has come */
    uint64_t                    grpc_status; /* GRPC_MISSING */
    char                        message[80];
    char                        reply[REPLY_MAX];
    size_t                      reply_n;
    bool                        closed;      /* the stream */
    uint32_t                    code;        /* with which it was */
};

#define GRPC_MISSING UINT64_MAX

static bool
check_grpc(struct config_bind *b, struct health_config *h)
{
    if (h->service.n > SERVICE_MAX)
        return config_bind_error(b, &h->service, "as in package.Service",
                                 "the name of a service is longer than %d bytes", SERVICE_MAX);
    if (slice_is_present(h->host) && !authority_is_valid(h->host))
        return config_bind_error(b, &h->host, "as in example.com or example.com:8080",
                                 "`%.*s` is not a host", SLICE_ARG(h->host));
    return true;
}

/* ------------------------------------------------------------------ the request */

/* HealthCheckRequest {string service = 1;}, which is nothing at all for the whole server. */
static void
write_request(struct asking *a)
{
    struct slice service = a->config->service;
    size_t n = service.n ? service.n + 2 : 0;
    char *out = a->request + PREFIX;

    a->request[4] = (char) n;
    a->request_n = PREFIX + n;
    if (n == 0)
        return;
    out[0] = 1 << 3 | 2; /* field 1, bytes with a length */
    out[1] = (char) service.n;
    memcpy(out + 2, service.at, service.n);
}

static ssize_t
read_request(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
             nghttp2_data_source *source, void *arg)
{
    struct asking *a = arg;
    struct slice left = slice_of(a->request + a->sent, a->request_n - a->sent);
    struct slice bytes = slice_first(left, room);

    (void) session, (void) id, (void) source;
    memcpy(to, bytes.at, bytes.n);
    a->sent += bytes.n;
    if (bytes.n == left.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t) bytes.n;
}

static nghttp2_nv
field(const char *name, struct slice value)
{
    return (nghttp2_nv){(uint8_t *) name, (uint8_t *) value.at, strlen(name), value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

static bool
submit(struct asking *a, const struct server *server)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_data_provider body = {.read_callback = read_request};
    uint64_t now_us = loop_now_us(), until_us = a->talk->deadline_us;
    char memory[256], timeout[24];
    struct text host;

    text_fixed(&host, memory, sizeof(memory));
    probe_write_host(&host, a->config, server);
    snprintf(timeout, sizeof(timeout), "%llum",
             (unsigned long long) (until_us > now_us ? (until_us - now_us) / 1000 : 0));
    write_request(a);
    const nghttp2_nv head[] = {
        field(":method", SLICE("POST")),
        field(":scheme", a->talk->sock.layer ? SLICE("https") : SLICE("http")),
        field(":authority", text_slice(&host)),
        field(":path", SLICE("/grpc.health.v1.Health/Check")),
        field("content-type", SLICE("application/grpc")),
        field("te", SLICE("trailers")),
        field("user-agent", SLICE("maitred")),
        field("grpc-timeout", slice_str(timeout)),
    };

    return !host.full &&
           nghttp2_submit_settings(a->session, NGHTTP2_FLAG_NONE, settings, countof(settings)) ==
               0 &&
           nghttp2_submit_request(a->session, NULL, head, countof(head), &body, NULL) >= 0;
}

/* ------------------------------------------------------------------ the answer, as it comes */

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
          const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct asking *a = arg;
    struct slice n = slice_of((const char *) name, name_n);
    struct slice v = slice_of((const char *) value, value_n);
    uint64_t number;

    (void) session, (void) frame, (void) flags;
    if (slice_eq(n, SLICE(":status")) && slice_to_u64(v, 999, &number))
        a->status = (unsigned) number;
    if (slice_eq(n, SLICE("grpc-status")) && slice_to_u64(v, 999, &number))
        a->grpc_status = number;
    if (slice_eq(n, SLICE("grpc-message")))
        snprintf(a->message, sizeof(a->message), "%.*s", SLICE_ARG(v));
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *at, size_t n, void *arg)
{
    struct asking *a = arg;

    (void) session, (void) flags, (void) id;
    if (n > sizeof(a->reply) - a->reply_n)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(a->reply + a->reply_n, at, n);
    a->reply_n += n;
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct asking *a = arg;

    (void) session, (void) id;
    a->closed = true;
    a->code = code;
    return 0;
}

static bool
open_session(struct asking *a)
{
    nghttp2_session_callbacks *c;
    bool good;

    if (nghttp2_session_callbacks_new(&c) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    good = nghttp2_session_client_new(&a->session, c, a) == 0;
    nghttp2_session_callbacks_del(c);
    return good;
}

/* ------------------------------------------------------------------ what it says */

/* A number of protocol buffers; false: it does not end. */
static bool
take_varint(struct slice *bytes, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && bytes->n; shift += 7) {
        uint8_t c = (uint8_t) bytes->at[0];

        *bytes = slice_from(*bytes, 1);
        *value |= (uint64_t) (c & 127) << shift;
        if (!(c & 128))
            return true;
    }
    return false;
}

/* What a field of that kind has behind its key is skipped, but for a number. */
static bool
take_value(struct slice *bytes, unsigned kind, uint64_t *value)
{
    uint64_t n = 0;

    switch (kind) {
    case 0: return take_varint(bytes, value);
    case 1: n = 8; break;
    case 2:
        if (!take_varint(bytes, &n))
            return false;
        break;
    case 5: n = 4; break;
    default: return false;
    }
    if (n > bytes->n)
        return false;
    *bytes = slice_from(*bytes, n);
    return true;
}

/* HealthCheckResponse {ServingStatus status = 1;}; false: it is malformed. */
static bool
read_reply(struct slice reply, uint64_t *status)
{
    uint32_t n = 0;

    *status = 0;
    for (size_t i = 1; i < PREFIX && i < reply.n; i++)
        n = n << 8 | (uint8_t) reply.at[i];
    if (reply.n < PREFIX || reply.at[0] != 0 || n != reply.n - PREFIX)
        return false;
    reply = slice_from(reply, PREFIX);
    while (reply.n) {
        uint64_t key, value = 0;

        if (!take_varint(&reply, &key) || !take_value(&reply, key & 7, &value))
            return false;
        if (key == 1 << 3)
            *status = value;
    }
    return true;
}

static void
judge(struct asking *a)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    uint64_t status = 0;

    if (a->status != 200 && a->status != 0)
        probe_fail(a->answer, "status %u", a->status);
    else if (a->code != NGHTTP2_NO_ERROR && a->grpc_status == GRPC_MISSING)
        probe_fail(a->answer, "the server gave up: %s", nghttp2_http2_strerror(a->code));
    else if (a->grpc_status == GRPC_MISSING)
        probe_fail(a->answer, "the answer has no grpc-status");
    else if (a->grpc_status != 0)
        probe_fail(a->answer, "grpc-status %llu%s%s", (unsigned long long) a->grpc_status,
                   a->message[0] ? ": " : "", a->message);
    else if (!read_reply(slice_of(a->reply, a->reply_n), &status))
        probe_fail(a->answer, "malformed answer");
    else if (status == SERVING)
        probe_pass(a->answer);
    else
        probe_fail(a->answer, "the server says %s",
                   status < countof(names) ? names[status] : "something unknown");
}

/* ------------------------------------------------------------------ the conversation */

/* Everything that nghttp2 has to say. */
static bool
flush(struct asking *a, struct probe_answer *answer)
{
    const uint8_t *at;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(a->session, &at)) > 0)
        if (!probe_send(a->talk, slice_of((const char *) at, (size_t) n), answer))
            return false;
    if (n < 0)
        probe_fail_with(answer, "asking", ERR_NO_MEMORY);
    return n == 0;
}

static bool
hear(struct asking *a)
{
    struct text *got = &a->talk->got;
    enum err e = probe_receive(a->talk);
    ssize_t n;

    if (e != OK) {
        probe_fail_with(a->answer, a->status ? "in the middle of the answer" : "no answer", e);
        return false;
    }
    n = nghttp2_session_mem_recv(a->session, (const uint8_t *) got->at, got->n);
    got->n = 0;
    if (n < 0)
        probe_fail(a->answer, "malformed answer: %s", nghttp2_strerror((int) n));
    return n >= 0;
}

/* After a fault nghttp2 says goodbye and wants nothing more. */
static bool
may_go_on(struct asking *a)
{
    if (a->closed || nghttp2_session_want_read(a->session))
        return true;
    probe_fail(a->answer, "the server does not speak HTTP/2, or ended the connection");
    return false;
}

static void
converse(struct asking *a)
{
    bool good = true;

    while (good && !a->closed)
        good = flush(a, a->answer) && may_go_on(a) && hear(a);
    if (good)
        judge(a);
}

/* What fails now says nothing of the server. */
static void
say_goodbye(struct asking *a)
{
    struct probe_answer ignored;

    if (a->closed && nghttp2_session_terminate_session(a->session, NGHTTP2_NO_ERROR) == 0)
        (void) flush(a, &ignored);
}

static void
run_grpc(const struct health_config *config, const struct server *server, uint64_t deadline_us,
         struct probe_answer *answer)
{
    struct asking a = {.config = config, .answer = answer, .grpc_status = GRPC_MISSING};

    a.talk = probe_connect(config, server, deadline_us, RECEIVE_MAX, answer);
    if (!a.talk)
        return;
    if (open_session(&a) && submit(&a, server)) {
        converse(&a);
        say_goodbye(&a);
    } else {
        probe_fail_with(answer, "asking", ERR_NO_MEMORY);
    }
    nghttp2_session_del(a.session);
    probe_close(a.talk, a.closed);
}

const struct probe_kind probe_grpc = {
    .name = "grpc",
    .takes = PROBE_PORT | PROBE_TLS | PROBE_HOST | PROBE_SERVICE,
    .rise = 2,
    .fall = 3,
    .http = UPSTREAM_HTTP2,
    .check = check_grpc,
    .run = run_grpc,
};
