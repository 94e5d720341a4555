/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

static bool
is_written(struct slice bytes, const char *letters)
{
    char out[64], back[64];
    size_t n = BASE64_LETTERS(bytes.n);

    base64_encode(bytes, out);
    return slice_eq(slice_of(out, n), slice_str(letters)) && BASE64_BYTES(n) == bytes.n &&
           base64_decode(slice_of(out, n), back) && slice_eq(slice_of(back, bytes.n), bytes);
}

TEST(examples_of_the_rfc)
{
    EXPECT(is_written(SLICE(""), ""));
    EXPECT(is_written(SLICE("f"), "Zg"));
    EXPECT(is_written(SLICE("fo"), "Zm8"));
    EXPECT(is_written(SLICE("foo"), "Zm9v"));
    EXPECT(is_written(SLICE("foobar"), "Zm9vYmFy"));
    EXPECT(is_written(SLICE("\xFB\xFF\xBF"), "-_-_"));
}

TEST(whatever_is_written_is_read_again)
{
    struct dice dice;
    uint8_t bytes[40], back[40];
    char letters[BASE64_LETTERS(40)];

    dice_init(&dice, 1);
    for (size_t round = 0; round < 1000; round++) {
        size_t n = dice_next(&dice) % sizeof(bytes);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t) dice_next(&dice);
        base64_encode(slice_of((char *) bytes, n), letters);
        EXPECT(base64_decode(slice_of(letters, BASE64_LETTERS(n)), back));
        EXPECT(memcmp(bytes, back, n) == 0);
    }
}

TEST(anything_else_is_refused)
{
    static const char *const wrong[] = {"Z", "Zm9vY", "Zg==", "Zh", "Zm9", "Zm 8", "+/+/", "Zm8\n"};
    char out[16];

    for (size_t i = 0; i < countof(wrong); i++)
        EXPECT(!base64_decode(slice_str(wrong[i]), out));
}
