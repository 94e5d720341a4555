/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_index.c - where on the disk what lies.
 *
 * 40 bits of the key stand for it (the shard and the tag): who reads compares the whole key.  Two
 * objects that agree in them push each other out, which costs a miss in some millions.
 */
#include "store/disk.h"

enum { ROOM_LEAST = 16, ROOM_MOST = BLOCKS_RUN_MAX * BLOCKS_UNIT / sizeof(struct disk_entry) };

static unsigned
shard_of(struct store_key key)
{
    return key.high % STORE_SHARDS;
}

static struct disk_entry *
find_tag(const struct disk_table *t, uint32_t tag)
{
    uint32_t i = tag & (t->room - 1);

    while (t->entries[i].units && t->entries[i].tag != tag)
        i = (i + 1) & (t->room - 1);
    return &t->entries[i];
}

struct disk_entry *
disk_index_find(struct disk *d, struct store_key key)
{
    const struct disk_table *t = &d->tables[shard_of(key)];
    struct disk_entry *e = t->room ? find_tag(t, (uint32_t) key.low) : NULL;

    return e && e->units ? e : NULL;
}

bool
disk_index_put(struct disk *d, struct store_key key, const struct disk_entry *e)
{
    struct disk_table *t = &d->tables[shard_of(key)];
    struct disk_entry *at;

    if (t->count + 1 >= t->room)
        return false;
    at = find_tag(t, (uint32_t) key.low);
    if (!at->units) {
        t->count++;
        d->objects++;
    }
    *at = *e;
    at->tag = (uint32_t) key.low;
    return true;
}

/* Moves back what would no longer be reached across the hole (Knuth, TAOCP 6.4, algorithm R). */
void
disk_index_remove(struct disk *d, unsigned shard, struct disk_entry *e)
{
    struct disk_table *t = &d->tables[shard];
    uint32_t mask = t->room - 1, hole = (uint32_t) (e - t->entries);

    for (uint32_t i = (hole + 1) & mask; t->entries[i].units; i = (i + 1) & mask) {
        uint32_t home = t->entries[i].tag & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->entries[hole] = t->entries[i];
            hole = i;
        }
    }
    t->entries[hole].units = 0;
    t->count--;
    d->objects--;
}

/* ------------------------------------------------------------------ tables */

/* With store.memory. */
static bool
move_table(struct disk *d, unsigned shard, uint32_t room)
{
    struct store *s = d->store;
    struct disk_entry *entries = store_memory_take(s, room * sizeof(*entries));
    struct disk_table *t = &d->tables[shard], before;

    if (!entries)
        return false;
    memset(entries, 0, room * sizeof(*entries));
    pthread_mutex_lock(&d->lock);
    before = *t;
    t->entries = entries;
    t->room = room;
    for (uint32_t i = 0; i < before.room; i++)
        if (before.entries[i].units)
            *find_tag(t, before.entries[i].tag) = before.entries[i];
    pthread_mutex_unlock(&d->lock);
    if (before.entries)
        store_memory_give(s, before.entries, before.room * sizeof(*entries));
    return true;
}

/* Only the writer adds, and only what store.memory covers moves: what is seen here stays true. */
bool
disk_index_reserve(struct disk *d, struct store_key key)
{
    const unsigned shard = shard_of(key);
    const struct disk_table *t = &d->tables[shard];
    uint32_t room;
    bool tight, ok;

    pthread_mutex_lock(&d->store->memory);
    pthread_mutex_lock(&d->lock);
    room = t->count + 1 < t->room / 4 * 3 ? 0 : t->room ? t->room * 2 : ROOM_LEAST;
    tight = t->count + 1 >= t->room / 16 * 15;
    pthread_mutex_unlock(&d->lock);
    ok = room == 0 || (room <= ROOM_MOST && move_table(d, shard, room)) || !tight;
    pthread_mutex_unlock(&d->store->memory);
    return ok;
}

void
disk_index_settle(struct disk *d, unsigned shard, uint32_t open)
{
    const struct disk_table *t = &d->tables[shard];

    if (t->entries && blocks_unit_of(&d->store->blocks, t->entries) >= open)
        (void) move_table(d, shard, t->room);
}

void
disk_index_clear(struct disk *d)
{
    pthread_mutex_lock(&d->store->memory);
    for (unsigned shard = 0; shard < STORE_SHARDS; shard++) {
        struct disk_table before;

        pthread_mutex_lock(&d->lock);
        before = d->tables[shard];
        d->tables[shard] = (struct disk_table){0};
        d->objects -= before.count;
        pthread_mutex_unlock(&d->lock);
        if (before.entries)
            store_memory_give(d->store, before.entries, before.room * sizeof(*before.entries));
    }
    pthread_mutex_unlock(&d->store->memory);
}

void
disk_index_each(struct disk *d, unsigned shard,
                bool (*see)(struct disk *d, struct disk_entry *e, void *arg), void *arg)
{
    struct disk_table *t = &d->tables[shard];
    uint32_t free = 0;

    if (!t->room)
        return;
    /* Downwards from one that is free: who moves into the place of one that is taken out comes from
     * above, and was seen already (see sweep.c). */
    while (t->entries[free].units)
        free++;
    for (uint32_t left = t->room; left > 0; left--) {
        struct disk_entry *e = &t->entries[(free + left) & (t->room - 1)];

        if (e->units && see(d, e, arg))
            disk_index_remove(d, shard, e);
    }
}
