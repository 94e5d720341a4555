/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_head.h"

#include "base/check.h"
#include "base/test.h"

static struct arena arena;
static struct h2_head head;

static const struct h2_limits limits = {.list_bytes = 1000, .target_bytes = 100, .fields = 10};

static void
begin(void)
{
    arena_free(&arena);
    arena_init(&arena, NULL, 0, 1 << 20);
    h2_head_init(&head, &limits, &arena);
}

static void
add(const char *name, const char *value)
{
    h2_head_add(&head, slice_str(name), slice_str(value));
}

static void
begin_get(void)
{
    begin();
    add(":method", "GET");
    add(":scheme", "https");
    add(":authority", "example.com");
    add(":path", "/x?y");
}

/* What a GET with one more field is. */
static enum h2_fault
with(const char *name, const char *value)
{
    begin_get();
    add(name, value);
    return h2_head_end(&head, false);
}

TEST(a_request_is_read)
{
    begin_get();
    add("user-agent", "test");
    EXPECT_EQ(h2_head_end(&head, false), H2_OK);
    EXPECT_EQ(head.method, METHOD_GET);
    EXPECT_STR(head.path, "/x?y");
    EXPECT_STR(fields_value(&head.fields, FIELD_HOST), "example.com");
    EXPECT_STR(head.fields.at[0].name, "User-Agent");
}

TEST(content_that_was_announced_must_come)
{
    begin_get();
    add("content-length", "3");
    EXPECT_EQ(h2_head_end(&head, true), H2_BAD_CONTENT_LENGTH);
    begin_get();
    add("content-length", "0");
    EXPECT_EQ(h2_head_end(&head, true), H2_OK);
}

TEST(the_priority_is_kept)
{
    begin_get();
    EXPECT(!slice_is_present(head.priority));
    add("priority", "u=1");
    EXPECT_EQ(h2_head_end(&head, true), H2_OK);
    EXPECT_STR(head.priority, "u=1");
}

TEST(what_it_was_made_of_may_go)
{
    char name[] = "x-mine", value[] = "123";

    begin_get();
    add(name, value);
    memset(name, '!', sizeof(name) - 1);
    memset(value, '!', sizeof(value) - 1);
    EXPECT_EQ(h2_head_end(&head, false), H2_OK);
    EXPECT_STR(head.fields.at[0].name, "x-mine");
    EXPECT_STR(head.fields.at[0].value, "123");
}

TEST(fields_that_are_refused)
{
    static const struct {
        const char   *name, *value;
        enum h2_fault fault;
    } rows[] = {
        {"X-Capital", "1", H2_BAD_FIELD_NAME},
        {"", "1", H2_BAD_FIELD_NAME},
        {"a b", "1", H2_BAD_FIELD_NAME},
        {"a:b", "1", H2_BAD_FIELD_NAME},
        {"x", "a\nb", H2_BAD_FIELD_VALUE},
        {"x", "a\rb", H2_BAD_FIELD_VALUE},
        {"x", " a", H2_BAD_FIELD_VALUE},
        {"x", "a\t", H2_BAD_FIELD_VALUE},
        {"connection", "close", H2_CONNECTION_FIELD},
        {"keep-alive", "1", H2_CONNECTION_FIELD},
        {"proxy-connection", "close", H2_CONNECTION_FIELD},
        {"transfer-encoding", "chunked", H2_CONNECTION_FIELD},
        {"upgrade", "websocket", H2_CONNECTION_FIELD},
        {"te", "gzip", H2_BAD_TE},
        {"content-length", "-1", H2_BAD_CONTENT_LENGTH},
        {"content-length", "1, 1", H2_BAD_CONTENT_LENGTH},
        {"host", "other.com", H2_BAD_HOST},
        {"host", "a b", H2_BAD_HOST},
        {":path", "/again", H2_BAD_PSEUDO_FIELD},
        {":status", "200", H2_BAD_PSEUDO_FIELD},
        {":protocol", "websocket", H2_BAD_CONNECT},
    };

    for (size_t i = 0; i < countof(rows); i++)
        EXPECT_EQ(with(rows[i].name, rows[i].value), rows[i].fault);
}

TEST(fields_that_are_fine)
{
    EXPECT_EQ(with("te", "trailers"), H2_OK);
    EXPECT_EQ(with("host", "EXAMPLE.com"), H2_OK);
    EXPECT_EQ(with("x", ""), H2_OK);
    EXPECT_EQ(with("x", "a\tb \xc3\xa4"), H2_OK);
    EXPECT_EQ(with("content-length", "0"), H2_OK);
    EXPECT(head.has_length && head.length == 0);
}

TEST(content_length_stands_once)
{
    begin_get();
    add("content-length", "5");
    add("content-length", "5");
    EXPECT_EQ(h2_head_end(&head, false), H2_BAD_CONTENT_LENGTH);
}

TEST(a_pseudo_field_behind_a_field)
{
    begin();
    add(":method", "GET");
    add("x", "y");
    add(":path", "/");
    EXPECT_EQ(h2_head_end(&head, false), H2_BAD_PSEUDO_FIELD);
}

TEST(each_pseudo_field_is_needed)
{
    static const char *const all[][2] = {
        {":method", "GET"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/"}};

    for (size_t left_out = 0; left_out < countof(all); left_out++) {
        begin();
        for (size_t i = 0; i < countof(all); i++)
            if (i != left_out)
                add(all[i][0], all[i][1]);
        EXPECT_EQ(h2_head_end(&head, false), H2_MISSING_PSEUDO_FIELD);
    }
}

TEST(host_may_stand_for_authority)
{
    begin();
    add(":method", "GET");
    add(":scheme", "http");
    add(":path", "/");
    add("host", "h:80");
    EXPECT_EQ(h2_head_end(&head, false), H2_OK);
    EXPECT_STR(head.authority, "h:80");
}

static enum h2_fault
target(const char *method, const char *path)
{
    begin();
    add(":method", method);
    add(":scheme", "http");
    add(":authority", "h");
    add(":path", path);
    return h2_head_end(&head, false);
}

TEST(targets)
{
    EXPECT_EQ(target("OPTIONS", "*"), H2_OK);
    EXPECT_EQ(target("GET", "*"), H2_BAD_TARGET);
    EXPECT_EQ(target("GET", ""), H2_BAD_TARGET);
    EXPECT_EQ(target("GET", "x"), H2_BAD_TARGET);
    EXPECT_EQ(target("GET", "http://h/"), H2_BAD_TARGET);
    EXPECT_EQ(target("G T", "/"), H2_BAD_METHOD);
    EXPECT_EQ(target("BREW", "/"), H2_OK);
    EXPECT_EQ(head.method, METHOD_OTHER);
}

static enum h2_fault
connect_to(const char *authority, const char *scheme, const char *path, const char *protocol)
{
    begin();
    add(":method", "CONNECT");
    if (authority)
        add(":authority", authority);
    if (scheme)
        add(":scheme", scheme);
    if (path)
        add(":path", path);
    if (protocol)
        add(":protocol", protocol);
    return h2_head_end(&head, false);
}

TEST(connect_plain_and_extended)
{
    EXPECT_EQ(connect_to("h:1", NULL, NULL, NULL), H2_OK);
    EXPECT_EQ(connect_to("h", NULL, NULL, NULL), H2_BAD_AUTHORITY);
    EXPECT_EQ(connect_to(NULL, NULL, NULL, NULL), H2_MISSING_PSEUDO_FIELD);
    EXPECT_EQ(connect_to("h:1", "http", "/", NULL), H2_BAD_CONNECT);
    EXPECT_EQ(connect_to("h", "http", "/", "websocket"), H2_OK);
    EXPECT_EQ(connect_to("h", NULL, NULL, "websocket"), H2_BAD_CONNECT);
    EXPECT_EQ(connect_to("h", "http", "/", "connect-udp"), H2_UNKNOWN_PROTOCOL);
    EXPECT_EQ(h2_fault_status(H2_UNKNOWN_PROTOCOL), 501);
}

TEST(crumbs_of_cookies_are_joined_where_the_first_was)
{
    begin_get();
    add("a", "1");
    add("cookie", "x=1");
    add("b", "2");
    add("cookie", "y=2");
    add("cookie", "z=3");
    EXPECT_EQ(h2_head_end(&head, false), H2_OK);
    EXPECT_EQ(head.fields.n, 4);
    EXPECT_STR(head.fields.at[1].value, "x=1; y=2; z=3");
    EXPECT_STR(head.fields.at[2].name, "b");
    EXPECT_STR(head.fields.at[3].name, "Host");
}

TEST(limits_have_an_answer)
{
    char large[1001];

    memset(large, 'x', sizeof(large) - 1);
    large[1000] = '\0';
    EXPECT_EQ(with("x", large), H2_HEAD_TOO_LARGE);
    EXPECT_EQ(h2_fault_status(H2_HEAD_TOO_LARGE), 431);
    large[0] = '/';
    large[101] = '\0';
    EXPECT_EQ(target("GET", large), H2_TARGET_TOO_LONG);
    EXPECT_EQ(h2_fault_status(H2_TARGET_TOO_LONG), 414);
    begin_get();
    for (int i = 0; i < 10; i++)
        add("x", "y");
    EXPECT_EQ(h2_head_end(&head, false), H2_TOO_MANY_FIELDS);
}

TEST(the_first_fault_stays_and_the_size_is_counted_on)
{
    begin_get();
    add("X", "1");
    add("connection", "1");
    EXPECT_EQ(head.fault, H2_BAD_FIELD_NAME);
    EXPECT_EQ(head.list_bytes, 6 * 32 + 7 + 3 + 7 + 5 + 10 + 11 + 5 + 4 + 2 + 11);
}

TEST(trailers)
{
    struct fields trailers;

    begin();
    fields_init(&trailers, &arena, 0, 2);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("grpc-status"), SLICE("0")), H2_OK);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE(":path"), SLICE("/")), H2_BAD_FIELD_NAME);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("X-Y"), SLICE("1")), H2_BAD_FIELD_NAME);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("x"), SLICE("\n")), H2_BAD_FIELD_VALUE);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("content-length"), SLICE("1")), H2_BAD_TRAILER);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("host"), SLICE("h")), H2_BAD_TRAILER);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("x"), SLICE("1")), H2_OK);
    EXPECT_EQ(h2_trailer_add(&trailers, SLICE("y"), SLICE("1")), H2_TOO_MANY_FIELDS);
    EXPECT_EQ(trailers.n, 2);
}
