/* SPDX-License-Identifier: Apache-2.0 */
/* observe/record_test.c - numbers, strings and hostile bytes in records. */
#include "observe/record.h"

#include "base/clock.h"
#include "base/test.h"
#include "base/text.h"

static char room[4096];

static struct slice
json_of(size_t budget, struct slice s)
{
    memset(room, '~', sizeof(room));
    return slice_of(room, (size_t) (record_json(room, budget, s) - room));
}

static struct slice
quoted_of(size_t budget, struct slice s)
{
    memset(room, '~', sizeof(room));
    return slice_of(room, (size_t) (record_quoted(room, budget, s) - room));
}

TEST(numbers_are_written_as_printf_would)
{
    uint64_t value = 0;

    for (int i = 0; i < 20; i++) {
        for (int step = -1; step <= 1; step++) {
            char want[32], *end = record_u64(room, value + (uint64_t) step);
            struct text t;

            text_fixed(&t, want, sizeof(want));
            text_printf(&t, "%llu", (unsigned long long) (value + (uint64_t) step));
            EXPECT(slice_eq(slice_of(room, (size_t) (end - room)), text_slice(&t)));
        }
        value = value * 10 + (i == 0);
    }
    EXPECT_EQ(record_u64(room, UINT64_MAX) - room, RECORD_U64_MAX);
}

TEST(plain_text_of_any_length_is_copied)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789 /?&=%;:,.-_~!";

    for (size_t n = 0; n < sizeof(text); n++) {
        struct slice s = slice_of(text, n);

        EXPECT(slice_eq(json_of(64, s), s));
        EXPECT_EQ(room[n], '~');
        EXPECT(slice_eq(quoted_of(64, s), s));
        EXPECT_EQ(room[n], '~');
    }
}

TEST(json_escapes_what_json_must)
{
    EXPECT_STR(json_of(64, SLICE("a\"b\\c\n\r\t\x01\x7f")), "a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f");
    EXPECT_STR(json_of(64, SLICE("gr\xc3\xbc\xc3\x9f")), "gr\xc3\xbc\xc3\x9f");
    EXPECT_STR(json_of(64, SLICE("\xff\xc3(\xed\xa0\x80")), "\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd");
}

TEST(quoted_is_printable_ascii)
{
    EXPECT_STR(quoted_of(64, SLICE("a\"b\\c\n\xc3\xbc")), "a\\\"b\\\\c\\x0a\\xc3\\xbc");
}

TEST(what_is_too_long_is_cut_inside_its_budget)
{
    char quotes[200];

    memset(quotes, '"', sizeof(quotes));
    EXPECT_STR(json_of(16, SLICE("abcdefghijklmnopqrstuvwxyz")), "abcdefgh...");
    for (size_t budget = RECORD_BUDGET_MIN; budget < 120; budget++) {
        struct slice got = json_of(budget, slice_of(quotes, sizeof(quotes)));

        EXPECT(got.n <= budget);
        EXPECT(got.n > budget - 10);
        EXPECT(slice_ends(got, SLICE("\\\"...")));
        EXPECT_EQ(room[got.n], '~');
        got = quoted_of(budget, slice_of(quotes, sizeof(quotes)));
        EXPECT(got.n <= budget && slice_ends(got, SLICE("\\\"...")));
        EXPECT_EQ(room[got.n], '~');
    }
    EXPECT_STR(json_of(16, SLICE("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc")),
               "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc...");
}

/* Two implementations of the same: random bytes, mostly plain, come out alike. */
TEST(records_and_texts_agree_on_json)
{
    struct dice dice;
    struct text t;

    dice_init(&dice, 1);
    text_init(&t, 4096);
    for (int round = 0; round < 20000; round++) {
        char input[48];
        size_t n = dice_next(&dice) % (sizeof(input) + 1);
        uint64_t wild = dice_next(&dice) % 5;

        for (size_t i = 0; i < n; i++) {
            uint64_t d = dice_next(&dice);

            input[i] = (char) (d % 8 < wild ? d >> 8 : 'a' + (d >> 8) % 26);
        }
        t.n = 0;
        text_json(&t, slice_of(input, n));
        EXPECT(slice_eq(json_of(1024, slice_of(input, n)), text_slice(&t)));
    }
    text_free(&t);
}

TEST(every_byte_is_judged_alike_in_every_place)
{
    for (unsigned c = 0; c < 256; c++)
        for (unsigned place = 0; place < 8; place++) {
            bool special = c < 0x20 || c >= 0x7F || c == '"' || c == '\\';
            uint64_t v = TEXT_PLAIN_BYTES;

            v &= ~((uint64_t) 0xFF << place * 8);
            v |= (uint64_t) c << place * 8;
            EXPECT_EQ(text_special_bytes(v) != 0, special);
        }
}
