/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/store.c - stores by name: how they come, change their bounds, and go.
 *
 * Of the budget, the bitmaps of the blocks and the fingerprints of the queues are taken off first;
 * the rest is lent.  Beyond it there is only struct store itself, some 20 KiB.
 */
#include "store/store.h"

#include "store/disk.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    BITMAPS_SHARE = 512,       /* two bits for a unit of 128 bytes */
    BYTES_PER_GHOST = 2048,
    GHOSTS_LEAST = 64,
    GROWTH = 8,                /* addresses are reserved for so much more */
    OBJECT_SHARE = 2,          /* no object takes more of the budget */
};

#define MEMORY_LEAST (UINT64_C(256) * 1024)
#define RESERVE_LEAST (UINT64_C(4) << 30)

static struct {
    pthread_mutex_t lock;
    struct store   *first;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ------------------------------------------------------------------ bounds */

static const struct store_options defaults = {
    .memory_bytes = UINT64_C(64) << 20,
    .object_bytes = UINT64_C(16) << 20, /* a quarter */
};

static size_t
ghosts_for(uint64_t memory_bytes)
{
    size_t n = GHOSTS_LEAST;

    while (n < memory_bytes / BYTES_PER_GHOST && n < UINT32_MAX / 2)
        n *= 2;
    return n;
}

/* Others than before; without memory for them, none. */
static void
set_ghosts(struct store *s, size_t n)
{
    size_t bytes = n * sizeof(struct ghost);
    struct ghost *ghosts;

    if (bytes == s->ghosts_bytes)
        return;
    queues_set_ghosts(&s->queues, NULL, 0);
    if (s->ghosts)
        munmap(s->ghosts, s->ghosts_bytes);
    s->ghosts = NULL;
    s->ghosts_bytes = 0;
    ghosts = n ? mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
               : MAP_FAILED;
    if (ghosts == MAP_FAILED)
        return;
    madvise(ghosts, bytes, MADV_NOHUGEPAGE);
    s->ghosts = ghosts;
    s->ghosts_bytes = bytes;
    queues_set_ghosts(&s->queues, ghosts, (uint32_t) n);
}

static uint64_t
memory_of(const struct store_options *options)
{
    return options->memory_bytes > MEMORY_LEAST ? options->memory_bytes : MEMORY_LEAST;
}

static uint64_t
lent_of(uint64_t memory_bytes)
{
    return memory_bytes - memory_bytes / BITMAPS_SHARE -
           ghosts_for(memory_bytes) * sizeof(struct ghost);
}

static void
set_bounds(struct store *s, const struct store_options *options)
{
    uint64_t memory_bytes = memory_of(options), limit = memory_bytes / OBJECT_SHARE;
    uint64_t open = lent_of(memory_bytes) / BLOCKS_UNIT;

    if (options->object_bytes && options->object_bytes < limit)
        limit = options->object_bytes;
    pthread_mutex_lock(&s->memory);
    if (open > s->blocks.reserved)
        open = s->blocks.reserved;
    s->shrunk = s->shrunk || open < s->blocks.open;
    s->memory_bytes = memory_bytes;
    atomic_store(&s->limit, limit);
    set_ghosts(s, ghosts_for(memory_bytes));
    blocks_set_open(&s->blocks, (uint32_t) open);
    pthread_mutex_unlock(&s->memory);
}

/* ------------------------------------------------------------------ coming and going */

static void
init_locks(struct store *s)
{
    pthread_mutex_init(&s->memory, NULL);
    for (unsigned i = 0; i < STORE_BELLS; i++)
        pthread_mutex_init(&s->bells[i], NULL);
    for (unsigned i = 0; i < STORE_SHARDS; i++)
        pthread_mutex_init(&s->shards[i].lock, NULL);
}

static struct store *
new_store(struct slice name, const struct store_options *options)
{
    struct store *s = aligned_alloc(64, (sizeof(*s) + 63) & ~(size_t) 63);
    uint64_t open = lent_of(memory_of(options)), reserve = open * GROWTH;
    struct sip_secret secret;

    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    s->name = strndup(name.n ? name.at : "", name.n);
    random_bytes(&secret, sizeof(secret));
    if (!s->name || !store_set_secret(s, &secret) ||
        !blocks_init(&s->blocks, reserve > RESERVE_LEAST ? reserve : RESERVE_LEAST, open)) {
        free(s->secrets);
        free(s->name);
        free(s);
        return NULL;
    }
    init_locks(s);
    queues_init(&s->queues);
    purges_init(&s->purges);
    store_sweep_init(s);
    set_bounds(s, options);
    return s;
}

static struct store *
find(struct slice name)
{
    struct store *s = all.first;

    while (s && !slice_eq(slice_str(s->name), name))
        s = s->next;
    return s;
}

struct store *
store_open(struct slice name, const struct store_options *options)
{
    struct store *s;

    pthread_mutex_lock(&all.lock);
    s = find(name);
    if (s && options) {
        set_bounds(s, options);
    } else if (!s) {
        s = new_store(name, options ? options : &defaults);
        if (s) {
            s->next = all.first;
            all.first = s;
        }
    }
    if (s)
        s->refs++;
    pthread_mutex_unlock(&all.lock);
    if (s && options) {
        store_sweep_wake(s);
        disk_apply(s, options);
    }
    return s;
}

struct store *
store_find(struct slice name)
{
    struct store *s;

    pthread_mutex_lock(&all.lock);
    s = find(name);
    if (s)
        s->refs++;
    pthread_mutex_unlock(&all.lock);
    return s;
}

static void
free_store(struct store *s)
{
    struct secrets *secrets = s->secrets;

    disk_free(s);
    set_ghosts(s, 0);
    blocks_exit(&s->blocks);
    purges_exit(&s->purges);
    for (unsigned i = 0; i < STORE_SHARDS; i++)
        pthread_mutex_destroy(&s->shards[i].lock);
    for (unsigned i = 0; i < STORE_BELLS; i++)
        pthread_mutex_destroy(&s->bells[i]);
    pthread_mutex_destroy(&s->memory);
    while (secrets) {
        struct secrets *before = secrets->before;

        free(secrets);
        secrets = before;
    }
    free(s->name);
    free(s);
}

void
store_release(struct store *s)
{
    bool last = s->dropped && s->holds == 0;

    pthread_mutex_unlock(&s->memory);
    if (last)
        free_store(s);
}

/* All that is found: what others hold stays until they leave it. */
static void
empty_shard(struct store *s, struct shard *shard)
{
    uint32_t room;

    for (;;) {
        struct store_object *o = NULL;

        pthread_mutex_lock(&shard->lock);
        room = shard->slots.room;
        for (uint32_t i = 0; i < room && !o; i++)
            if (shard->slots.slot[i])
                o = blocks_at(&s->blocks, (uint32_t) shard->slots.slot[i] - 1);
        if (o)
            store_index_remove(shard, o);
        pthread_mutex_unlock(&shard->lock);
        if (!o)
            return;
        store_leave(o);
    }
}

void
store_drop(struct store *s)
{
    struct store **at = &all.first;
    bool last;

    pthread_mutex_lock(&all.lock);
    last = --s->refs == 0;
    while (last && *at != s)
        at = &(*at)->next;
    if (last)
        *at = s->next;
    pthread_mutex_unlock(&all.lock);
    if (!last)
        return;
    store_sweep_stop(s);
    disk_close(s);
    for (unsigned i = 0; i < STORE_SHARDS; i++)
        empty_shard(s, &s->shards[i]);
    pthread_mutex_lock(&s->memory);
    s->dropped = true;
    store_release(s);
}

void
store_attach(struct store *s, struct tier *t)
{
    s->tier = t;
}

/* ------------------------------------------------------------------ keys and figures */

static inline const struct secrets *
secrets_of(const struct store *s)
{
    return atomic_load_explicit(&s->secrets, memory_order_acquire);
}

bool
store_set_secret(struct store *s, const struct sip_secret *secret)
{
    struct secrets *now = malloc(sizeof(*now));

    if (!now)
        return false;
    now->first = *secret;
    now->more = (struct sip_secret){~secret->k0, ~secret->k1};
    now->before = s->secrets;
    atomic_store_explicit(&s->secrets, now, memory_order_release);
    return true;
}

struct sip_secret
store_secret(const struct store *s)
{
    return secrets_of(s)->first;
}

struct store_key
store_key_of(const struct store *s, const void *bytes, size_t n)
{
    uint64_t out[2];

    sip_hash(&secrets_of(s)->first, bytes, n, out);
    return (struct store_key){out[0], out[1]};
}

struct store_key
store_key_with(const struct store *s, struct store_key first, const void *bytes, size_t n)
{
    /* The first key becomes part of the secret. */
    const struct sip_secret *more = &secrets_of(s)->more;
    const struct sip_secret secret = {more->k0 ^ first.high, more->k1 ^ first.low};
    uint64_t out[2];

    sip_hash(&secret, bytes, n, out);
    return (struct store_key){out[0], out[1]};
}

void
store_status(const struct store *s, struct store_status *out)
{
    struct store *own = (struct store *) s; /* for its locks */

    *out = (struct store_status){0};
    for (unsigned i = 0; i < STORE_SHARDS; i++) {
        struct shard *shard = &own->shards[i];

        pthread_mutex_lock(&shard->lock);
        out->objects += shard->slots.count;
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->shared += shard->shared;
        pthread_mutex_unlock(&shard->lock);
    }
    pthread_mutex_lock(&own->memory);
    out->memory_bytes = (uint64_t) s->blocks.used * BLOCKS_UNIT + s->ghosts_bytes +
                        (uint64_t) s->blocks.fresh * BLOCKS_UNIT / BITMAPS_SHARE;
    out->memory_max = s->memory_bytes;
    out->evicted = s->evicted;
    out->refused = s->refused;
    pthread_mutex_unlock(&own->memory);
    out->purged = atomic_load(&s->purged);
    out->declined = atomic_load(&s->declined);
    out->broken = atomic_load(&s->broken);
    disk_status(s, out);
}

void
store_each(void (*see)(void *arg, struct slice name, const struct store_status *status), void *arg)
{
    struct store_status status;

    pthread_mutex_lock(&all.lock);
    for (struct store *s = all.first; s; s = s->next) {
        store_status(s, &status);
        see(arg, slice_str(s->name), &status);
    }
    pthread_mutex_unlock(&all.lock);
}
