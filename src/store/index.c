/* SPDX-License-Identifier: Apache-2.0 */
/* store/index.c - what is found, and whether it still may be. */
#include "store/object.h"

static inline uint32_t
tag_of(struct store_key key)
{
    return (uint32_t) key.low;
}

static inline struct purge_facts
facts_of(const struct store_object *o)
{
    const char *head = (const char *) (o->tags + o->tags_n);

    return (struct purge_facts){o->tags, o->tags_n, slice_of(head + o->head_n, o->path_n)};
}

enum verdict
store_measure(struct store *s, struct store_object *o)
{
    const uint64_t since = atomic_load_explicit(&o->measured, memory_order_relaxed);
    struct purge_facts facts = {0};
    enum verdict verdict;
    uint64_t now;
    bool known;

    if (since == purges_epoch(&s->purges))
        return VERDICT_KEEP;
    /* While nobody knows what it will be, only what was said of all objects can be told to concern
     * it: it is measured again when that is known. */
    known = content_state(o->content) != CONTENT_ASKED;
    if (known)
        facts = facts_of(o);
    verdict = purges_measure(&s->purges, &facts, since, &now);
    if (verdict == VERDICT_SOFT)
        atomic_store_explicit(&o->soft, true, memory_order_relaxed);
    if (verdict != VERDICT_HARD && known)
        atomic_store_explicit(&o->measured, now, memory_order_release);
    return verdict;
}

bool
store_is_measured(const struct store_object *o)
{
    /* Who sees that it was measured sees also whether it is soft since. */
    return atomic_load_explicit(&o->measured, memory_order_acquire) ==
           purges_epoch(&o->store->purges);
}

bool
store_is_purged(struct store_object *o)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    enum verdict verdict;

    pthread_mutex_lock(&shard->lock);
    verdict = store_measure(o->store, o);
    pthread_mutex_unlock(&shard->lock);
    return verdict != VERDICT_KEEP || store_is_soft(o);
}

void
store_begin_with(struct store_object *o, const struct store_object *from)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    const uint64_t since = atomic_load_explicit(&from->measured, memory_order_acquire);

    pthread_mutex_lock(&shard->lock);
    if (since < atomic_load_explicit(&o->measured, memory_order_relaxed))
        atomic_store_explicit(&o->measured, since, memory_order_relaxed);
    if (store_is_soft(from))
        atomic_store_explicit(&o->soft, true, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);
}

struct store_moment
store_moment(struct store *s, struct store_key key)
{
    struct shard *shard = store_shard_of(s, key);
    struct store_moment now = {.epoch = purges_epoch(&s->purges)};

    pthread_mutex_lock(&shard->lock);
    now.keys = shard->purges;
    pthread_mutex_unlock(&shard->lock);
    return now;
}

bool
store_begin_at(struct store_object *o, const struct store_moment *moment)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    bool same;

    pthread_mutex_lock(&shard->lock);
    if (moment->epoch < atomic_load_explicit(&o->measured, memory_order_relaxed))
        atomic_store_explicit(&o->measured, moment->epoch, memory_order_relaxed);
    same = shard->purges == moment->keys;
    pthread_mutex_unlock(&shard->lock);
    return same;
}

/* It was purged softly before anybody knew what it will be: that is for those who wait for it
 * already, but not for who asks now. */
static inline bool
is_overtaken(const struct store_object *o)
{
    return store_is_soft(o) && content_state(o->content) == CONTENT_ASKED;
}

/* Most of a hit's time is waiting for memory: all lines of a record at once. */
static inline void
fetch_all(const struct store_object *o)
{
    for (unsigned at = 0; at < STORE_OBJECT_BYTES; at += 64)
        __builtin_prefetch((const char *) o + at);
}

struct store_object *
store_index_find(struct store *s, struct shard *shard, struct store_key key, enum role role,
                 struct store_object **gone)
{
    uint32_t at = slots_first(&shard->slots, tag_of(key)), unit;

    *gone = NULL;
    while (slots_next(&shard->slots, tag_of(key), &at, &unit)) {
        struct store_object *o = blocks_at(&s->blocks, unit);

        fetch_all(o);
        if (o->key.high != key.high || o->key.low != key.low || o->role != role)
            continue;
        if (store_measure(s, o) != VERDICT_HARD && !is_overtaken(o))
            return o;
        store_index_remove(shard, o);
        *gone = o;
        return NULL;
    }
    return NULL;
}

bool
store_index_remove(struct shard *shard, struct store_object *o)
{
    bool was_in = o->indexed;

    if (was_in)
        CHECK(slots_remove(&shard->slots, tag_of(o->key), blocks_unit_of(&o->store->blocks, o)));
    o->indexed = o->covers = false;
    return was_in;
}

struct store_object *
store_index_take_back(struct store *s, struct shard *shard, struct store_key key)
{
    struct store_object *gone, *back = store_index_find(s, shard, key, ROLE_BACK, &gone);

    if (back)
        store_index_remove(shard, back);
    return back ? back : gone;
}

/* Others may be driven out for the new table, of this shard too: without its lock. */
static bool
move_table(struct store *s, struct shard *shard, uint32_t room)
{
    uint64_t *table = store_memory_take(s, room * sizeof(*table)), *before;
    uint32_t before_room;

    if (!table)
        return false;
    pthread_mutex_lock(&shard->lock);
    before_room = shard->slots.room;
    before = slots_move(&shard->slots, table, room);
    pthread_mutex_unlock(&shard->lock);
    if (before)
        store_memory_give(s, before, before_room * sizeof(*before));
    return true;
}

bool
store_index_reserve(struct store *s, struct shard *shard)
{
    uint32_t wanted;

    pthread_mutex_lock(&shard->lock);
    wanted = slots_wanted(&shard->slots);
    pthread_mutex_unlock(&shard->lock);
    return wanted == 0 || (wanted <= SLOTS_MOST && move_table(s, shard, wanted));
}

void
store_index_settle(struct store *s, struct shard *shard, uint32_t open)
{
    /* Tables change under store.memory only. */
    if (shard->slots.slot && blocks_unit_of(&s->blocks, shard->slots.slot) >= open)
        (void) move_table(s, shard, shard->slots.room);
}

void
store_index_put(struct shard *shard, struct store_object *o)
{
    atomic_fetch_add(&o->refs, 1);
    slots_put(&shard->slots, tag_of(o->key), blocks_unit_of(&o->store->blocks, o));
    o->indexed = true;
}

void
store_unlink(struct store_object *o)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    struct store_object *back = NULL;
    bool was_in;

    pthread_mutex_lock(&shard->lock);
    if (o->covers)
        back = store_index_take_back(o->store, shard, o->key);
    was_in = store_index_remove(shard, o);
    pthread_mutex_unlock(&shard->lock);
    if (back)
        store_leave(back);
    if (was_in)
        store_leave(o);
}
