/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests: what is understood, what is refused, and that the pieces do not matter. */
#include "base/test.h"
#include "base/text.h"
#include "http/h1.h"

#include <stdlib.h>

#define HOST "Host: a\r\n"
#define END "\r\n"

static const struct h1_limits wide = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100};

static _Alignas(16) char memory[65536];
static struct arena arena;
static struct h1_head head;
static size_t used;
static enum h1_fault fault;

static enum h1_result
parse_with(struct slice bytes, const struct h1_limits *limits)
{
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    return h1_parse_request(bytes, &scanned, limits, &arena, &head, &used, &fault);
}

static enum h1_result
parse(struct slice bytes)
{
    return parse_with(bytes, &wide);
}

/* The bytes in memory of their own, one more each time: AddressSanitizer sees reads past the end,
 * and the verdict must come at some point and be the same. */
static enum h1_result
drip_with(struct slice bytes, const struct h1_limits *limits)
{
    enum h1_result result = H1_MORE;
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    for (size_t n = 1; n <= bytes.n && result == H1_MORE; n++) {
        char *copy = malloc(n);

        memcpy(copy, bytes.at, n);
        result = h1_parse_request(slice_of(copy, n), &scanned, limits, &arena, &head, &used,
                                  &fault);
        free(copy);
    }
    return result;
}

static bool
is_refused_with(struct slice bytes, const struct h1_limits *limits, enum h1_fault want)
{
    if (parse_with(bytes, limits) != H1_BAD || fault != want)
        return false;
    return drip_with(bytes, limits) == H1_BAD && fault == want;
}

#define REFUSED(bytes, want)                                                                      \
    do {                                                                                          \
        if (!is_refused_with(SLICE(bytes), &wide, want)) {                                        \
            test_failed(__FILE__, __LINE__, "\"%s\": %s", #bytes, h1_fault_words(fault));         \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define ACCEPTED(bytes)                                                                           \
    do {                                                                                          \
        if (drip_with(SLICE(bytes), &wide) != H1_DONE || parse(SLICE(bytes)) != H1_DONE) {        \
            test_failed(__FILE__, __LINE__, "\"%s\": %s", #bytes, h1_fault_words(fault));         \
            return;                                                                               \
        }                                                                                         \
    } while (0)

TEST(a_usual_request)
{
    struct slice bytes = SLICE("GET /index.html?x=1 HTTP/1.1\r\nHost: www.example.com\r\n"
                               "User-Agent: \t a b \t \r\nEmpty:\r\nX-Y:z\r\n\r\nrest");

    EXPECT_EQ(parse(bytes), H1_DONE);
    EXPECT_EQ(used, bytes.n - 4);
    EXPECT_EQ(head.method, METHOD_GET);
    EXPECT_STR(head.method_token, "GET");
    EXPECT_STR(head.target, "/index.html?x=1");
    EXPECT_STR(head.host, "www.example.com");
    EXPECT_EQ(head.minor, 1);
    EXPECT_EQ(head.fields.n, 4);
    EXPECT_STR(head.fields.at[1].name, "User-Agent");
    EXPECT_STR(head.fields.at[1].value, "a b");
    EXPECT_STR(head.fields.at[2].value, "");
    EXPECT_STR(head.fields.at[3].name, "X-Y");
    EXPECT_STR(head.fields.at[3].value, "z");
    EXPECT_EQ(head.framing, H1_NO_BODY);
    EXPECT(head.keep_alive);
    EXPECT(!head.expect_continue);
    EXPECT(!slice_is_present(head.upgrade));
}

TEST(slices_point_into_the_bytes)
{
    struct slice bytes = SLICE("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");

    EXPECT_EQ(parse(bytes), H1_DONE);
    EXPECT(head.target.at == bytes.at + 4);
    EXPECT(head.host.at == bytes.at + 23);
}

TEST(a_drip_fed_request_is_the_same)
{
    struct slice bytes = SLICE(
        "\r\nPOST /a%20b HTTP/1.1\r\nHost: example.com:8080\r\n"
        "Content-Length: 42\r\nX-Long: 0123456789012345678901234567890123456789"
        "\r\n\r\n");
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    for (size_t n = 0; n < bytes.n; n++) {
        EXPECT_EQ(h1_parse_request(slice_first(bytes, n), &scanned, &wide, &arena, &head, &used,
                                   &fault),
                  H1_MORE);
        EXPECT_EQ(scanned, n);
    }
    EXPECT_EQ(h1_parse_request(bytes, &scanned, &wide, &arena, &head, &used, &fault), H1_DONE);
    EXPECT_EQ(used, bytes.n);
    EXPECT_EQ(head.length, 42);
    EXPECT_STR(head.host, "example.com:8080");
}

/* Memory tells how often it was parsed, and not time, which would fail on a busy machine. */
TEST(a_drip_fed_head_is_not_parsed_at_every_byte)
{
    static char bytes[40000];
    size_t scanned = 0, n = 0, line = SLICE("X: 0123456789\r\n").n;

    memcpy(bytes, "GET / HTTP/1.1\r\n", 16);
    for (n = 16; n + line <= sizeof(bytes); n += line)
        memcpy(bytes + n, "X: 0123456789\r\n", line);
    arena_init(&arena, memory, sizeof(memory), 0);
    for (size_t i = 1; i <= n; i++)
        EXPECT_EQ(h1_parse_request(slice_of(bytes, i), &scanned, &wide, &arena, &head, &used,
                                   &fault),
                  H1_MORE);
    EXPECT((size_t) (arena.at - memory) < 8192);
}

TEST(every_known_method_and_any_token)
{
    ACCEPTED("DELETE / HTTP/1.1\r\n" HOST END);
    EXPECT_EQ(head.method, METHOD_DELETE);
    ACCEPTED("M-SEARCH /x HTTP/1.1\r\n" HOST END);
    EXPECT_EQ(head.method, METHOD_OTHER);
    EXPECT_STR(head.method_token, "M-SEARCH");
    ACCEPTED("get / HTTP/1.1\r\n" HOST END);
    EXPECT_EQ(head.method, METHOD_OTHER);
}

TEST(malformed_methods)
{
    REFUSED(" GET / HTTP/1.1\r\n" HOST END, H1_BAD_METHOD);
    REFUSED("G(T / HTTP/1.1\r\n" HOST END, H1_BAD_METHOD);
    REFUSED("GET\t/ HTTP/1.1\r\n" HOST END, H1_BAD_METHOD);
    REFUSED("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", H1_BAD_METHOD);
    REFUSED("G\0T / HTTP/1.1\r\n" HOST END, H1_BAD_METHOD);
    REFUSED("\xC3\xA9 / HTTP/1.1\r\n" HOST END, H1_BAD_METHOD);
}

TEST(malformed_request_lines)
{
    REFUSED("GET\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("GET /\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("GET  / HTTP/1.1\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("GET / HTTP/1.1 \r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("GET / HTTP/1.1 HTTP/1.1\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("GET / HTTP/1.10\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("\r\n\r\nGET / HTTP/1.1\r\n" HOST END, H1_BAD_REQUEST_LINE);
    REFUSED("\nGET / HTTP/1.1\r\n" HOST END, H1_BAD_REQUEST_LINE);
}

TEST(versions)
{
    ACCEPTED("GET / HTTP/1.0\r\n" END);
    EXPECT_EQ(head.minor, 0);
    EXPECT(!head.keep_alive);
    REFUSED("GET / http/1.1\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / HTTP/1,1\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / HTTP/a.1\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / HTTP/1.x\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / HTTP/11\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / XTTP/1.1\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / \r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET /a b HTTP/1.1\r\n" HOST END, H1_BAD_VERSION);
    REFUSED("GET / HTTP/1.2\r\n" HOST END, H1_UNSUPPORTED_VERSION);
    REFUSED("GET / HTTP/2.0\r\n" HOST END, H1_UNSUPPORTED_VERSION);
    REFUSED("GET / HTTP/0.9\r\n" HOST END, H1_UNSUPPORTED_VERSION);
    REFUSED("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H1_UNSUPPORTED_VERSION);
}

TEST(the_four_forms_of_a_target)
{
    ACCEPTED("GET /a/b?c HTTP/1.1\r\n" HOST END);
    ACCEPTED("OPTIONS * HTTP/1.1\r\n" HOST END);
    EXPECT_STR(head.target, "*");
    ACCEPTED("GET http://EXAMPLE.com:80/x HTTP/1.1\r\nHost: other\r\n" END);
    EXPECT_STR(head.host, "EXAMPLE.com:80");
    ACCEPTED("GET HTTPS://[::1]?q HTTP/1.1\r\n" HOST END);
    EXPECT_STR(head.host, "[::1]");
    ACCEPTED("GET http://b HTTP/1.1\r\nHost:\r\n" END);
    EXPECT_STR(head.host, "b");
    ACCEPTED("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n" END);
    EXPECT_EQ(head.method, METHOD_CONNECT);
    EXPECT_STR(head.host, "example.com:443");
}

TEST(malformed_targets)
{
    REFUSED("GET * HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("OPTIONS ** HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET index.html HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET ftp://a/ HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET http:///x HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET http://u@a/x HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET http://a:99999/x HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET http:a/x HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET /a\tb HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET /a\0b HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("GET /a\x7F HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("CONNECT / HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("CONNECT example.com HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("CONNECT http://a:80 HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
    REFUSED("CONNECT a:0 HTTP/1.1\r\n" HOST END, H1_BAD_TARGET);
}

TEST(malformed_field_names)
{
    REFUSED("GET / HTTP/1.1\r\n: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHost\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHo(st: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHo\xFFst: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHo\0st: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHo st: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nA/B: a\r\n" END, H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\n\x0BHost: a\r\n" END, H1_BAD_FIELD_NAME);
}

TEST(space_before_the_colon)
{
    REFUSED("GET / HTTP/1.1\r\nHost : a\r\n" END, H1_SPACE_BEFORE_COLON);
    REFUSED("GET / HTTP/1.1\r\nHost\t : a\r\n" END, H1_SPACE_BEFORE_COLON);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n" END,
            H1_SPACE_BEFORE_COLON);
}

TEST(folded_lines)
{
    REFUSED("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n" END, H1_OBS_FOLD);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n" END, H1_OBS_FOLD);
    REFUSED("GET / HTTP/1.1\r\n Host: a\r\n" END, H1_OBS_FOLD);
    REFUSED("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n" END, H1_OBS_FOLD);
}

TEST(control_bytes_in_values)
{
    REFUSED("GET / HTTP/1.1\r\nHost: a\0b\r\n" END, H1_BAD_FIELD_VALUE);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X: \x01\r\n" END, H1_BAD_FIELD_VALUE);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X: a\x7F\r\n" END, H1_BAD_FIELD_VALUE);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0B" "chunked\r\n" END,
            H1_BAD_FIELD_VALUE);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "X: \xC3\xA9\t\x80\xFF\r\n" END);
}

TEST(lone_cr_and_lf_in_the_head)
{
    REFUSED("GET / HTTP/1.1\n" HOST END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r" HOST END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\nHost: a\n" END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\nHost: a\rX: b\r\n" END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\nHost\n: a\r\n" END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\nHost\r: a\r\n" END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\n" HOST "\n", H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\n" HOST "\rX: b\r\n" END, H1_BAD_LINE_END);
    REFUSED("GET / HTTP/1.1\r\n" HOST "X: a\r\r\n" END, H1_BAD_LINE_END);
    REFUSED("\rGET / HTTP/1.1\r\n" HOST END, H1_BAD_LINE_END);
}

TEST(hosts)
{
    ACCEPTED("GET / HTTP/1.1\r\nHost: \r\n" END);
    EXPECT(slice_is_present(head.host) && head.host.n == 0);
    ACCEPTED("GET / HTTP/1.0\r\n" END);
    EXPECT(!slice_is_present(head.host));
    ACCEPTED("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n" END);
    REFUSED("GET / HTTP/1.1\r\n" END, H1_NO_HOST);
    REFUSED("GET http://a/ HTTP/1.1\r\n" END, H1_NO_HOST);
    REFUSED("GET / HTTP/1.1\r\nX: y\r\n" END, H1_NO_HOST);
    REFUSED("GET / HTTP/1.1\r\n" HOST HOST END, H1_DUPLICATE_HOST);
    REFUSED("GET / HTTP/1.1\r\n" HOST "hOsT: b\r\n" END, H1_DUPLICATE_HOST);
    REFUSED("GET / HTTP/1.0\r\n" HOST HOST END, H1_DUPLICATE_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a b\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a,b\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a/b\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: u@a\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a:b\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a:80:80\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: [::1\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: ::1\r\n" END, H1_BAD_HOST);
    REFUSED("GET / HTTP/1.1\r\nHost: a%00b\r\n" END, H1_BAD_HOST);
    REFUSED("GET http://b/ HTTP/1.1\r\nHost: a b\r\n" END, H1_BAD_HOST);
}

TEST(content_lengths)
{
    ACCEPTED("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" END);
    EXPECT_EQ(head.framing, H1_LENGTH);
    EXPECT_EQ(head.length, 0);
    ACCEPTED("POST / HTTP/1.1\r\n" HOST "content-length:  9223372036854775807 \r\n" END);
    EXPECT_EQ(head.length, INT64_MAX);
    ACCEPTED("GET / HTTP/1.0\r\nContent-Length: 00012\r\n" END);
    EXPECT_EQ(head.length, 12);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5,6\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5.0\r\n" END, H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n" END,
            H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n" END,
            H1_BAD_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n" END,
            H1_REPEATED_CONTENT_LENGTH);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-length: 5\r\n" END,
            H1_REPEATED_CONTENT_LENGTH);
}

TEST(transfer_codings)
{
    ACCEPTED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END);
    EXPECT_EQ(head.framing, H1_CHUNKED);
    ACCEPTED("POST / HTTP/1.1\r\n" HOST "transfer-encoding:CHUNKED\t\r\n" END);
    EXPECT_EQ(head.framing, H1_CHUNKED);
    REFUSED("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n" END, H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: , chunked\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n" END,
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
            "Transfer-Encoding: chunked\r\n" END, H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"
            END, H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n" END,
            H1_UNKNOWN_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n" END,
            H1_UNKNOWN_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n" END,
            H1_UNKNOWN_TRANSFER_CODING);
}

TEST(length_and_coding_together)
{
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n" END
            "0\r\n\r\nG", H1_LENGTH_AND_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n" END,
            H1_LENGTH_AND_CODING);
}

TEST(what_keeps_a_connection_open)
{
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n" END);
    EXPECT(!head.keep_alive);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: x, CLOSE ,y\r\n" END);
    EXPECT(!head.keep_alive);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n" END);
    EXPECT(head.keep_alive);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: \"a\r\nConnection: close\r\n" END);
    EXPECT(!head.keep_alive);
    ACCEPTED("GET / HTTP/1.0\r\n" HOST "Connection: Keep-Alive\r\n" END);
    EXPECT(head.keep_alive);
    ACCEPTED("GET / HTTP/1.0\r\n" HOST "Connection: keep-alive, close\r\n" END);
    EXPECT(!head.keep_alive);
    ACCEPTED("GET / HTTP/1.0\r\n" HOST "Proxy-Connection: keep-alive\r\n" END);
    EXPECT(!head.keep_alive);
}

TEST(connection_that_names_what_is_not_its_own)
{
    REFUSED("POST / HTTP/1.1\r\n" HOST "Connection: Content-Length\r\nContent-Length: 5\r\n" END,
            H1_BAD_CONNECTION);
    REFUSED("GET / HTTP/1.1\r\n" HOST "Connection: close, hOST\r\n" END, H1_BAD_CONNECTION);
    REFUSED("GET / HTTP/1.1\r\n" HOST "Connection: transfer-encoding\r\n" END, H1_BAD_CONNECTION);
}

TEST(upgrades)
{
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
             END);
    EXPECT_STR(head.upgrade, "websocket");
    EXPECT(head.keep_alive);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n" END);
    EXPECT(!slice_is_present(head.upgrade));
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\n" END);
    EXPECT(!slice_is_present(head.upgrade));
    ACCEPTED("GET / HTTP/1.0\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n" END);
    EXPECT(!slice_is_present(head.upgrade));
}

TEST(expectations)
{
    ACCEPTED("PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 3\r\n" END);
    EXPECT(head.expect_continue);
    ACCEPTED("PUT / HTTP/1.1\r\n" HOST
             "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n" END);
    EXPECT(head.expect_continue);
    ACCEPTED("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n" END);
    EXPECT(!head.expect_continue);
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n" END);
    EXPECT(!head.expect_continue);
    ACCEPTED("PUT / HTTP/1.0\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n" END);
    EXPECT(!head.expect_continue);
    ACCEPTED("PUT / HTTP/1.1\r\n" HOST "Expect: tea\r\nContent-Length: 3\r\n" END);
    EXPECT(!head.expect_continue);
}

TEST(the_classics_of_smuggling)
{
    /* CL.TE, TE.CL and the disguises that made TE.TE of them. */
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n"
            "0\r\n\r\nSMUGGLED", H1_LENGTH_AND_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\n",
            H1_UNKNOWN_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding : chunked\r\n\r\n",
            H1_SPACE_BEFORE_COLON);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n Transfer-Encoding: chunked\r\n\r\n",
            H1_OBS_FOLD);
    REFUSED("POST / HTTP/1.1\r\n" HOST "X: X\nTransfer-Encoding: chunked\r\n\r\n", H1_BAD_LINE_END);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding\r\n: chunked\r\n\r\n", H1_BAD_FIELD_NAME);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            H1_BAD_TRANSFER_CODING);
    REFUSED("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\0Content-Length: 5\r\n\r\n",
            H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\n" HOST "Content-Length\0: 3\r\n\r\n", H1_BAD_FIELD_NAME);
    REFUSED("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", H1_DUPLICATE_HOST);
    REFUSED("GET / HTTP/1.1\nHost: a\n\nGET /admin HTTP/1.1\n", H1_BAD_LINE_END);
    /* An underscore is not a hyphen: passed on, and nobody frames by it. */
    ACCEPTED("GET / HTTP/1.1\r\n" HOST "Transfer_Encoding: chunked\r\n" END);
    EXPECT_EQ(head.framing, H1_NO_BODY);
}

TEST(the_limit_on_the_head)
{
    struct slice whole = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: 01234567\r\n\r\n");
    struct h1_limits limits = {.head_bytes = whole.n, .target_bytes = 100, .fields = 100};

    EXPECT_EQ(parse_with(whole, &limits), H1_DONE);
    EXPECT_EQ(drip_with(whole, &limits), H1_DONE);
    limits.head_bytes--;
    EXPECT(is_refused_with(whole, &limits, H1_HEAD_TOO_LARGE));
    EXPECT_EQ(parse_with(slice_first(whole, whole.n - 2), &limits), H1_MORE);
    limits.head_bytes = 20;
    EXPECT(is_refused_with(whole, &limits, H1_HEAD_TOO_LARGE));
    EXPECT_EQ(parse_with(slice_first(whole, 19), &limits), H1_MORE);
    EXPECT_EQ(parse_with(slice_first(whole, 20), &limits), H1_BAD);
    limits.head_bytes = 0;
    EXPECT_EQ(parse_with(slice_first(whole, 0), &limits), H1_BAD);
}

TEST(the_limit_on_the_target)
{
    struct slice whole = SLICE("GET /0123456789 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct h1_limits limits = {.head_bytes = 1000, .target_bytes = 11, .fields = 100};

    EXPECT_EQ(parse_with(whole, &limits), H1_DONE);
    limits.target_bytes = 10;
    EXPECT(is_refused_with(whole, &limits, H1_TARGET_TOO_LONG));
    EXPECT_EQ(parse_with(slice_first(whole, 15), &limits), H1_BAD);
    EXPECT_EQ(fault, H1_TARGET_TOO_LONG);
    EXPECT_EQ(parse_with(slice_first(whole, 14), &limits), H1_MORE);
    /* The request line alone fills the head. */
    limits = (struct h1_limits){.head_bytes = 12, .target_bytes = 1000, .fields = 100};
    EXPECT(is_refused_with(whole, &limits, H1_TARGET_TOO_LONG));
}

TEST(the_limit_on_the_number_of_fields)
{
    struct slice whole = SLICE("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n");
    struct h1_limits limits = {.head_bytes = 1000, .target_bytes = 100, .fields = 3};

    EXPECT_EQ(parse_with(whole, &limits), H1_DONE);
    limits.fields = 2;
    EXPECT(is_refused_with(whole, &limits, H1_TOO_MANY_FIELDS));
    limits.fields = 0;
    EXPECT(is_refused_with(whole, &limits, H1_TOO_MANY_FIELDS));
}

TEST(more_fields_than_the_first_room)
{
    static char bytes[4096];
    struct text t;

    text_fixed(&t, bytes, sizeof(bytes));
    text_literal(&t, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 99; i++)
        text_printf(&t, "X-Field-%d: %d\r\n", i, i);
    text_literal(&t, "\r\n");
    EXPECT(!t.full);
    EXPECT_EQ(parse(text_slice(&t)), H1_DONE);
    EXPECT_EQ(head.fields.n, 100);
    EXPECT_STR(head.fields.at[99].name, "X-Field-98");
    EXPECT_STR(fields_value(&head.fields, FIELD_HOST), "a");
}

TEST(no_memory_for_fields_is_a_fault_and_no_crash)
{
    struct slice bytes = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t scanned = 0;

    arena_init(&arena, NULL, 0, 0);
    EXPECT_EQ(h1_parse_request(bytes, &scanned, &wide, &arena, &head, &used, &fault), H1_BAD);
    EXPECT_EQ(fault, H1_HEAD_TOO_LARGE);
}

TEST(pipelined_requests_are_taken_one_by_one)
{
    struct slice bytes = SLICE(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");

    EXPECT_EQ(parse(bytes), H1_DONE);
    EXPECT_STR(head.target, "/1");
    bytes = slice_from(bytes, used);
    EXPECT_EQ(parse(bytes), H1_DONE);
    EXPECT_STR(head.target, "/2");
    EXPECT_EQ(used, bytes.n);
}

/* Of an incomplete head, what is there already is judged, and nothing else. */
TEST(a_fault_in_the_first_piece_is_seen_at_once)
{
    EXPECT_EQ(parse(SLICE("GET / HTTP/x")), H1_BAD);
    EXPECT_EQ(fault, H1_BAD_VERSION);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1x")), H1_BAD);
    EXPECT_EQ(fault, H1_BAD_VERSION);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1.")), H1_MORE);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1.1\r\nHost ")), H1_MORE);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1.1\r\nHost x")), H1_BAD);
    EXPECT_EQ(fault, H1_BAD_FIELD_NAME);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1.1\r\nHost: a\r")), H1_MORE);
    EXPECT_EQ(parse(SLICE("GET / HTTP/1.1\r\nHost: a\r\n\rx")), H1_BAD);
    EXPECT_EQ(fault, H1_BAD_LINE_END);
}

TEST(no_bytes_at_all)
{
    size_t scanned = 0;

    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(h1_parse_request((struct slice){NULL, 0}, &scanned, &wide, &arena, &head, &used,
                               &fault),
              H1_MORE);
    EXPECT_EQ(scanned, 0);
}

/* Two pieces, cut anywhere: the second call must find what the whole has. */
TEST(a_head_in_two_pieces_cut_anywhere)
{
    struct slice bytes = SLICE("GET /path HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n");

    for (size_t cut = 0; cut < bytes.n; cut++) {
        size_t scanned = 0;

        arena_init(&arena, memory, sizeof(memory), 0);
        EXPECT_EQ(h1_parse_request(slice_first(bytes, cut), &scanned, &wide, &arena, &head, &used,
                                   &fault),
                  H1_MORE);
        EXPECT_EQ(h1_parse_request(bytes, &scanned, &wide, &arena, &head, &used, &fault), H1_DONE);
        EXPECT_STR(head.target, "/path");
        EXPECT_EQ(head.fields.n, 2);
    }
}
