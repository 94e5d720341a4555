/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "exchange/answer.h"
#include "exchange/testing.h"

#define MODIFIED "Fri, 20 Nov 2026 21:00:00 GMT"

/* A representation in memory, which counts what is done with it. */
struct memory {
    struct representation base;
    struct slice          bytes;
    unsigned              opened, released;
    bool                  refuses; /* open() fails */
    bool                  lasting; /* as its sources say */
    uint64_t              missing; /* bytes that its sources leave out at the end */
};

static struct memory    m;
static struct exchange *x;

static struct body *
memory_open(struct representation *r, struct exchange *of, uint64_t offset, uint64_t length)
{
    struct body *b;

    CHECK(r == &m.base && offset + length <= m.bytes.n && length > 0);
    m.opened++;
    if (m.refuses)
        return NULL;
    b = body_from_slice(&of->arena, slice_of(m.bytes.at + offset, length - m.missing));
    b->lasting = m.lasting;
    return b;
}

static void
memory_release(struct representation *r)
{
    CHECK(r == &m.base);
    m.released++;
}

static const struct representation_ops memory_ops = {memory_open, memory_release};

static void
begin_with(struct slice bytes)
{
    m = (struct memory){.bytes = bytes};
    m.base = (struct representation){
        .ops = &memory_ops,
        .length = bytes.n,
        .validators = {SLICE("\"one\""), 1795208400, true, true},
    };
}

static void
answer(unsigned status)
{
    testing_answer(x, status, "", "");
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE, SLICE("text/plain"));
    fields_add(&x->response.fields, FIELD_ETAG, SLICE("\"one\""));
    fields_add(&x->response.fields, FIELD_LAST_MODIFIED, SLICE(MODIFIED));
    exchange_answer(x, &m.base);
}

/* A request with one field, answered from "0123456789". */
static void
asked(const char *method, const char *name, const char *value)
{
    begin_with(SLICE("0123456789"));
    x = testing_exchange(method, "http://example.com/", name, value, NULL);
    answer(200);
}

/* True when the representation was released exactly once. */
static bool
done(void)
{
    testing_exchange_free(x);
    return m.released == 1;
}

TEST(the_whole)
{
    asked("GET", "Accept", "*/*");
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(x->response.body->length, 10);
    EXPECT_STR(testing_field(x, "Accept-Ranges"), "bytes");
    EXPECT_STR(testing_pull(x, x->response.body), "0123456789");
    EXPECT_EQ(m.released, 0);
    EXPECT(done());
}

TEST(only_conditions_and_ranges_need_validators)
{
    asked("GET", "Accept", "*/*");
    EXPECT(!exchange_answer_compares(x));
    EXPECT(done());
    asked("GET", "If-None-Match", "\"two\"");
    EXPECT(exchange_answer_compares(x));
    EXPECT(done());
    asked("GET", "Range", "bytes=1-2");
    EXPECT(exchange_answer_compares(x));
    EXPECT(done());
}

/* Who sends may gather its chunks only if the source says that they stay. */
TEST(a_body_lasts_as_its_source_does)
{
    begin_with(SLICE("0123456789"));
    m.lasting = true;
    x = testing_exchange("GET", "http://example.com/", NULL, NULL, NULL);
    answer(200);
    EXPECT(x->response.body->lasting);
    EXPECT(done());
    asked("GET", "Accept", "*/*");
    EXPECT(!x->response.body->lasting);
    EXPECT(done());
}

TEST(an_end_that_is_known_is_said)
{
    struct slice chunk;

    asked("GET", "Accept", "*/*");
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT(x->response.body->ended);
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_END);
    EXPECT(done());
}

TEST(head_has_the_length_and_opens_nothing)
{
    asked("HEAD", "Range", "bytes=0-1");
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->response.body == NULL);
    EXPECT_STR(testing_field(x, "Content-Length"), "10");
    EXPECT_EQ(m.opened, 0);
    EXPECT(done());
}

TEST(nothing_is_a_representation_too)
{
    begin_with(SLICE(""));
    x = testing_exchange("GET", "http://example.com/", "Range", "bytes=-5", NULL);
    answer(200);
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->response.body == NULL);
    EXPECT(done());
}

TEST(one_part)
{
    asked("GET", "Range", "bytes=2-4");
    EXPECT_EQ(x->response.status, 206);
    EXPECT_STR(testing_field(x, "Content-Range"), "bytes 2-4/10");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    EXPECT_EQ(x->response.body->length, 3);
    EXPECT_STR(testing_pull(x, x->response.body), "234");
    EXPECT(done());
}

TEST(several_parts)
{
    static char bytes[1000];
    struct slice type, boundary, body, want;

    memset(bytes, '.', sizeof(bytes));
    memcpy(bytes, "abc", 3);
    memcpy(bytes + 997, "xyz", 3);
    begin_with(slice_of(bytes, sizeof(bytes)));
    x = testing_exchange("GET", "http://example.com/", "Range", "bytes=0-2,500-501,-3", NULL);
    answer(200);
    EXPECT_EQ(x->response.status, 206);
    EXPECT(!slice_is_present(testing_field(x, "Content-Range")));
    type = testing_field(x, "Content-Type");
    EXPECT(slice_starts(type, SLICE("multipart/byteranges; boundary=")));
    boundary = slice_from(type, sizeof("multipart/byteranges; boundary=") - 1);
    EXPECT_EQ(boundary.n, 32);
    body = testing_pull(x, x->response.body);
    EXPECT_EQ(x->response.body->length, body.n);
    want = arena_printf(&x->arena,
                        "--%1$.*2$s\r\nContent-Type: text/plain\r\n"
                        "Content-Range: bytes 0-2/1000\r\n\r\nabc\r\n"
                        "--%1$.*2$s\r\nContent-Type: text/plain\r\n"
                        "Content-Range: bytes 500-501/1000\r\n\r\n..\r\n"
                        "--%1$.*2$s\r\nContent-Type: text/plain\r\n"
                        "Content-Range: bytes 997-999/1000\r\n\r\nxyz\r\n--%1$.*2$s--\r\n",
                        boundary.at, (int) boundary.n);
    EXPECT(slice_eq(body, want));
    EXPECT_EQ(m.opened, 3);
    EXPECT(done());
}

TEST(a_part_beyond_the_end)
{
    asked("GET", "Range", "bytes=10-");
    EXPECT_EQ(x->response.status, 416);
    EXPECT_STR(testing_field(x, "Content-Range"), "bytes */10");
    EXPECT_EQ(x->fault.reason, REASON_RANGE);
    EXPECT_EQ(m.opened, 0);
    EXPECT(done());
}

TEST(what_is_known_is_not_sent_again)
{
    asked("GET", "If-None-Match", "\"one\"");
    EXPECT_EQ(x->response.status, 304);
    EXPECT(x->response.body == NULL);
    EXPECT_STR(testing_field(x, "ETag"), "\"one\"");
    EXPECT(!slice_is_present(testing_field(x, "Content-Type")));
    EXPECT(done());
    asked("HEAD", "If-Modified-Since", MODIFIED);
    EXPECT_EQ(x->response.status, 304);
    EXPECT(done());
}

TEST(a_condition_that_fails)
{
    asked("GET", "If-Match", "\"two\"");
    EXPECT_EQ(x->response.status, 412);
    EXPECT_EQ(x->fault.reason, REASON_PRECONDITION);
    EXPECT(done());
}

TEST(a_range_of_another_version_is_the_whole)
{
    begin_with(SLICE("0123456789"));
    x = testing_exchange("GET", "http://example.com/", "Range", "bytes=2-4", "If-Range",
                         "\"two\"", NULL);
    answer(200);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_pull(x, x->response.body), "0123456789");
    EXPECT(done());
}

TEST(other_statuses_have_no_ranges_and_conditions)
{
    begin_with(SLICE("0123456789"));
    x = testing_exchange("GET", "http://example.com/", "Range", "bytes=2-4", "If-None-Match",
                         "\"one\"", NULL);
    answer(404);
    EXPECT_EQ(x->response.status, 404);
    EXPECT(!slice_is_present(testing_field(x, "Accept-Ranges")));
    EXPECT_STR(testing_pull(x, x->response.body), "0123456789");
    EXPECT(done());
}

TEST(what_cannot_be_opened_is_refused)
{
    begin_with(SLICE("0123456789"));
    m.refuses = true;
    x = testing_exchange("GET", "http://example.com/", NULL);
    answer(200);
    EXPECT_EQ(x->response.status, 503);
    EXPECT_EQ(x->fault.reason, REASON_OUT_OF_MEMORY);
    EXPECT(done());
}

TEST(what_ends_early_breaks_off)
{
    struct slice chunk;

    begin_with(SLICE("0123456789"));
    m.missing = 1;
    x = testing_exchange("GET", "http://example.com/", NULL);
    answer(200);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT_EQ(chunk.n, 9);
    EXPECT(!x->response.body->ended);
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_IO);
    EXPECT_EQ(x->fault.reason, REASON_INTERNAL);
    EXPECT(done());
}

TEST(a_client_that_leaves_between_parts_leaks_nothing)
{
    struct slice chunk;
    static char bytes[1000];

    begin_with(slice_of(bytes, sizeof(bytes)));
    x = testing_exchange("GET", "http://example.com/", "Range", "bytes=0-2,500-501", NULL);
    answer(200);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT(done());
}
