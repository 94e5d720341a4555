/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/slice.h"
#include "base/test.h"

TEST(empty_is_not_absent)
{
    struct slice absent = {NULL, 0};

    EXPECT(!slice_is_present(absent));
    EXPECT(slice_is_present(SLICE("")));
    EXPECT(slice_eq(absent, SLICE("")));
    EXPECT(!slice_is_present(slice_str(NULL)));
    EXPECT_STR(slice_str("abc"), "abc");
}

TEST(equal_means_all_bytes)
{
    EXPECT(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
    EXPECT(!slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    EXPECT(!slice_eq(SLICE("ab"), SLICE("abc")));
}

TEST(case_is_that_of_ascii_only)
{
    EXPECT(slice_eq_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    EXPECT(!slice_eq_nocase(SLICE("a"), SLICE("ab")));
    EXPECT(!slice_eq_nocase(SLICE("\xc3\x84"), SLICE("\xc3\xa4")));
    EXPECT(!slice_eq_nocase(SLICE("@["), SLICE("`{")));
    EXPECT(slice_starts_nocase(SLICE("Bearer x"), SLICE("bearer ")));
    EXPECT(!slice_starts_nocase(SLICE("Bear"), SLICE("bearer ")));
}

TEST(starts_and_ends)
{
    EXPECT(slice_starts(SLICE("/api/x"), SLICE("/api/")));
    EXPECT(!slice_starts(SLICE("/ap"), SLICE("/api/")));
    EXPECT(slice_starts(SLICE("x"), SLICE("")));
    EXPECT(slice_ends(SLICE("a.example.com"), SLICE(".com")));
    EXPECT(!slice_ends(SLICE("om"), SLICE(".com")));
    EXPECT(slice_ends(SLICE(""), SLICE("")));
}

TEST(parts_stay_inside)
{
    EXPECT_STR(slice_from(SLICE("abc"), 1), "bc");
    EXPECT_STR(slice_from(SLICE("abc"), 3), "");
    EXPECT_STR(slice_from(SLICE("abc"), 99), "");
    EXPECT_STR(slice_first(SLICE("abc"), 2), "ab");
    EXPECT_STR(slice_first(SLICE("abc"), SLICE_NOT_FOUND), "abc");
}

TEST(finding)
{
    EXPECT_EQ(slice_find(SLICE("a:b:c"), ':'), 1);
    EXPECT(slice_find(SLICE("abc"), ':') == SLICE_NOT_FOUND);
    EXPECT(slice_find((struct slice){NULL, 0}, ':') == SLICE_NOT_FOUND);
    EXPECT_EQ(slice_search(SLICE("abcabd"), SLICE("abd")), 3);
    EXPECT_EQ(slice_search(SLICE("abc"), SLICE("")), 0);
    EXPECT(slice_search(SLICE("ab"), SLICE("abc")) == SLICE_NOT_FOUND);
    EXPECT(slice_search(SLICE(""), SLICE("a")) == SLICE_NOT_FOUND);
}

TEST(order_is_that_of_bytes)
{
    EXPECT(slice_compare(SLICE("a"), SLICE("b")) < 0);
    EXPECT(slice_compare(SLICE("b"), SLICE("a")) > 0);
    EXPECT(slice_compare(SLICE("a"), SLICE("ab")) < 0);
    EXPECT(slice_compare(SLICE("\xff"), SLICE("a")) > 0);
    EXPECT_EQ(slice_compare(SLICE("a"), SLICE("a")), 0);
    EXPECT_EQ(slice_compare((struct slice){NULL, 0}, SLICE("")), 0);
}

TEST(trimming_takes_spaces_and_tabs)
{
    EXPECT_STR(slice_trim(SLICE(" \ta b\t ")), "a b");
    EXPECT_STR(slice_trim(SLICE(" \t ")), "");
    EXPECT_STR(slice_trim(SLICE("\na")), "\na");
    EXPECT_STR(slice_trim((struct slice){NULL, 0}), "");
}

TEST(cutting_yields_every_part)
{
    struct slice rest = SLICE("a,,b,");

    EXPECT_STR(slice_cut(&rest, ','), "a");
    EXPECT_STR(slice_cut(&rest, ','), "");
    EXPECT_STR(slice_cut(&rest, ','), "b");
    EXPECT(slice_is_present(rest));
    EXPECT_STR(slice_cut(&rest, ','), "");
    EXPECT(!slice_is_present(rest));
}

TEST(list_elements_skip_what_is_empty)
{
    struct slice rest = SLICE(" , a ,,\"b, \\\" c\" ; q=1,\td"), element;

    EXPECT(slice_next_element(&rest, &element));
    EXPECT_STR(element, "a");
    EXPECT(slice_next_element(&rest, &element));
    EXPECT_STR(element, "\"b, \\\" c\" ; q=1");
    EXPECT(slice_next_element(&rest, &element));
    EXPECT_STR(element, "d");
    EXPECT(!slice_next_element(&rest, &element));
    rest = SLICE("\"never closed, a");
    EXPECT(slice_next_element(&rest, &element));
    EXPECT_STR(element, "\"never closed, a");
    rest = SLICE("\"ends in\\");
    EXPECT(slice_next_element(&rest, &element));
    EXPECT(!slice_next_element(&rest, &element));
}

TEST(decimal_numbers_are_digits_only)
{
    static const char *const bad[] = {
        "", "+1", "-1", " 1", "1 ", "0x1", "1.", "18446744073709551616", "99999999999999999999999"};
    uint64_t v;

    EXPECT(slice_to_u64(SLICE("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    EXPECT(slice_to_u64(SLICE("007"), 10, &v) && v == 7);
    EXPECT(slice_to_u64(SLICE("10"), 10, &v));
    EXPECT(!slice_to_u64(SLICE("11"), 10, &v));
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!slice_to_u64(slice_str(bad[i]), UINT64_MAX, &v));
}

TEST(hexadecimal_numbers)
{
    uint64_t v;

    EXPECT(slice_hex_to_u64(SLICE("fFfFffffffffffff"), &v) && v == UINT64_MAX);
    EXPECT(slice_hex_to_u64(SLICE("1a"), &v) && v == 26);
    EXPECT(!slice_hex_to_u64(SLICE("10000000000000000"), &v));
    EXPECT(!slice_hex_to_u64(SLICE(""), &v));
    EXPECT(!slice_hex_to_u64(SLICE("1g"), &v));
    EXPECT(!slice_hex_to_u64(SLICE("-1"), &v));
}

TEST(ascii_letters_and_digits)
{
    EXPECT_EQ(ascii_lower('A'), 'a');
    EXPECT_EQ(ascii_lower('['), '[');
    EXPECT(ascii_is_digit('9') && !ascii_is_digit('/') && !ascii_is_digit(':'));
    EXPECT(ascii_is_alpha('z') && ascii_is_alpha('Z') && !ascii_is_alpha('@') &&
           !ascii_is_alpha('{'));
    EXPECT(!ascii_is_alpha('\xe4'));
}
