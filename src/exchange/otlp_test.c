/* SPDX-License-Identifier: Apache-2.0 */
/* Traces as OTLP's JSON, byte by byte: what collectors read is fixed by others. */
#include "base/check.h"
#include "base/test.h"
#include "exchange/otlp.h"

static struct trace_event events[] = {
    {.at_us = 1000100, .what = "route", .detail = SLICE_INIT("shop: matches"),
     .where = SLICE_INIT("site.yaml:3:5")},
    {.at_us = 1000200, .took_us = 300, .what = "attempt", .is_span = true, .span = {9, 8, 7},
     .status = 200, .detail = SLICE_INIT("10.0.0.1:80 answered 200")},
};

static struct trace trace = {
    .id = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31,
           0x9c},
    .span = {1, 2, 3, 4, 5, 6, 7, 8},
    .parent = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31},
    .method = SLICE_INIT("GET"),
    .scheme = SLICE_INIT("https"),
    .target = SLICE_INIT("/a?b=\"1\""),
    .host = SLICE_INIT("example.com"),
    .client = SLICE_INIT("192.0.2.1"),
    .route = SLICE_INIT("shop"),
    .upstream = SLICE_INIT("app"),
    .server = SLICE_INIT("10.0.0.1:80"),
    .reason = SLICE_INIT("none"),
    .version = 20,
    .status = 200,
    .response_bytes = 5,
    .began_us = 1000000,
    .ended_us = 1000700,
    .began_wall_us = 1700000000000000,
    .events = events,
    .n = countof(events),
    .lost = 2,
};

static char memory[16384];

static struct slice
written(struct trace *t)
{
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    otlp_write(&t, 1, SLICE("front"), &out);
    CHECK(!out.full);
    return text_slice(&out);
}

TEST(a_trace_is_a_server_span_with_client_spans)
{
    EXPECT_STR(
        written(&trace),
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
        "{\"stringValue\":\"front\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"maitred\","
        "\"version\":\"" MAITRED_VERSION "\"},\"spans\":["
        "{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"0102030405060708\","
        "\"parentSpanId\":\"b7ad6b7169203331\",\"name\":\"GET shop\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000000700000\","
        "\"attributes\":["
        "{\"key\":\"http.request.method\",\"value\":{\"stringValue\":\"GET\"}},"
        "{\"key\":\"url.scheme\",\"value\":{\"stringValue\":\"https\"}},"
        "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/a\"}},"
        "{\"key\":\"url.query\",\"value\":{\"stringValue\":\"b=\\\"1\\\"\"}},"
        "{\"key\":\"server.address\",\"value\":{\"stringValue\":\"example.com\"}},"
        "{\"key\":\"client.address\",\"value\":{\"stringValue\":\"192.0.2.1\"}},"
        "{\"key\":\"network.protocol.version\",\"value\":{\"stringValue\":\"2\"}},"
        "{\"key\":\"http.route\",\"value\":{\"stringValue\":\"shop\"}},"
        "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}},"
        "{\"key\":\"http.request.body.size\",\"value\":{\"intValue\":\"0\"}},"
        "{\"key\":\"http.response.body.size\",\"value\":{\"intValue\":\"5\"}},"
        "{\"key\":\"maitred.upstream\",\"value\":{\"stringValue\":\"app\"}},"
        "{\"key\":\"maitred.server\",\"value\":{\"stringValue\":\"10.0.0.1:80\"}}],"
        "\"events\":[{\"timeUnixNano\":\"1700000000000100000\",\"name\":\"route\",\"attributes\":["
        "{\"key\":\"maitred.detail\",\"value\":{\"stringValue\":\"shop: matches\"}},"
        "{\"key\":\"maitred.where\",\"value\":{\"stringValue\":\"site.yaml:3:5\"}}]}],"
        "\"droppedEventsCount\":2,\"status\":{}},"
        "{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"0908070000000000\","
        "\"parentSpanId\":\"0102030405060708\",\"name\":\"GET\",\"kind\":3,"
        "\"startTimeUnixNano\":\"1700000000000200000\",\"endTimeUnixNano\":\"1700000000000500000\","
        "\"attributes\":[{\"key\":\"http.request.method\",\"value\":{\"stringValue\":\"GET\"}},"
        "{\"key\":\"maitred.detail\",\"value\":{\"stringValue\":\"10.0.0.1:80 answered 200\"}},"
        "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}}],\"status\":{}}"
        "]}]}]}");
}

TEST(errors_are_said_and_a_root_has_no_parent)
{
    struct trace failed = trace;
    struct slice text;

    memset(failed.parent, 0, sizeof(failed.parent));
    failed.status = 502;
    failed.reason = SLICE("connect_refused");
    events[1].status = 0;
    text = written(&failed);
    events[1].status = 200;
    EXPECT(slice_search(text, SLICE("\"spanId\":\"0102030405060708\",\"name\":\"GET shop\"")) !=
           SLICE_NOT_FOUND);
    EXPECT(slice_search(text, SLICE("\"name\":\"GET shop\",\"kind\":2,")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(text, SLICE("\"status\":{\"code\":2,\"message\":\"connect_refused\"}")) !=
           SLICE_NOT_FOUND);
    EXPECT(slice_search(text, SLICE("\"status\":{\"code\":2,\"message\":\"10.0.0.1:80")) !=
           SLICE_NOT_FOUND);
    EXPECT(slice_search(text, SLICE("{\"key\":\"maitred.reason\",\"value\":{\"stringValue\":"
                                    "\"connect_refused\"}}")) != SLICE_NOT_FOUND);
}

TEST(an_exchange_of_our_own_is_internal)
{
    struct trace child = trace;

    child.is_child = true;
    EXPECT(slice_search(written(&child), SLICE("\"name\":\"GET shop\",\"kind\":1,")) !=
           SLICE_NOT_FOUND);
}

TEST(what_the_client_sends_stays_inside_its_string)
{
    struct trace odd = trace;

    odd.host = slice_of("a\"\\\n\xff", 5);
    EXPECT(slice_search(written(&odd), SLICE("\"stringValue\":\"a\\\"\\\\\\n\\ufffd\"")) !=
           SLICE_NOT_FOUND);
}

TEST(nothing_is_an_empty_list)
{
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    otlp_write(NULL, 0, SLICE("x"), &out);
    EXPECT(slice_ends(text_slice(&out), SLICE("\"spans\":[]}]}]}")));
}
