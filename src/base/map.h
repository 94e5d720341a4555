/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/map.h - a hash map from bytes to a pointer.
 *
 * Open addressing, linear probing, at most three quarters full (Knuth, TAOCP 6.4).  Keys are not
 * copied: they must live as long as the map.  The hash is XXH3 with a seed drawn at start, so that
 * a peer cannot choose keys that collide.  Not safe to change while another thread reads.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_slot {
    struct slice key; /* at is NULL in a free slot */
    uint64_t     hash;
    void        *value;
};

struct map {
    struct map_slot *slots;
    size_t           room; /* 0 or a power of two */
    size_t           count;
};

/* Hash of bytes, seeded per process (hash_seed). */
uint64_t hash_bytes(struct slice s);
/* The same in every process and on every machine. */
uint64_t hash_stable(struct slice s);
/* As hash_bytes(), but ASCII letters hash alike in both cases; at most the first 256 bytes
 * count. */
uint64_t hash_bytes_nocase(struct slice s);
/* Draws the seed; called once at the start of the process, before the first map is filled. */
void hash_seed(uint64_t seed);

/* A zeroed map is an empty map. */
void map_free(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct slice key);
/* False when out of memory.  The key's bytes must outlive the map; value must not be NULL. */
bool map_put(struct map *m, struct slice key, void *value);
/* The value taken out, NULL when absent. */
void *map_remove(struct map *m, struct slice key);
/* Iteration: for (size_t i = 0; (slot = map_each(m, &i));) in no particular order. */
const struct map_slot *map_each(const struct map *m, size_t *i);

#endif
