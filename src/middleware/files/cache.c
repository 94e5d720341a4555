/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/cache.c - files that were opened a moment ago.
 *
 * Each worker keeps its own, so that nothing is locked.  An entry is fresh for a second; then the
 * next request opens the file anew, and what has been replaced, forbidden or removed meanwhile is
 * seen.  What is used least recently goes first.
 */
#include "base/check.h"
#include "base/map.h"
#include "middleware/files/files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct cache {
    struct map  by_key;
    struct list by_use; /* most recent first */
    size_t      n, descriptors;
    uint64_t    bytes;  /* of content */
    struct list link;   /* in all.caches */
    /* Written by this worker alone, read by everybody. */
    _Atomic uint64_t counts[FILES_COUNTS];
};

static __thread struct cache *mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t  at_thread_exit;

/* For who sums up the counts. */
static struct {
    pthread_mutex_t lock;
    struct list     caches;
    uint64_t        ended[FILES_COUNTS]; /* of threads that are no more */
} all = {PTHREAD_MUTEX_INITIALIZER, {&all.caches, &all.caches}, {0}};

static void
destroy(struct files_opened *o)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o);
}

/* In memory. */
static uint64_t
bytes_of(const struct files_opened *o)
{
    return o->content ? o->stamp.size : 0;
}

/* Out of the cache; those who use it go on doing so. */
static void
forget(struct cache *c, struct files_opened *o)
{
    map_remove(&c->by_key, o->key);
    list_remove(&o->link);
    c->n--;
    c->descriptors -= o->fd >= 0;
    c->bytes -= bytes_of(o);
    o->kept = false;
    if (o->users == 0)
        destroy(o);
}

static void
end_cache(void *arg)
{
    struct cache *c = arg;

    list_each (link, &c->by_use)
        forget(c, list_entry(link, struct files_opened, link));
    map_free(&c->by_key);
    pthread_mutex_lock(&all.lock);
    list_remove(&c->link);
    for (size_t i = 0; i < FILES_COUNTS; i++)
        all.ended[i] += atomic_load_explicit(&c->counts[i], memory_order_relaxed);
    pthread_mutex_unlock(&all.lock);
    free(c);
    mine = NULL;
}

static void
make_key(void)
{
    CHECK(pthread_key_create(&at_thread_exit, end_cache) == 0);
}

/* NULL when out of memory. */
static struct cache *
own_cache(void)
{
    if (mine)
        return mine;
    pthread_once(&once, make_key);
    mine = calloc(1, sizeof(*mine));
    if (!mine)
        return NULL;
    list_init(&mine->by_use);
    pthread_mutex_lock(&all.lock);
    list_append(&all.caches, &mine->link);
    pthread_mutex_unlock(&all.lock);
    pthread_setspecific(at_thread_exit, mine);
    return mine;
}

struct files_opened *
files_cache_find(struct slice key)
{
    struct cache *c = own_cache();
    struct files_opened *o = c ? map_get(&c->by_key, key) : NULL;

    if (!o)
        return NULL;
    if (o->until_us < clock_monotonic_us()) {
        forget(c, o);
        return NULL;
    }
    list_remove(&o->link);
    list_push(&c->by_use, &o->link);
    o->users++;
    return o;
}

static void
make_room(struct cache *c)
{
    while (c->n > FILES_OPENED_MAX || c->descriptors > FILES_DESCRIPTORS_MAX ||
           c->bytes > FILES_MEMORY_MAX)
        forget(c, list_entry(c->by_use.prev, struct files_opened, link));
}

void
files_cache_keep(struct files_opened *o)
{
    struct cache *c = own_cache();
    struct files_opened *old = c ? map_get(&c->by_key, o->key) : NULL;

    if (!c)
        return;
    if (old)
        forget(c, old); /* somebody else looked at the same time */
    if (!map_put(&c->by_key, o->key, o))
        return;
    list_push(&c->by_use, &o->link);
    c->n++;
    c->descriptors += o->fd >= 0;
    c->bytes += bytes_of(o);
    o->kept = true;
    o->until_us = clock_monotonic_us() + FILES_FRESH_US;
    make_room(c);
}

void
files_opened_leave(struct files_opened *o)
{
    CHECK(o->users > 0);
    if (--o->users == 0 && !o->kept)
        destroy(o);
}

void
files_cache_drop(void)
{
    struct cache *c = own_cache();

    if (!c)
        return;
    list_each (link, &c->by_use) {
        struct files_opened *o = list_entry(link, struct files_opened, link);

        if (o->users == 0)
            forget(c, o);
    }
}

/* ------------------------------------------------------------------ counts */

void
files_count(enum files_count what)
{
    struct cache *c = own_cache();
    uint64_t n;

    if (!c)
        return;
    n = atomic_load_explicit(&c->counts[what], memory_order_relaxed);
    atomic_store_explicit(&c->counts[what], n + 1, memory_order_relaxed);
}

void
files_counts_read(struct files_counts *out)
{
    uint64_t sum[FILES_COUNTS];

    pthread_mutex_lock(&all.lock);
    memcpy(sum, all.ended, sizeof(sum));
    list_each (link, &all.caches) {
        const struct cache *c = list_entry(link, struct cache, link);

        for (size_t i = 0; i < FILES_COUNTS; i++)
            sum[i] += atomic_load_explicit(&c->counts[i], memory_order_relaxed);
    }
    pthread_mutex_unlock(&all.lock);
    *out = (struct files_counts){sum[FILES_FOUND], sum[FILES_OPENED], sum[FILES_WAITED],
                                 sum[FILES_BROKEN]};
}
