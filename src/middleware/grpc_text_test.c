/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/grpc_text.h"

#include "base/check.h"
#include "base/test.h"

enum { ROOM = 64 };

/* Decoded in steps of so many letters and bytes; absent when it is refused, or ends too early. */
static struct slice
decoded(const char *text, size_t step, size_t room)
{
    static char bytes[ROOM];
    struct grpc_text_decoder d = {0};
    struct slice rest = slice_str(text);
    size_t n = 0;

    while (rest.n) {
        struct slice letters = slice_first(rest, step);
        size_t before = letters.n, got;

        CHECK(n + room <= ROOM);
        if (!grpc_text_decode(&d, &letters, bytes + n, room, &got))
            return (struct slice){NULL, 0};
        n += got;
        rest = slice_from(rest, before - letters.n);
    }
    return grpc_text_is_complete(&d) ? slice_of(bytes, n) : (struct slice){NULL, 0};
}

/* RFC 4648 section 10. */
TEST(what_the_rfc_says)
{
    static const struct {
        const char *bytes, *letters;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    char out[ROOM];

    for (size_t i = 0; i < countof(cases); i++) {
        struct slice bytes = slice_str(cases[i].bytes);

        grpc_text_encode(bytes, out);
        EXPECT_STR(slice_of(out, GRPC_TEXT_LETTERS(bytes.n)), cases[i].letters);
        for (size_t step = 1; step < 9; step++)
            EXPECT_STR(decoded(cases[i].letters, step, 3 + step), cases[i].bytes);
    }
}

TEST(all_letters)
{
    char bytes[48], out[64];

    for (uint32_t i = 0, bits = 0; i < 64; i++) {
        bits = bits << 6 | i;
        if (i % 4 == 3)
            for (unsigned k = 0; k < 3; k++)
                bytes[i / 4 * 3 + k] = (char) (bits >> (16 - 8 * k));
    }
    grpc_text_encode(slice_of(bytes, sizeof(bytes)), out);
    EXPECT_STR(slice_of(out, sizeof(out)),
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    EXPECT(
        slice_eq(decoded("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 5, 9),
                 slice_of(bytes, sizeof(bytes))));
}

TEST(runs_with_padding_follow_each_other)
{
    EXPECT_STR(decoded("Zg==Zm8=Zm9vYg==", 16, 16), "ffofoob");
    EXPECT_STR(decoded("Zg==Zm8=Zm9vYg==", 3, 3), "ffofoob");
}

TEST(what_is_none_is_refused)
{
    static const char *const wrong[] = {
        "Z", "Zg", "Zg=", "=", "Z===", "Zg=a", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-_", "Zg==Z",
        "====", "Zm9v=",
    };

    for (size_t i = 0; i < countof(wrong); i++) {
        EXPECT(!slice_is_present(decoded(wrong[i], 16, 16)));
        EXPECT(!slice_is_present(decoded(wrong[i], 1, 3)));
    }
}
