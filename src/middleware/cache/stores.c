/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/cache/stores.c - the stores that a configuration names, and the one that is always
 * there. */
#include "middleware/cache/stores.h"

#include "observe/log.h"
#include "observe/metrics.h"
#include "runtime/fiber.h"
#include "store/store.h"

#include <limits.h>

#define TIB (INT64_C(1) << 40)

static const struct option disk_options_table[] = {
    {"folder", &option_string, offsetof(struct cache_disk, folder), .flags = OPTION_REQUIRED,
     .doc = "Where the files are. It belongs to this store alone and to the user that the proxy "
            "runs as, and is made if it can be."},
    {"size", &option_bytes, offsetof(struct cache_disk, size_bytes), .preset = "10GiB",
     .min = 16 * 1024 * 1024, .max = 64 * TIB,
     .doc = "All that the files take; the oldest go when there is no more room."},
    {NULL},
};

static bool
check_disk(struct config_bind *b, void *object)
{
    struct cache_disk *disk = object;

    if (disk->folder.n > 0 && disk->folder.at[0] == '/' && disk->folder.n < PATH_MAX / 2)
        return true;
    return config_bind_error(b, &disk->folder, "such as /var/cache/maitred",
                             "the folder must be an absolute path");
}

static const struct option_object disk_object = {
    .name = "cache_disk",
    .doc = "A disk behind the memory: what has no room there, and what a restart finds again.",
    .size = sizeof(struct cache_disk),
    .options = disk_options_table,
    .shorthand = "folder",
    .check = check_disk,
};

static const struct option store_options_table[] = {
    {"name", &option_string, offsetof(struct cache_store, name), .flags = OPTION_KEY,
     .doc = "What `cache: {store: ...}` calls it; `default` is used where nothing is said."},
    {"memory", &option_bytes, offsetof(struct cache_store, memory_bytes), .preset = "64MiB",
     .min = 1024 * 1024, .max = TIB,
     .doc = "All that the store takes in memory: index, fields and bodies."},
    {"max_object", &option_bytes, offsetof(struct cache_store, object_bytes), .preset = "0",
     .max = TIB,
     .doc = "Larger responses are not kept; 0 is a quarter of the memory."},
    {"disk", &option_objects, offsetof(struct cache_store, disk), .object = &disk_object,
     .flags = OPTION_POINTER,
     .doc = "A disk behind the memory; without, what is kept is in memory only."},
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
tell(bool trouble, const char *sentence)
{
    if (trouble)
        log_warning("cache: %s", sentence);
    else
        log_info("cache: %s", sentence);
}

static uint64_t
object_max(const struct cache_store *s)
{
    return s->object_bytes ? s->object_bytes : s->memory_bytes / 4;
}

static void
apply(const struct cache_store *s)
{
    struct store_options options = {
        .memory_bytes = s->memory_bytes,
        .object_bytes = object_max(s),
        .tell = tell,
    };

    /* Commands that only look have no fiber. */
    if (s->disk && fiber_self()) {
        options.folder = s->disk->folder;
        options.disk_bytes = s->disk->size_bytes;
    }

    /* Whoever uses it holds it already: where nobody does, nothing is there to bound. */
    store_drop(store_open(s->name, &options));
}

void
cache_stores_apply(const struct option_list *stores)
{
    const struct cache_store *s = stores->at;

    metrics_collector(cache_stores_tell);
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

uint64_t
cache_stores_object_max(const struct option_list *stores, struct slice name)
{
    static const struct cache_store unsaid = {.memory_bytes = 64 * 1024 * 1024};
    const struct cache_store *s = stores ? stores->at : NULL;

    for (size_t i = 0; s && i < stores->n; i++)
        if (slice_eq(s[i].name, name))
            return object_max(&s[i]);
    return object_max(&unsaid);
}
