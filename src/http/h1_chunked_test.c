/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/test.h"
#include "http/h1.h"

#include <stdlib.h>

static char content[1 << 20];
static size_t content_n;
static enum h1_fault fault;

/* Decodes bytes in pieces of `piece` bytes (0: of random sizes), each in memory of its own. *left:
 * what was not consumed. */
static enum h1_result
decode(struct slice bytes, size_t piece, struct dice *d, size_t *left)
{
    struct h1_chunked c = H1_CHUNKED_START;
    enum h1_result result = H1_MORE;

    content_n = 0;
    while (bytes.n && result == H1_MORE) {
        size_t n = piece ? piece : 1 + dice_next(d) % 300, at = 0, used;
        struct slice data;
        char *copy;

        n = n < bytes.n ? n : bytes.n;
        copy = malloc(n);
        memcpy(copy, bytes.at, n);
        do {
            result = h1_chunked_next(&c, slice_of(copy + at, n - at), &data, &used, &fault);
            memcpy(content + content_n, data.at, data.n);
            content_n += data.n;
            at += used;
        } while (result == H1_MORE && at < n);
        free(copy);
        bytes = slice_from(bytes, at);
    }
    *left = bytes.n;
    return result;
}

#define REFUSED(bytes, want)                                                                      \
    do {                                                                                          \
        size_t left_;                                                                             \
        if (decode(SLICE(bytes), 1, NULL, &left_) != H1_BAD || fault != (want) ||                 \
            decode(SLICE(bytes), 9999, NULL, &left_) != H1_BAD || fault != (want)) {              \
            test_failed(__FILE__, __LINE__, "\"%s\": %s", #bytes, h1_fault_words(fault));         \
            return;                                                                               \
        }                                                                                         \
    } while (0)

TEST(chunks_become_content)
{
    struct slice bytes = SLICE(
        "4\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\n\r\nGET");
    size_t left;

    for (size_t piece = 1; piece < bytes.n + 2; piece++) {
        EXPECT_EQ(decode(bytes, piece, NULL, &left), H1_DONE);
        EXPECT_STR(slice_of(content, content_n), "Wikipedia in \r\n\r\nchunks.");
        EXPECT_EQ(left, 5);
    }
}

TEST(each_call_gives_one_run)
{
    struct h1_chunked c = H1_CHUNKED_START;
    struct slice bytes = SLICE("3\r\nabc\r\n2\r\nde\r\n0\r\n"), data;
    size_t used;

    EXPECT_EQ(h1_chunked_next(&c, bytes, &data, &used, &fault), H1_MORE);
    EXPECT_STR(data, "abc");
    EXPECT(data.at == bytes.at + 3);
    EXPECT_EQ(used, 6);
    bytes = slice_from(bytes, used);
    EXPECT_EQ(h1_chunked_next(&c, bytes, &data, &used, &fault), H1_MORE);
    EXPECT_STR(data, "de");
    bytes = slice_from(bytes, used);
    EXPECT_EQ(h1_chunked_next(&c, bytes, &data, &used, &fault), H1_DONE);
    EXPECT_EQ(data.n, 0);
    EXPECT_EQ(used, bytes.n);
    EXPECT_EQ(h1_chunked_next(&c, SLICE("more"), &data, &used, &fault), H1_DONE);
    EXPECT_EQ(used, 0);
    EXPECT_EQ(h1_chunked_next(&c, (struct slice){NULL, 0}, &data, &used, &fault), H1_DONE);
}

TEST(sizes_in_both_cases_and_with_leading_zeros)
{
    size_t left;

    EXPECT_EQ(decode(SLICE("0000000A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n"), 3, NULL, &left),
              H1_DONE);
    EXPECT_EQ(content_n, 20);
}

TEST(extensions_are_skipped)
{
    size_t left;

    EXPECT_EQ(
        decode(SLICE("3;a=b;c=\"d e\"\r\nabc\r\n2 \t;\tx\r\nde\r\n0;last\r\n"), 1, NULL, &left),
        H1_DONE);
    EXPECT_STR(slice_of(content, content_n), "abcde");
}

TEST(malformed_sizes)
{
    REFUSED("\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED(" 3\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("+3\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("-3\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("0x3\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("g\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED(";a\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("3 \r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("3 x\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("3\0\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("3,\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("1_0\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("8000000000000000\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("FFFFFFFFFFFFFFFF\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("10000000000000000\r\n", H1_BAD_CHUNK_SIZE);
    REFUSED("00000000000000001\r\n", H1_BAD_CHUNK_SIZE);
}

TEST(lone_cr_and_lf_in_chunk_lines)
{
    REFUSED("3\nabc\r\n", H1_BAD_LINE_END);
    REFUSED("3\rabc\r\n", H1_BAD_LINE_END);
    REFUSED("3\r\r\nabc\r\n", H1_BAD_LINE_END);
    REFUSED("3;a\nabc\r\n", H1_BAD_LINE_END);
    REFUSED("3;a\rb\r\nabc\r\n", H1_BAD_LINE_END);
    REFUSED("3 \nabc\r\n", H1_BAD_LINE_END);
    REFUSED("0\n\n", H1_BAD_LINE_END);
    REFUSED("3;a\0b\r\nabc\r\n", H1_BAD_CHUNK_SIZE);
}

TEST(content_ends_with_crlf)
{
    REFUSED("3\r\nabcd\r\n", H1_BAD_CHUNK_END);
    REFUSED("3\r\nabc\n", H1_BAD_CHUNK_END);
    REFUSED("3\r\nabc\r\r\n", H1_BAD_CHUNK_END);
    REFUSED("3\r\nabc0\r\n\r\n", H1_BAD_CHUNK_END);
}

TEST(the_largest_chunk_is_waited_for)
{
    struct h1_chunked c = H1_CHUNKED_START;
    struct slice data;
    size_t used;

    EXPECT_EQ(h1_chunked_next(&c, SLICE("7FFFFFFFFFFFFFFF\r\nabc"), &data, &used, &fault), H1_MORE);
    EXPECT_STR(data, "abc");
    EXPECT(c.left == INT64_MAX - 3);
}

TEST(extensions_are_limited_over_the_whole_message)
{
    static char bytes[40000];
    size_t n = 0, left;

    /* 1000 chunks with 4 bytes of extension: 4000 are fine, 1100 chunks are not. */
    for (int i = 0; i < 1000; i++, n += 10)
        memcpy(bytes + n, "1;abc\r\nx\r\n", 10);
    EXPECT_EQ(decode(slice_of(bytes, n), 1000, NULL, &left), H1_MORE);
    for (int i = 0; i < 100; i++, n += 10)
        memcpy(bytes + n, "1;abc\r\nx\r\n", 10);
    EXPECT_EQ(decode(slice_of(bytes, n), 1000, NULL, &left), H1_BAD);
    EXPECT_EQ(fault, H1_CHUNK_EXTENSION_TOO_LONG);
    memset(bytes, ' ', sizeof(bytes));
    bytes[0] = '1';
    EXPECT_EQ(decode(slice_of(bytes, sizeof(bytes)), 1000, NULL, &left), H1_BAD);
    EXPECT_EQ(fault, H1_CHUNK_EXTENSION_TOO_LONG);
}

/* A long stream, cut at random places: what goes in comes out. */
TEST(a_long_stream_survives_random_cuts)
{
    enum { CHUNKS = 2000 };
    char *bytes = malloc(CHUNKS * 520), *want = malloc(CHUNKS * 500);
    size_t n = 0, want_n = 0, left;
    struct dice d;

    dice_init(&d, 7);
    for (int i = 0; i < CHUNKS; i++) {
        size_t size = 1 + dice_next(&d) % 499;

        n += h1_chunk_header(bytes + n, size);
        for (size_t j = 0; j < size; j++)
            want[want_n++] = bytes[n++] = (char) dice_next(&d);
        memcpy(bytes + n, "\r\n", 2);
        n += 2;
    }
    memcpy(bytes + n, "0\r\n\r\n", 5);
    n += 5;
    for (int round = 0; round < 10; round++) {
        EXPECT_EQ(decode(slice_of(bytes, n), 0, &d, &left), H1_DONE);
        EXPECT_EQ(content_n, want_n);
        EXPECT(memcmp(content, want, want_n) == 0);
    }
    free(bytes);
    free(want);
}
