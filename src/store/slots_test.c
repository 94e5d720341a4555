/* SPDX-License-Identifier: Apache-2.0 */
#include "store/slots.h"

#include "base/clock.h"
#include "base/test.h"

#include <stdlib.h>

enum { UNITS = 3000 };

static bool
has(const struct slots *s, uint32_t tag, uint32_t unit)
{
    uint32_t at = slots_first(s, tag), found;

    while (slots_next(s, tag, &at, &found))
        if (found == unit)
            return true;
    return false;
}

static void
put(struct slots *s, uint32_t tag, uint32_t unit)
{
    uint32_t wanted = slots_wanted(s);

    if (wanted)
        free(slots_move(s, malloc(wanted * sizeof(uint64_t)), wanted));
    slots_put(s, tag, unit);
}

TEST(an_empty_index_has_nothing)
{
    struct slots s = {0};

    EXPECT(!has(&s, 1, 1));
    EXPECT(!slots_remove(&s, 1, 1));
    EXPECT_EQ(slots_wanted(&s), SLOTS_LEAST);
}

TEST(equal_tags_are_all_found)
{
    struct slots s = {0};

    for (uint32_t unit = 0; unit < 20; unit++)
        put(&s, 7, unit);
    for (uint32_t unit = 0; unit < 20; unit++)
        EXPECT(has(&s, 7, unit));
    EXPECT(slots_remove(&s, 7, 4));
    EXPECT(!has(&s, 7, 4));
    EXPECT(has(&s, 7, 19));
    free(s.slot);
}

/* Few different tags, so that runs are long and wrap around. */
TEST(random_operations_match_a_model)
{
    static uint32_t tag_of[UNITS];
    static bool in[UNITS];
    struct slots s = {0};
    struct dice dice;
    uint32_t count = 0;

    dice_init(&dice, 5);
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t unit = (uint32_t) (dice_next(&dice) % UNITS);

        if (in[unit]) {
            EXPECT(has(&s, tag_of[unit], unit));
            EXPECT(slots_remove(&s, tag_of[unit], unit));
            EXPECT(!has(&s, tag_of[unit], unit));
            count--;
        } else {
            tag_of[unit] = (uint32_t) (dice_next(&dice) % 2000 * 4);
            put(&s, tag_of[unit], unit);
            count++;
        }
        in[unit] = !in[unit];
        EXPECT_EQ(s.count, count);
    }
    for (uint32_t unit = 0; unit < UNITS; unit++)
        EXPECT_EQ(has(&s, tag_of[unit], unit), in[unit]);
    free(s.slot);
}
