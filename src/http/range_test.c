/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "http/range.h"

static struct range_set set;
static char             written[512];

static enum range_verdict
parsed(const char *value, uint64_t length)
{
    return range_parse(slice_str(value), length, &set);
}

/* The set as "0-99,200-299". */
static struct slice
parts(const char *value, uint64_t length)
{
    struct text out;

    text_fixed(&out, written, sizeof(written));
    if (parsed(value, length) != RANGE_PARTS)
        return SLICE("none");
    for (size_t i = 0; i < set.n; i++)
        text_printf(&out, "%s%llu-%llu", i ? "," : "", (unsigned long long) set.at[i].offset,
                    (unsigned long long) (set.at[i].offset + set.at[i].length - 1));
    return text_slice(&out);
}

TEST(one_range)
{
    EXPECT_STR(parts("bytes=0-499", 1000), "0-499");
    EXPECT_STR(parts("bytes=500-", 1000), "500-999");
    EXPECT_STR(parts("bytes=-200", 1000), "800-999");
    EXPECT_STR(parts("bytes=0-", 1000), "0-999");
    EXPECT_STR(parts("bytes=0-0", 1), "0-0");
    EXPECT_STR(parts("BYTES=0-0", 1), "0-0");
    EXPECT_STR(parts("bytes= 1-2 ,", 1000), "1-2");
}

TEST(a_range_ends_where_the_whole_does)
{
    EXPECT_STR(parts("bytes=900-5000", 1000), "900-999");
    EXPECT_STR(parts("bytes=-5000", 1000), "0-999");
    EXPECT_STR(parts("bytes=900-99999999999999999999999999", 1000), "900-999");
    EXPECT_STR(parts("bytes=-99999999999999999999999999", 1000), "0-999");
}

TEST(nothing_is_there_to_send)
{
    EXPECT_EQ(parsed("bytes=1000-", 1000), RANGE_UNSATISFIABLE);
    EXPECT_EQ(parsed("bytes=99999999999999999999999999-", 1000), RANGE_UNSATISFIABLE);
    EXPECT_EQ(parsed("bytes=-0", 1000), RANGE_UNSATISFIABLE);
    EXPECT_EQ(parsed("bytes=0-", 0), RANGE_UNSATISFIABLE);
    EXPECT_EQ(parsed("bytes=1000-1001,2000-", 1000), RANGE_UNSATISFIABLE);
    EXPECT_EQ(parsed("bytes=-5", 0), RANGE_WHOLE);
}

TEST(what_is_no_range_is_ignored)
{
    static const char *const bad[] = {
        "",           "bytes",       "bytes=",      "bytes=,",      "bytes=-",   "bytes=a-b",
        "bytes=1-a",  "bytes=5-4",   "bytes=--5",   "bytes=0-1-2",  "bytes:0-1", "lines=0-1",
        "bytes =0-1", "bytes=0-1;x", "bytes=+1-2",  "bytes=0x1-2",  "bytes=1",   "bytes=0-1,x",
        "0-1",        "bytes=0 -1",  "bytes=0-1 2", "bytes=\"0-1\"",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT_STR(parts(bad[i], 1000), "none");
}

TEST(several_ranges)
{
    EXPECT_STR(parts("bytes=0-9,500-509,-10", 1000), "0-9,500-509,990-999");
    EXPECT_STR(parts("bytes=0-9,5000-5009", 1000), "0-9");
    EXPECT_STR(parts("bytes=5000-,0-9", 1000), "0-9");
}

TEST(neighbours_are_joined)
{
    EXPECT_STR(parts("bytes=0-9,10-19", 1000), "0-19");
    EXPECT_STR(parts("bytes=0-9,100-199", 1000), "0-199");
    EXPECT_STR(parts("bytes=0-9,139-199", 1000), "0-9,139-199");
    EXPECT_STR(parts("bytes=0-99,50-149", 1000), "0-149");
    EXPECT_STR(parts("bytes=0-99,50-60", 1000), "0-99");
}

TEST(more_than_a_careful_server_answers)
{
    char many[4096];
    struct text out;

    EXPECT_EQ(parsed("bytes=500-599,0-99", 1000), RANGE_WHOLE);
    EXPECT_EQ(parsed("bytes=0-99,0-99,0-99,0-99", 1000), RANGE_WHOLE);
    text_fixed(&out, many, sizeof(many));
    text_literal(&out, "bytes=");
    for (int i = 0; i <= RANGE_PARTS_MAX; i++) {
        if (i == RANGE_PARTS_MAX) {
            EXPECT_EQ(range_parse(text_slice(&out), 100000, &set), RANGE_PARTS);
            EXPECT_EQ(set.n, RANGE_PARTS_MAX);
        }
        text_printf(&out, "%d-%d,", i * 1000, i * 1000);
    }
    EXPECT_EQ(range_parse(text_slice(&out), 100000, &set), RANGE_WHOLE);
    text_fixed(&out, many, sizeof(many));
    text_literal(&out, "bytes=");
    for (int i = 0; i < 500; i++)
        text_printf(&out, "%d-,", 200000);
    EXPECT_EQ(range_parse(text_slice(&out), 100000, &set), RANGE_WHOLE);
}

TEST(content_range_is_understood)
{
    struct range_content c;

    EXPECT(range_content_parse(SLICE("bytes 5-9/10"), &c));
    EXPECT(c.range.offset == 5 && c.range.length == 5 && c.has_length && c.length == 10);
    EXPECT(range_content_parse(SLICE("Bytes 0-0/*"), &c));
    EXPECT(c.range.length == 1 && !c.has_length);
    EXPECT(range_content_parse(SLICE("bytes */10"), &c));
    EXPECT(c.range.length == 0 && c.has_length && c.length == 10);
}

TEST(a_content_range_that_cannot_be_is_refused)
{
    static const char *const bad[] = {
        "",           "bytes",       "bytes 0-9",    "bytes 9-0/10",  "bytes 0-10/10", "bytes */*",
        "bytes=0-1/2",
        "lines 0-1/2",
        "bytes -1/2",
        "bytes 0-/2",
        "bytes 0-1/",
        "bytes 0-1/x",
        "bytes  0-1/2", "bytes 0-1/2/3", "bytes 0-9223372036854775808/*",
    };
    struct range_content c;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!range_content_parse(slice_str(bad[i]), &c));
}

TEST(parts_are_labelled)
{
    struct range r = {5, 10};
    struct text out;

    text_fixed(&out, written, sizeof(written));
    range_part_head(&out, SLICE("B"), true, SLICE("text/plain"), &r, 100);
    range_part_head(&out, SLICE("B"), false, SLICE(""), &r, 100);
    range_parts_end(&out, SLICE("B"));
    EXPECT_STR(text_slice(&out),
               "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-14/100\r\n\r\n"
               "\r\n--B\r\nContent-Range: bytes 5-14/100\r\n\r\n"
               "\r\n--B--\r\n");
    text_fixed(&out, written, sizeof(written));
    range_content_write(&out, NULL, 100);
    EXPECT_STR(text_slice(&out), "bytes */100");
}
