/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of responses and trailers: servers are trusted no more than clients. */
#include "base/test.h"
#include "http/h1.h"

#include <stdlib.h>

#define END "\r\n"

static const struct h1_limits wide = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100};

static _Alignas(16) char memory[65536];
static struct arena arena;
static struct h1_head head;
static struct fields trailers;
static size_t used;
static enum h1_fault fault;

static enum h1_result
parse_to(struct slice bytes, enum method request)
{
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    return h1_parse_response(bytes, &scanned, &wide, &arena, request, &head, &used, &fault);
}

static enum h1_result
drip_to(struct slice bytes, enum method request)
{
    enum h1_result result = H1_MORE;
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    for (size_t n = 1; n <= bytes.n && result == H1_MORE; n++) {
        char *copy = malloc(n);

        memcpy(copy, bytes.at, n);
        result = h1_parse_response(slice_of(copy, n), &scanned, &wide, &arena, request, &head,
                                   &used, &fault);
        free(copy);
    }
    return result;
}

#define REFUSED(bytes, want)                                                                      \
    do {                                                                                          \
        if (drip_to(SLICE(bytes), METHOD_GET) != H1_BAD || fault != (want) ||                     \
            parse_to(SLICE(bytes), METHOD_GET) != H1_BAD || fault != (want)) {                    \
            test_failed(__FILE__, __LINE__, "\"%s\": %s", #bytes, h1_fault_words(fault));         \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define ACCEPTED_TO(method, bytes)                                                                \
    do {                                                                                          \
        if (drip_to(SLICE(bytes), method) != H1_DONE ||                                           \
            parse_to(SLICE(bytes), method) != H1_DONE) {                                          \
            test_failed(__FILE__, __LINE__, "\"%s\": %s", #bytes, h1_fault_words(fault));         \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define ACCEPTED(bytes) ACCEPTED_TO(METHOD_GET, bytes)

TEST(a_usual_response)
{
    struct slice bytes = SLICE(
        "HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 12\r\n\r\nrest");

    EXPECT_EQ(parse_to(bytes, METHOD_GET), H1_DONE);
    EXPECT_EQ(used, bytes.n - 4);
    EXPECT_EQ(head.status, 404);
    EXPECT_STR(head.reason, "Not Found");
    EXPECT_EQ(head.minor, 1);
    EXPECT_EQ(head.framing, H1_LENGTH);
    EXPECT_EQ(head.length, 12);
    EXPECT(head.keep_alive);
    EXPECT_EQ(head.fields.n, 2);
}

TEST(reason_phrases)
{
    ACCEPTED("HTTP/1.1 200\r\nContent-Length: 0\r\n" END);
    EXPECT_STR(head.reason, "");
    ACCEPTED("HTTP/1.1 200 \r\nContent-Length: 0\r\n" END);
    EXPECT_STR(head.reason, "");
    ACCEPTED("HTTP/1.0 299 \xC3\xA9t\xC3\xA9 \t(x)\r\n" END);
    EXPECT_STR(head.reason, "\xC3\xA9t\xC3\xA9 \t(x)");
}

TEST(malformed_status_lines)
{
    REFUSED("HTTP/1.1\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1  200 OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 20 OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 2000 OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 2xx OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 099 OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 600 OK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 200\tOK\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 200 O\0K\r\n" END, H1_BAD_STATUS_LINE);
    REFUSED("HTTP/1.1 200 OK\n\n", H1_BAD_LINE_END);
    REFUSED("HTTP/1.1 200\n\n", H1_BAD_LINE_END);
    REFUSED("HTTP/1.1 200 OK\rX: y\r\n\r\n", H1_BAD_LINE_END);
    REFUSED("SSH-2.0-OpenSSH_9.2\r\n", H1_BAD_VERSION);
    REFUSED("\r\nHTTP/1.1 200 OK\r\n" END, H1_BAD_VERSION);
    REFUSED("HTTP/2.0 200 OK\r\n" END, H1_UNSUPPORTED_VERSION);
    REFUSED("HTTP/1.9 200 OK\r\n" END, H1_UNSUPPORTED_VERSION);
}

TEST(fields_are_as_strict_as_in_requests)
{
    REFUSED("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n" END, H1_OBS_FOLD);
    REFUSED("HTTP/1.1 200 OK\r\nX : a\r\n" END, H1_SPACE_BEFORE_COLON);
    REFUSED("HTTP/1.1 200 OK\r\nX: a\nY: b\r\n" END, H1_BAD_LINE_END);
    REFUSED("HTTP/1.1 200 OK\r\nX: \0\r\n" END, H1_BAD_FIELD_VALUE);
    REFUSED("HTTP/1.1 200 OK\r\nnonsense\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("HTTP/1.1 200 OK\r\nConnection: content-length\r\n" END, H1_BAD_CONNECTION);
}

TEST(framing_of_responses)
{
    ACCEPTED("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END);
    EXPECT_EQ(head.framing, H1_CHUNKED);
    EXPECT(head.keep_alive);
    ACCEPTED("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" END);
    EXPECT_EQ(head.framing, H1_LENGTH);
    EXPECT_EQ(head.length, 0);
    ACCEPTED("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" END);
    EXPECT_EQ(head.framing, H1_UNTIL_CLOSE);
    EXPECT(!head.keep_alive);
    ACCEPTED("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n" END);
    EXPECT(!head.keep_alive);
    ACCEPTED("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n" END);
    EXPECT(head.keep_alive);
    REFUSED("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" END,
            H1_LENGTH_AND_CODING);
    REFUSED("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END, H1_BAD_TRANSFER_CODING);
    REFUSED("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n" END,
            H1_UNKNOWN_TRANSFER_CODING);
    REFUSED("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n" END,
            H1_REPEATED_CONTENT_LENGTH);
    REFUSED("HTTP/1.1 200 OK\r\nContent-Length: 5a\r\n" END, H1_BAD_CONTENT_LENGTH);
}

TEST(some_responses_have_no_body_whatever_they_say)
{
    ACCEPTED("HTTP/1.1 100 Continue\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    ACCEPTED("HTTP/1.1 204 No Content\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    ACCEPTED("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT_EQ(head.length, 0);
    EXPECT(head.keep_alive);
    ACCEPTED_TO(METHOD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    EXPECT_STR(fields_value(&head.fields, FIELD_CONTENT_LENGTH), "77");
    ACCEPTED_TO(METHOD_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    ACCEPTED_TO(METHOD_HEAD, "HTTP/1.1 200 OK\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    ACCEPTED_TO(METHOD_CONNECT, "HTTP/1.1 200 OK\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    ACCEPTED_TO(METHOD_CONNECT, "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n" END);
    EXPECT_EQ(head.framing, H1_LENGTH);
    REFUSED("HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n" END, H1_BAD_CONTENT_LENGTH);
}

TEST(content_where_there_is_none_spoils_the_connection)
{
    ACCEPTED("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n" END);
    EXPECT(head.keep_alive);
    ACCEPTED("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(!head.keep_alive);
    ACCEPTED("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(!head.keep_alive);
}

TEST(switching_protocols)
{
    ACCEPTED(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" END);
    EXPECT_EQ(head.status, 101);
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT_STR(head.upgrade, "websocket");
}

TEST(the_limit_holds_for_responses)
{
    struct slice bytes = SLICE("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n");
    struct h1_limits limits = {.head_bytes = bytes.n, .fields = 10};
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(h1_parse_response(bytes, &scanned, &limits, &arena, METHOD_GET, &head, &used, &fault),
              H1_DONE);
    limits.head_bytes--;
    EXPECT_EQ(h1_parse_response(bytes, &scanned, &limits, &arena, METHOD_GET, &head, &used, &fault),
              H1_BAD);
    EXPECT_EQ(fault, H1_HEAD_TOO_LARGE);
    limits.head_bytes = 10;
    EXPECT_EQ(h1_parse_response(bytes, &scanned, &limits, &arena, METHOD_GET, &head, &used, &fault),
              H1_BAD);
    EXPECT_EQ(fault, H1_HEAD_TOO_LARGE);
}

/* ------------------------------------------------------------------ trailers */

static enum h1_result
parse_trailers(struct slice bytes)
{
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    return h1_parse_trailers(bytes, &scanned, &wide, &arena, &trailers, &used, &fault);
}

TEST(no_trailers)
{
    EXPECT_EQ(parse_trailers(SLICE("\r\nGET")), H1_DONE);
    EXPECT_EQ(used, 2);
    EXPECT_EQ(trailers.n, 0);
    EXPECT_EQ(parse_trailers(SLICE("\r")), H1_MORE);
    EXPECT_EQ(parse_trailers(SLICE("")), H1_MORE);
    EXPECT_EQ(parse_trailers(SLICE("\n")), H1_BAD);
    EXPECT_EQ(fault, H1_BAD_LINE_END);
}

TEST(some_trailers)
{
    struct slice bytes = SLICE("grpc-status: 0\r\nETag: \"x\"\r\nDigest: y\r\n\r\n");
    size_t scanned = 0;

    EXPECT_EQ(parse_trailers(bytes), H1_DONE);
    EXPECT_EQ(used, bytes.n);
    EXPECT_EQ(trailers.n, 3);
    EXPECT_STR(fields_value(&trailers, FIELD_ETAG), "\"x\"");
    arena_init(&arena, memory, sizeof(memory), 0);
    for (size_t n = 0; n < bytes.n; n++)
        EXPECT_EQ(h1_parse_trailers(slice_first(bytes, n), &scanned, &wide, &arena, &trailers,
                                    &used, &fault),
                  H1_MORE);
    EXPECT_EQ(h1_parse_trailers(bytes, &scanned, &wide, &arena, &trailers, &used, &fault), H1_DONE);
    EXPECT_EQ(trailers.n, 3);
    scanned = 0;
    for (size_t n = 0; n < 2; n++)
        EXPECT_EQ(h1_parse_trailers(slice_first(SLICE("\r\n"), n), &scanned, &wide, &arena,
                                    &trailers, &used, &fault),
                  H1_MORE);
    EXPECT_EQ(h1_parse_trailers(SLICE("\r\n"), &scanned, &wide, &arena, &trailers, &used, &fault),
              H1_DONE);
}

TEST(trailers_must_not_frame_route_or_authenticate)
{
    static const char *const bad[] = {
        "Content-Length: 5",   "Transfer-Encoding: chunked", "Host: a",       "Authorization: x",
        "Content-Encoding: x", "Content-Type: x",            "Set-Cookie: x", "Cookie: a=b",
        "Trailer: x",          "TE: x",                      "Connection: x", "X-Forwarded-For: 1",
        "Expect: x",           "content-range: x",           "Upgrade: x",    "Forwarded: for=x",
    };
    char text[100];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t n = strlen(bad[i]);

        memcpy(text, bad[i], n);
        memcpy(text + n, "\r\n\r\n", 4);
        EXPECT_EQ(parse_trailers(slice_of(text, n + 4)), H1_BAD);
        EXPECT_EQ(fault, H1_BAD_TRAILER);
    }
}

static enum h1_result
parse_response_trailers(struct slice bytes)
{
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    return h1_parse_response_trailers(bytes, &scanned, &wide, &arena, &trailers, &used, &fault);
}

TEST(a_response_ends_well_without_what_must_not_trail)
{
    struct slice bytes = SLICE("Set-Cookie: a\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\nHTTP");

    EXPECT_EQ(parse_response_trailers(bytes), H1_DONE);
    EXPECT_EQ(used, bytes.n - 4);
    EXPECT_EQ(trailers.n, 1);
    EXPECT_STR(trailers.at[0].name, "X-Sum");
    EXPECT(!fields_has(&trailers, FIELD_CONTENT_LENGTH));
    EXPECT_EQ(parse_response_trailers(slice_first(bytes, bytes.n - 5)), H1_MORE);
    EXPECT_EQ(parse_response_trailers(SLICE("Content-Length : 5\r\n\r\n")), H1_BAD);
    EXPECT_EQ(fault, H1_SPACE_BEFORE_COLON);
}

TEST(trailers_are_as_strict_and_as_limited_as_heads)
{
    struct h1_limits limits = {.head_bytes = 20, .fields = 2};
    size_t scanned = 0;

    EXPECT_EQ(parse_trailers(SLICE("X : y\r\n\r\n")), H1_BAD);
    EXPECT_EQ(fault, H1_SPACE_BEFORE_COLON);
    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(h1_parse_trailers(SLICE("A: b\r\nC: d\r\nE: f\r\n\r\n"), &scanned, &limits, &arena,
                                &trailers, &used, &fault),
              H1_BAD);
    EXPECT_EQ(fault, H1_TOO_MANY_FIELDS);
    EXPECT_EQ(h1_parse_trailers(SLICE("A: bcdefghijklmnopqrstuvwxyz\r\n\r\n"), &scanned, &limits,
                                &arena, &trailers, &used, &fault),
              H1_BAD);
    EXPECT_EQ(fault, H1_HEAD_TOO_LARGE);
}
