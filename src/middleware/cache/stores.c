/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/cache/stores.c - the stores that a configuration names, and the one that is always
 * there. */
#include "middleware/cache/stores.h"

#include "store/store.h"

#define TIB (INT64_C(1) << 40)

static const struct option store_options_table[] = {
    {"name", &option_string, offsetof(struct cache_store, name), .flags = OPTION_KEY,
     .doc = "What `cache: {store: ...}` calls it; `default` is used where nothing is said."},
    {"memory", &option_bytes, offsetof(struct cache_store, memory_bytes), .preset = "64MiB",
     .min = 1024 * 1024, .max = TIB,
     .doc = "All that the store takes in memory: index, fields and bodies."},
    {"max_object", &option_bytes, offsetof(struct cache_store, object_bytes), .preset = "0",
     .max = TIB,
     .doc = "Larger responses are not kept; 0 is a quarter of the memory."},
    {NULL},
};

const struct option_object cache_store_object = {
    .name = "cache_store",
    .doc = "A place where responses are kept, shared by all routes that name it. It outlives "
           "reloads.",
    .size = sizeof(struct cache_store),
    .options = store_options_table,
    .shorthand = "memory",
};

static void
apply(const struct cache_store *s)
{
    struct store_options options = {
        .memory_bytes = s->memory_bytes,
        .object_bytes = s->object_bytes ? s->object_bytes : s->memory_bytes / 4,
    };

    /* Whoever uses it holds it already: where nobody does, nothing is there to bound. */
    store_drop(store_open(s->name, &options));
}

void
cache_stores_apply(const struct option_list *stores)
{
    const struct cache_store *s = stores->at;

    for (size_t i = 0; i < stores->n; i++)
        apply(&s[i]);
}

bool
cache_stores_know(const struct option_list *stores, struct slice name)
{
    const struct cache_store *s = stores ? stores->at : NULL;

    for (size_t i = 0; s && i < stores->n; i++)
        if (slice_eq(s[i].name, name))
            return true;
    return slice_eq(name, SLICE("default"));
}
