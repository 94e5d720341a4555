/* SPDX-License-Identifier: Apache-2.0 */
/* store/slots.c - probing (Knuth, TAOCP 6.4, algorithms L and R). */
#include "store/slots.h"

#include "base/check.h"

static inline uint32_t
tag_of(uint64_t slot)
{
    return (uint32_t) (slot >> 32);
}

static inline uint64_t
slot_of(uint32_t tag, uint32_t unit)
{
    return (uint64_t) tag << 32 | (unit + 1);
}

uint32_t
slots_wanted(const struct slots *s)
{
    if (s->room == 0)
        return SLOTS_LEAST;
    return s->count < s->room / 4 * 3 ? 0 : s->room * 2;
}

static void
put(struct slots *s, uint64_t slot)
{
    uint32_t i = tag_of(slot) & (s->room - 1);

    while (s->slot[i])
        i = (i + 1) & (s->room - 1);
    s->slot[i] = slot;
}

uint64_t *
slots_move(struct slots *s, uint64_t *table, uint32_t room)
{
    struct slots before = *s;

    CHECK(room > before.count);
    for (uint32_t i = 0; i < room; i++)
        table[i] = 0;
    s->slot = table;
    s->room = room;
    for (uint32_t i = 0; i < before.room; i++)
        if (before.slot[i])
            put(s, before.slot[i]);
    return before.slot;
}

void
slots_put(struct slots *s, uint32_t tag, uint32_t unit)
{
    CHECK(s->count + 1 < s->room);
    put(s, slot_of(tag, unit));
    s->count++;
}

/* Moves back what would no longer be reached across the hole. */
static void
close_hole(struct slots *s, uint32_t hole)
{
    uint32_t mask = s->room - 1;

    for (uint32_t i = (hole + 1) & mask; s->slot[i]; i = (i + 1) & mask) {
        uint32_t home = tag_of(s->slot[i]) & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->slot[hole] = s->slot[i];
            hole = i;
        }
    }
    s->slot[hole] = 0;
}

bool
slots_remove(struct slots *s, uint32_t tag, uint32_t unit)
{
    if (s->room == 0)
        return false;
    for (uint32_t i = tag & (s->room - 1); s->slot[i]; i = (i + 1) & (s->room - 1))
        if (s->slot[i] == slot_of(tag, unit)) {
            close_hole(s, i);
            s->count--;
            return true;
        }
    return false;
}

uint32_t
slots_first(const struct slots *s, uint32_t tag)
{
    return tag & (s->room - 1);
}

bool
slots_next(const struct slots *s, uint32_t tag, uint32_t *at, uint32_t *unit)
{
    if (s->room == 0)
        return false;
    while (s->slot[*at]) {
        uint64_t slot = s->slot[*at];

        *at = (*at + 1) & (s->room - 1);
        if (tag_of(slot) == tag) {
            *unit = (uint32_t) slot - 1;
            return true;
        }
    }
    return false;
}
