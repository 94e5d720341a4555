/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/field_ids.c - from a field name to its number and back.
 *
 * The number of a name is found by hashing its length, its first and its last two characters, which
 * no two known names have in common; one comparison then tells whether it is that name.  The table
 * is filled before main() starts, so that a new name is one line in field_ids.h and none here.
 */
#include "http/field_ids.h"

#include "base/check.h"
#include "http/message.h"

struct known_name {
    char    text[31]; /* canonical spelling, padded with zeros */
    uint8_t n;
};

static const struct known_name known[FIELD_COUNT] = {
#define NAME_ROW(id, name, hop) [id] = {name, sizeof(name) - 1},
    FIELD_TABLE(NAME_ROW)
#undef NAME_ROW
};

#define HOP_BIT(id, name, hop) | (uint64_t) (hop) << (id)
static const uint64_t hop_by_hop = 0 FIELD_TABLE(HOP_BIT);
#undef HOP_BIT

enum { SLOTS = 256 };

static uint8_t slots[SLOTS]; /* ids; FIELD_OTHER is a free slot.  Read-only once main() runs */

/* The factor was found by trial: it gives the known names different slots.  Should a new name
 * collide, it takes the next free slot, which costs a comparison and breaks nothing.  s.n is at
 * least 2. */
static inline uint32_t
slot_of(struct slice s)
{
    const unsigned char *p = (const unsigned char *) s.at;
    uint32_t ends = (uint32_t) p[0] << 16 | (uint32_t) p[s.n - 2] << 8 | p[s.n - 1];

    return (((uint32_t) s.n << 24 | ends | 0x202020) * 0xF6AFA993u) >> 24;
}

__attribute__((constructor)) static void
fill_slots(void)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
        uint32_t slot;

        CHECK(known[id].n >= 2);
        slot = slot_of(slice_of(known[id].text, known[id].n));
        while (slots[slot] != FIELD_OTHER)
            slot = (slot + 1) % SLOTS;
        slots[slot] = (uint8_t) id;
    }
}

static inline uint64_t
load_64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t
load_32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* Zero when a and the known bytes b differ at most in the case of letters, eight bytes at a time:
 * bit 0x20 may differ where b has bit 0x40 set, and known names hold letters and hyphens only. */
static inline uint64_t
differ(uint64_t a, uint64_t b)
{
    return (a ^ b) & ~(b >> 1 & 0x2020202020202020u);
}

static inline uint64_t
differ_64(struct slice s, const struct known_name *k, size_t at)
{
    return differ(load_64(s.at + at), load_64(k->text + at));
}

static inline uint64_t
differ_32(struct slice s, const struct known_name *k, size_t at)
{
    return differ(load_32(s.at + at), load_32(k->text + at));
}

/* s and k have the same length, 2 to 31.  Chunks overlap instead of leaving a rest. */
static inline bool
same_name(struct slice s, const struct known_name *k)
{
    uint64_t diff = 0;

    if (s.n >= 8) {
        diff = differ_64(s, k, 0) | differ_64(s, k, s.n - 8);
        if (s.n > 16)
            diff |= differ_64(s, k, 8) | differ_64(s, k, s.n - 16);
    } else if (s.n >= 4) {
        diff = differ_32(s, k, 0) | differ_32(s, k, s.n - 4);
    } else {
        for (size_t i = 0; i < s.n; i++)
            diff |= differ((unsigned char) s.at[i], (unsigned char) k->text[i]);
    }
    return diff == 0;
}

enum field_id
field_id_from(struct slice name)
{
    uint32_t slot;

    if (name.n < 2 || name.n > sizeof(known[0].text))
        return FIELD_OTHER;
    for (slot = slot_of(name); slots[slot] != FIELD_OTHER; slot = (slot + 1) % SLOTS) {
        const struct known_name *k = &known[slots[slot]];

        if (k->n == name.n && same_name(name, k))
            return slots[slot];
    }
    return FIELD_OTHER;
}

struct slice
field_name(enum field_id id)
{
    CHECK((unsigned) id < FIELD_COUNT);
    return slice_of(known[id].text, known[id].n);
}

bool
field_is_hop_by_hop(enum field_id id)
{
    return hop_by_hop >> id & 1;
}
