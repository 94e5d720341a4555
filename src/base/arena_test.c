/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/test.h"

#include <stdalign.h>

TEST(pieces_are_aligned_and_apart)
{
    struct arena a;
    char *one, *two;

    arena_init(&a, NULL, 0, 1 << 20);
    one = arena_alloc(&a, 1);
    two = arena_alloc(&a, 17);
    EXPECT(one && two);
    EXPECT_EQ((uintptr_t) one % alignof(max_align_t), 0);
    EXPECT_EQ((uintptr_t) two % alignof(max_align_t), 0);
    EXPECT(two >= one + 1);
    *one = 'x';
    memset(two, 'y', 17);
    EXPECT_EQ(*one, 'x');
    arena_free(&a);
}

TEST(the_first_block_is_used_before_any_other)
{
    alignas(max_align_t) char first[64];
    struct arena a;
    char *p;

    arena_init(&a, first, sizeof(first), 1 << 20);
    p = arena_alloc(&a, 64);
    EXPECT(p == first);
    EXPECT_EQ(a.used, 0);
    p = arena_alloc(&a, 1);
    EXPECT(p && (p < first || p >= first + sizeof(first)));
    EXPECT(a.used > 0);
    arena_reset(&a);
    EXPECT_EQ(a.used, 0);
    p = arena_alloc(&a, 16);
    EXPECT(p == first);
    arena_free(&a);
}

TEST(the_bound_holds)
{
    struct arena a;
    size_t got = 0;

    arena_init(&a, NULL, 0, 10000);
    while (arena_alloc(&a, 100))
        got += 100;
    EXPECT(got > 8000 && got <= 10000);
    EXPECT(a.used <= 10000);
    EXPECT(!arena_alloc(&a, 5000));
    arena_free(&a);
    arena_init(&a, NULL, 0, 0);
    EXPECT(!arena_alloc(&a, 1));
    arena_free(&a);
}

TEST(sizes_that_overflow_are_refused)
{
    struct arena a;

    arena_init(&a, NULL, 0, SIZE_MAX);
    EXPECT(!arena_alloc(&a, SIZE_MAX));
    EXPECT(!arena_alloc(&a, SIZE_MAX - 15));
    EXPECT(!arena_calloc(&a, SIZE_MAX / 2, 3));
    EXPECT(!arena_copy(&a, slice_of("", SIZE_MAX)).at);
    arena_free(&a);
}

TEST(a_large_piece_gets_a_block_of_its_own)
{
    struct arena a;
    char *p;

    arena_init(&a, NULL, 0, 1 << 20);
    p = arena_alloc(&a, 500000);
    EXPECT(p != NULL);
    memset(p, 1, 500000);
    EXPECT(a.used >= 500000 && a.used < 510000);
    arena_free(&a);
}

TEST(cleared_memory_is_cleared)
{
    struct arena a;
    char *p;

    arena_init(&a, NULL, 0, 1 << 20);
    memset(arena_alloc(&a, 512), 0xff, 512);
    arena_reset(&a);
    p = arena_calloc(&a, 16, 32);
    for (size_t i = 0; i < 512; i++)
        EXPECT_EQ(p[i], 0);
    arena_free(&a);
}

TEST(copies_end_in_a_zero_byte)
{
    struct arena a;
    struct slice s;

    arena_init(&a, NULL, 0, 1 << 20);
    s = arena_copy(&a, slice_of("abcdef", 3));
    EXPECT_STR(s, "abc");
    EXPECT_EQ(s.at[3], 0);
    s = arena_copy(&a, (struct slice){NULL, 0});
    EXPECT(s.at && s.n == 0 && s.at[0] == 0);
    s = arena_printf(&a, "%s-%d", "x", 42);
    EXPECT_STR(s, "x-42");
    EXPECT_EQ(s.at[4], 0);
    arena_free(&a);
}

TEST(printing_more_than_fits_gives_nothing)
{
    struct arena a;

    arena_init(&a, NULL, 0, 64);
    EXPECT(!arena_printf(&a, "%0200d", 1).at);
    EXPECT(!arena_copy(&a, slice_of("01234567890123456789012345678901234567890123456789", 50)).at);
    arena_free(&a);
}

TEST(an_adopted_arena_lives_on)
{
    struct arena a, b;
    struct slice kept, own;

    arena_init(&a, NULL, 0, 1 << 20);
    arena_init(&b, NULL, 0, 1 << 20);
    own = arena_copy(&a, SLICE("own"));
    kept = arena_copy(&b, SLICE("kept"));
    arena_alloc(&b, 100000);
    arena_adopt(&a, &b);
    EXPECT(b.blocks == NULL);
    EXPECT_EQ(b.used, 0);
    arena_free(&b);
    EXPECT_STR(own, "own");
    EXPECT_STR(kept, "kept");
    EXPECT(arena_alloc(&a, 10) != NULL);
    arena_free(&a);
}
