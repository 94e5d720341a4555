/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sip.h"

#include "base/test.h"

/* Key 00 01 02 ... 0f, messages 00 01 02 ...: the reference implementation's vectors. */
static const struct {
    size_t  n;
    uint8_t hash[16];
} vectors[] = {
    {0,
     {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
      0x93}},
    {1,
     {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
      0x45}},
    {15,
     {0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3,
      0xd9}},
};

TEST(hashes_are_those_of_the_reference)
{
    uint8_t bytes[64];
    struct sip_secret secret;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) i;
    memcpy(&secret, bytes, sizeof(secret));
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint64_t out[2];

        sip_hash(&secret, bytes, vectors[i].n, out);
        EXPECT(memcmp(out, vectors[i].hash, sizeof(out)) == 0);
    }
}

TEST(every_byte_and_the_length_count)
{
    const struct sip_secret secret = {1, 2};
    char bytes[40] = {0};
    uint64_t before[2], now[2];

    for (size_t n = 0; n < sizeof(bytes); n++) {
        sip_hash(&secret, bytes, n, before);
        sip_hash(&secret, bytes, n + 1, now);
        EXPECT(before[0] != now[0] && before[1] != now[1]);
        bytes[n] = 1;
        sip_hash(&secret, bytes, n + 1, before);
        EXPECT(before[0] != now[0] && before[1] != now[1]);
    }
}
