/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blocks.h"

#include "base/clock.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static size_t
resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f && fscanf(f, "%lu %lu", &pages, &resident) == 2);
    fclose(f);
    return resident * (size_t) sysconf(_SC_PAGESIZE);
}

static uint32_t
free_units(const struct blocks *b)
{
    uint32_t n = 0;

    for (unsigned order = 0; order < BLOCKS_ORDERS; order++)
        list_each (link, &b->free[order])
            n += (uint32_t) 1 << order;
    return n;
}

TEST(runs_are_exact_and_all_comes_back_in_one_piece)
{
    struct blocks b;
    void *at[3];

    EXPECT(blocks_init(&b, 4 * MIB, MIB));
    at[0] = blocks_take(&b, 1);
    at[1] = blocks_take(&b, 5);
    at[2] = blocks_take(&b, 1000);
    EXPECT(at[0] && at[1] && at[2]);
    EXPECT_EQ(b.used, 1006);
    EXPECT_EQ(free_units(&b), 8192 - 1006);
    for (unsigned i = 0; i < 3; i++)
        memset(at[i], 'x', BLOCKS_UNIT);
    blocks_give(&b, at[1], 5);
    blocks_give(&b, at[0], 1);
    blocks_give(&b, (char *) at[2] + 10 * BLOCKS_UNIT, 990);
    blocks_give(&b, at[2], 10);
    EXPECT_EQ(b.used, 0);
    EXPECT(blocks_take(&b, BLOCKS_RUN_MAX) != NULL);
    EXPECT(blocks_take(&b, 1) == NULL);
    blocks_exit(&b);
}

TEST(the_bound_need_not_be_a_power_of_two)
{
    struct blocks b;
    uint32_t got;

    EXPECT(blocks_init(&b, 0, MIB + 3 * 1024));
    EXPECT(blocks_take(&b, BLOCKS_RUN_MAX) != NULL);
    EXPECT(blocks_take(&b, 17) == NULL);
    EXPECT(blocks_take_some(&b, 100, 17, &got) == NULL);
    EXPECT(blocks_take_some(&b, 100, 8, &got) != NULL);
    EXPECT_EQ(got, 16);
    EXPECT(blocks_take(&b, 8) != NULL);
    EXPECT(blocks_take(&b, 1) == NULL);
    blocks_exit(&b);
}

struct run {
    unsigned char *at;
    uint32_t       units;
    unsigned char  mark;
};

static bool
is_whole(const struct run *r)
{
    for (size_t i = 0; i < (size_t) r->units * BLOCKS_UNIT; i += 64)
        if (r->at[i] != r->mark)
            return false;
    return true;
}

/* Bytes of a run change only if two runs overlap, or a free block's links lie in one. */
TEST(random_runs_never_overlap_whatever_the_bound_does)
{
    static struct run runs[400];
    struct blocks b;
    struct dice dice;
    uint64_t units = 0;

    dice_init(&dice, 7);
    EXPECT(blocks_init(&b, 16 * MIB, 4 * MIB));
    for (unsigned i = 0; i < 40000; i++) {
        struct run *r = &runs[dice_next(&dice) % countof(runs)];

        if (i % 500 == 499) {
            blocks_set_open(&b, (uint32_t) (dice_next(&dice) % (20 * MIB / BLOCKS_UNIT)));
            continue;
        }
        if (r->at) {
            EXPECT(is_whole(r));
            units -= r->units;
            blocks_give(&b, take(&r->at), r->units);
        } else {
            uint32_t want = 1 + (uint32_t) (dice_next(&dice) % (1 << dice_next(&dice) % 12));

            r->at = i % 2 ? blocks_take(&b, want) : blocks_take_some(&b, want, 1, &want);
            r->units = want;
            r->mark = (unsigned char) i;
            if (r->at) {
                EXPECT(blocks_unit_of(&b, r->at) + want <= b.open);
                memset(r->at, r->mark, (size_t) want * BLOCKS_UNIT);
                units += want;
            }
        }
        EXPECT_EQ(b.used, units);
    }
    for (size_t i = 0; i < countof(runs); i++)
        if (runs[i].at)
            blocks_give(&b, take(&runs[i].at), runs[i].units);
    EXPECT_EQ(b.used, 0);
    blocks_set_open(&b, b.reserved);
    EXPECT_EQ(free_units(&b) + b.reserved - b.fresh, b.reserved);
    blocks_exit(&b);
}

TEST(a_lower_bound_gives_memory_back_to_the_kernel)
{
    static void *at[64];
    struct blocks b;
    size_t full, low;

    EXPECT(blocks_init(&b, 64 * MIB, 64 * MIB));
    for (unsigned i = 0; i < countof(at); i++) {
        at[i] = blocks_take(&b, BLOCKS_RUN_MAX);
        memset(at[i], 'x', MIB);
    }
    full = resident_bytes();
    for (unsigned i = 0; i < countof(at) / 2; i++)
        blocks_give(&b, at[i], BLOCKS_RUN_MAX);
    blocks_set_open(&b, 8 * BLOCKS_RUN_MAX);
    for (unsigned i = countof(at) / 2; i < countof(at); i++)
        blocks_give(&b, at[i], BLOCKS_RUN_MAX);
    low = resident_bytes();
    EXPECT(low + 54 * MIB < full);
    for (unsigned i = 0; i < 8; i++)
        EXPECT(blocks_take(&b, BLOCKS_RUN_MAX) != NULL);
    EXPECT(blocks_take(&b, 1) == NULL);
    blocks_exit(&b);
}
