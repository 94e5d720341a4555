/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "base/text.h"

TEST(pieces_are_put_together)
{
    struct text t;

    text_init(&t, 1000);
    text_literal(&t, "a");
    text_put(&t, SLICE("bc"));
    text_byte(&t, 'd');
    text_u64(&t, 18446744073709551615u);
    text_printf(&t, "-%s-%03d", "e", 7);
    EXPECT_STR(text_slice(&t), "abcd18446744073709551615-e-007");
    EXPECT(!t.full);
    text_free(&t);
    EXPECT_EQ(t.n, 0);
}

TEST(an_unused_text_is_empty)
{
    struct text t;

    text_init(&t, 10);
    EXPECT_STR(text_slice(&t), "");
    text_put(&t, (struct slice){NULL, 0});
    text_printf(&t, "%s", "");
    EXPECT_EQ(t.n, 0);
    text_free(&t);
}

TEST(past_the_bound_nothing_is_written)
{
    struct text t;

    text_init(&t, 10);
    text_literal(&t, "12345678");
    text_literal(&t, "abc");
    EXPECT(t.full);
    EXPECT_STR(text_slice(&t), "12345678");
    text_literal(&t, "ab");
    EXPECT_STR(text_slice(&t), "12345678ab");
    EXPECT(t.full);
    text_free(&t);
}

TEST(it_grows_far)
{
    struct text t;

    text_init(&t, 1 << 20);
    for (int i = 0; i < 100000; i++)
        text_byte(&t, (char) ('a' + i % 26));
    EXPECT_EQ(t.n, 100000);
    EXPECT_EQ(t.at[99999], 'a' + 99999 % 26);
    EXPECT(t.room <= 1 << 20);
    text_free(&t);
}

TEST(fixed_memory_is_never_left)
{
    char memory[8 + 1];
    struct text t;

    memory[8] = '!';
    text_fixed(&t, memory, 8);
    text_printf(&t, "%s", "1234");
    EXPECT_STR(text_slice(&t), "1234");
    text_literal(&t, "5678");
    EXPECT(!t.full);
    text_byte(&t, '9');
    EXPECT(t.full);
    EXPECT_STR(text_slice(&t), "12345678");
    EXPECT_EQ(memory[8], '!');
    text_free(&t);
}

TEST(numbers_have_no_leading_zeros)
{
    char out[20];

    EXPECT_STR(slice_of(out, text_format_u64(out, 0)), "0");
    EXPECT_STR(slice_of(out, text_format_u64(out, 10)), "10");
    EXPECT_STR(slice_of(out, text_format_u64(out, UINT64_MAX)), "18446744073709551615");
}

static struct slice
json(struct text *t, struct slice s)
{
    t->n = 0;
    text_json(t, s);
    return text_slice(t);
}

TEST(json_is_always_valid)
{
    struct text t;

    text_init(&t, 1000);
    EXPECT_STR(json(&t, SLICE("plain /")), "plain /");
    EXPECT_STR(json(&t, SLICE("\"\\\n\r\t\x01\x7f")), "\\\"\\\\\\n\\r\\t\\u0001\\u007f");
    EXPECT_STR(json(&t, SLICE("\0")), "\\u0000");
    EXPECT_STR(json(&t, SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")),
               "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    EXPECT_STR(json(&t, SLICE("a\xff"
                              "b")),
               "a\\ufffdb");
    EXPECT_STR(json(&t, SLICE("\xc0\xaf")), "\\ufffd\\ufffd");              /* overlong */
    EXPECT_STR(json(&t, SLICE("\xed\xa0\x80")), "\\ufffd\\ufffd\\ufffd");   /* surrogate */
    EXPECT_STR(json(&t, SLICE("\xe2\x82")), "\\ufffd\\ufffd");              /* cut off */
    EXPECT_STR(json(&t, SLICE("\xf4\x90\x80\x80")), "\\ufffd\\ufffd\\ufffd\\ufffd");
    text_free(&t);
}

TEST(html_has_no_markup)
{
    struct text t;

    text_init(&t, 1000);
    text_html(&t, SLICE("<a href=\"x\">&'"));
    EXPECT_STR(text_slice(&t), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    text_free(&t);
}
