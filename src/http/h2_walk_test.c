/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_walk.h"

#include "base/check.h"
#include "base/test.h"

/* An empty SETTINGS, a PING, DATA of two bytes with the reserved bit. */
static const char frames[] = "\0\0\0\4\0\0\0\0\0"
                             "\0\0\10\6\1\0\0\0\0""12345678"
                             "\0\0\2\0\1\200\0\0\7xy";

static struct h2_walk walk;
static struct h2_frame frame;

static void
expect_next(struct slice *bytes, uint8_t type, uint32_t length, uint32_t stream)
{
    EXPECT(h2_walk_next(&walk, bytes, &frame));
    EXPECT_EQ(frame.type, type);
    EXPECT_EQ(frame.length, length);
    EXPECT_EQ(frame.stream, stream);
}

TEST(frames_are_found_behind_the_preface)
{
    char all[3 + sizeof(frames) - 1] = "PRI";
    struct slice bytes = slice_of(all, sizeof(all));

    memcpy(all + 3, frames, sizeof(frames) - 1);
    h2_walk_begin(&walk, 3);
    expect_next(&bytes, 4, 0, 0);
    expect_next(&bytes, 6, 8, 0);
    EXPECT_EQ(frame.flags, 1);
    expect_next(&bytes, 0, 2, 7);
    EXPECT_EQ(bytes.n, 2);
    EXPECT(!h2_walk_next(&walk, &bytes, &frame));
    EXPECT_EQ(bytes.n, 0);
}

TEST(pieces_of_any_size_say_the_same)
{
    for (size_t step = 1; step < sizeof(frames); step++) {
        unsigned seen = 0;

        h2_walk_begin(&walk, 0);
        for (size_t at = 0; at < sizeof(frames) - 1; at += step) {
            size_t n = sizeof(frames) - 1 - at;
            struct slice bytes = slice_of(frames + at, n < step ? n : step);

            while (h2_walk_next(&walk, &bytes, &frame))
                seen = seen * 16 + frame.type + 1;
            EXPECT_EQ(bytes.n, 0);
        }
        EXPECT_EQ(seen, 0x571);
    }
}

TEST(the_longest_frame)
{
    static const char head[] = "\377\377\377\0\0\177\377\377\377";
    struct slice bytes = slice_of(head, 9);

    h2_walk_begin(&walk, 0);
    expect_next(&bytes, 0, 0xffffff, 0x7fffffff);
    EXPECT_EQ(walk.skip, 0xffffff);
}
