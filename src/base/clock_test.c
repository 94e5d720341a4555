/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/test.h"

TEST(the_clock_never_goes_back)
{
    uint64_t last = clock_monotonic_us();

    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_monotonic_us();

        EXPECT(now >= last);
        last = now;
    }
}

TEST(the_wall_clock_is_in_this_century)
{
    EXPECT(clock_wall_us() > 1600000000ull * 1000000);
    EXPECT(clock_wall_us() < 4102444800ull * 1000000);
}

TEST(time_can_stand_still)
{
    clock_freeze(5, 7);
    EXPECT_EQ(clock_monotonic_us(), 5);
    EXPECT_EQ(clock_wall_us(), 7);
    clock_freeze(0, 0);
    EXPECT(clock_monotonic_us() > 7);
    EXPECT(clock_wall_us() > 7);
}

TEST(the_same_seed_gives_the_same_dice)
{
    struct dice a, b, c;

    dice_init(&a, 0);
    dice_init(&b, 0);
    dice_init(&c, 1);
    for (int i = 0; i < 100; i++) {
        uint64_t x = dice_next(&a);

        EXPECT(x == dice_next(&b));
        EXPECT(x != dice_next(&c));
    }
}

TEST(every_bit_is_fair)
{
    struct dice d;
    int ones[64] = {0};

    dice_init(&d, 42);
    for (int i = 0; i < 10000; i++) {
        uint64_t x = dice_next(&d);

        for (int bit = 0; bit < 64; bit++)
            ones[bit] += (int) (x >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++)
        EXPECT(ones[bit] > 4700 && ones[bit] < 5300);
}

TEST(random_bytes_fill_all_and_only_what_is_asked_for)
{
    unsigned char bytes[1000 + 1] = {0};
    int zeros = 0;

    random_bytes(bytes, 1000);
    for (int i = 0; i < 1000; i++)
        zeros += bytes[i] == 0;
    EXPECT(zeros < 50);
    EXPECT_EQ(bytes[1000], 0);
    EXPECT(random_u64() != random_u64());
}
