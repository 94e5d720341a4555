/* SPDX-License-Identifier: Apache-2.0 */
/* base/map.c - linear probing with backward-shift deletion, so that no tombstones pile up. */
#include "base/map.h"

#include "base/check.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t seed;

void
hash_seed(uint64_t value)
{
    seed = value;
}

uint64_t
hash_bytes(struct slice s)
{
    return XXH3_64bits_withSeed(s.at, s.n, seed);
}

uint64_t
hash_stable(struct slice s)
{
    return XXH3_64bits(s.at, s.n);
}

uint64_t
hash_bytes_nocase(struct slice s)
{
    char lower[256];
    size_t n = s.n < sizeof(lower) ? s.n : sizeof(lower);

    for (size_t i = 0; i < n; i++)
        lower[i] = ascii_lower(s.at[i]);
    return XXH3_64bits_withSeed(lower, n, seed);
}

void
map_free(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

/* The slot that holds key, or the free one where it would go.  There is always a free slot. */
static size_t
find(const struct map *m, struct slice key, uint64_t hash)
{
    size_t i = hash & (m->room - 1);

    while (m->slots[i].key.at &&
           (m->slots[i].hash != hash || !slice_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->room - 1);
    return i;
}

void *
map_get(const struct map *m, struct slice key)
{
    return m->room ? m->slots[find(m, key, hash_bytes(key))].value : NULL;
}

static bool
grow(struct map *m)
{
    struct map bigger = {.room = m->room ? m->room * 2 : 8};

    bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->room; i++)
        if (m->slots[i].key.at)
            bigger.slots[find(&bigger, m->slots[i].key, m->slots[i].hash)] = m->slots[i];
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

bool
map_put(struct map *m, struct slice key, void *value)
{
    uint64_t hash = hash_bytes(key);
    struct map_slot *slot;

    CHECK(value != NULL);
    if (key.at == NULL)
        key.at = "";
    if (m->count + 1 > m->room / 4 * 3 && !grow(m))
        return false;
    slot = &m->slots[find(m, key, hash)];
    if (!slot->key.at)
        m->count++;
    *slot = (struct map_slot){key, hash, value};
    return true;
}

void *
map_remove(struct map *m, struct slice key)
{
    size_t hole, i;
    void *value;

    if (!m->room)
        return NULL;
    hole = find(m, key, hash_bytes(key));
    value = m->slots[hole].value;
    if (!m->slots[hole].key.at)
        return NULL;
    for (i = (hole + 1) & (m->room - 1); m->slots[i].key.at; i = (i + 1) & (m->room - 1)) {
        size_t home = m->slots[i].hash & (m->room - 1);

        /* Move back what would no longer be reached across the hole. */
        if (((i - home) & (m->room - 1)) >= ((i - hole) & (m->room - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->count--;
    return value;
}

const struct map_slot *
map_each(const struct map *m, size_t *i)
{
    while (*i < m->room) {
        const struct map_slot *slot = &m->slots[(*i)++];

        if (slot->key.at)
            return slot;
    }
    return NULL;
}
