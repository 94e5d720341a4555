/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mac.h"

#include "base/check.h"
#include "base/test.h"

static bool
signs(struct slice key, const struct slice *parts, size_t n, const char *hex)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[MAC_BYTES];
    char text[2 * MAC_BYTES];

    if (!mac_sha256(key, parts, n, mac))
        return false;
    for (size_t i = 0; i < MAC_BYTES; i++) {
        text[2 * i] = digits[mac[i] >> 4];
        text[2 * i + 1] = digits[mac[i] & 15];
    }
    return slice_eq(slice_of(text, sizeof(text)), slice_str(hex));
}

/* RFC 4231 sections 4.2, 4.3, 4.7. */
TEST(examples_of_the_rfc)
{
    static const char hi[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    char key[131];

    memset(key, 0x0B, 20);
    EXPECT(signs(slice_of(key, 20), &SLICE("Hi There"), 1,
                 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
    EXPECT(signs(SLICE("Jefe"), &SLICE("what do ya want for nothing?"), 1, hi));
    memset(key, 0xAA, sizeof(key));
    EXPECT(signs(slice_of(key, sizeof(key)),
                 &SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), 1,
                 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

TEST(parts_count_as_one_text)
{
    static const char hi[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const struct slice parts[] = {SLICE("what do ya "), SLICE(""), {NULL, 0},
                                  SLICE("want for nothing?")};

    EXPECT(signs(SLICE("Jefe"), parts, countof(parts), hi));
}

TEST(an_empty_key_and_nothing_to_sign)
{
    EXPECT(signs(SLICE(""), NULL, 0,
                 "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}

TEST(equal_means_all_bytes)
{
    EXPECT(mac_equal("abc", "abc", 3));
    EXPECT(!mac_equal("abc", "abd", 3));
    EXPECT(!mac_equal("xbc", "abc", 3));
    EXPECT(mac_equal("abc", "abd", 2));
}
