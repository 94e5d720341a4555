/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/ask.c - finding objects, reading them, leaving them.
 *
 * A hit takes the lock of one shard for a probe and a reference; what is read then needs none.
 */
#include "store/object.h"

static inline void
count_hit(struct store_object *o)
{
    /* Writers have the shard's lock. */
    uint32_t hits = atomic_load_explicit(&o->hits, memory_order_relaxed);

    if (hits < UINT32_MAX)
        atomic_store_explicit(&o->hits, hits + 1, memory_order_relaxed);
}

/* With the shard's lock. */
static enum store_outcome
found(struct shard *shard, struct store_object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    queues_hit(&o->place);
    if (content_state(o->content) == CONTENT_COMPLETE) {
        shard->hits++;
        count_hit(o);
        return STORE_HIT;
    }
    shard->shared++;
    return STORE_FILLING;
}

static enum store_outcome
look(struct store *s, struct shard *shard, struct store_key key, enum role role,
     struct store_object **object)
{
    enum store_outcome outcome = STORE_MISS;
    struct store_object *gone;

    pthread_mutex_lock(&shard->lock);
    *object = store_index_find(s, shard, key, role, &gone);
    if (*object)
        outcome = found(shard, *object);
    else
        shard->misses++;
    pthread_mutex_unlock(&shard->lock);
    if (gone) {
        atomic_fetch_add_explicit(&s->purged, 1, memory_order_relaxed);
        store_leave(gone);
    }
    return outcome;
}

/* A new object, unless somebody was faster.  With store.memory. */
static enum store_outcome
enter(struct store *s, struct shard *shard, struct store_key key, enum role role,
      struct store_object **object)
{
    struct store_object *o = NULL, *other, *gone;
    enum store_outcome outcome = STORE_MISS;

    if (store_index_reserve(s, shard))
        o = store_object_new(s, key);
    pthread_mutex_lock(&shard->lock);
    other = store_index_find(s, shard, key, role, &gone);
    if (other) {
        outcome = found(shard, other);
        shard->misses--;
    } else if (o) {
        o->role = (uint8_t) role;
        store_index_put(shard, o);
    }
    pthread_mutex_unlock(&shard->lock);
    if (gone)
        store_object_drop(gone);
    if (other && o)
        store_object_drop(o);
    *object = other ? other : o;
    if (*object)
        return outcome;
    s->refused++;
    return STORE_NONE;
}

/* It is to be filled: by the tier, if that has it. */
static enum store_outcome
ask_tier(struct tier *t, struct store_object *o)
{
    o->fetched = true;
    if (t->ops->fetch(t, o->key, o))
        return content_state(o->content) == CONTENT_COMPLETE ? STORE_HIT : STORE_FILLING;
    o->fetched = false;
    return STORE_MISS;
}

/* Nobody would fill it but the tier. */
static enum store_outcome
nobody(enum store_outcome outcome, struct store_object **object)
{
    if (outcome != STORE_MISS)
        return outcome;
    store_break(*object);
    store_leave(take(object));
    return STORE_MISS;
}

static enum store_outcome
ask(struct store *s, struct store_key key, bool fill, enum role role, struct store_object **object)
{
    struct shard *shard = store_shard_of(s, key);
    enum store_outcome outcome = look(s, shard, key, role, object);
    struct tier *t = s->tier;

    if (outcome != STORE_MISS || (!fill && !(t && role == ROLE_FOUND && t->ops->has(t, key))))
        return outcome;
    pthread_mutex_lock(&s->memory);
    outcome = enter(s, shard, key, role, object);
    pthread_mutex_unlock(&s->memory);
    /* What is fetched anew is fetched from further away. */
    if (outcome == STORE_MISS && t && role == ROLE_FOUND)
        outcome = ask_tier(t, *object);
    return fill ? outcome : nobody(outcome, object);
}

enum store_outcome
store_ask(struct store *s, struct store_key key, bool fill, struct store_object **object)
{
    return ask(s, key, fill, ROLE_FOUND, object);
}

enum store_outcome
store_refill(struct store_object *old, struct store_object **fresh)
{
    return ask(old->store, old->key, true, ROLE_ASIDE, fresh);
}

void
store_hold(struct store_object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
}

void
store_leave(struct store_object *o)
{
    struct store *s = o->store;

    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_lock(&s->memory);
    store_object_free(o);
    store_release(s);
}

/* ------------------------------------------------------------------ reading */

enum err
store_wait_head(struct store_object *o, uint64_t deadline_us)
{
    enum content_state state = content_state(o->content);

    if (state == CONTENT_ASKED) {
        enum err e = bell_wait(o->store, o->content, BELL_HEAD, deadline_us);

        if (e != OK)
            return e;
        state = content_state(o->content);
    }
    if (state == CONTENT_DECLINED)
        return ERR_REFUSED;
    return o->tags ? OK : ERR_RESET;
}

enum err
store_read(struct store_object *o, uint64_t offset, uint64_t deadline_us, struct slice *chunk)
{
    struct content *c = o->content;
    enum err e;

    for (;;) {
        /* In this order: nothing is added after the state says that it has ended. */
        enum content_state state = content_state(c);

        *chunk = content_at(o->store, content_source(c, state), offset);
        if (chunk->n)
            return OK;
        if (state == CONTENT_COMPLETE)
            return ERR_END;
        if (state > CONTENT_COMPLETE)
            return ERR_RESET;
        e = bell_wait(o->store, c, offset, deadline_us);
        if (e != OK)
            return e;
    }
}

struct slice
store_head(const struct store_object *o)
{
    return slice_of((const char *) (o->tags + o->tags_n), o->head_n);
}

int64_t
store_length(const struct store_object *o)
{
    struct content *c = o->content;
    enum content_state state = content_state(c);

    if (state == CONTENT_COMPLETE)
        return (int64_t) content_length(content_source(c, state));
    return state == CONTENT_ASKED ? -1 : c->announced;
}

bool
store_is_complete(const struct store_object *o)
{
    return content_state(o->content) == CONTENT_COMPLETE;
}

atomic_bool *
store_given(struct store_object *o)
{
    return &content_source(o->content, CONTENT_COMPLETE)->given;
}

bool
store_is_from_disk(const struct store_object *o)
{
    return o->fetched;
}

uint32_t
store_hits(const struct store_object *o)
{
    return atomic_load_explicit(&o->hits, memory_order_relaxed);
}

uint64_t
store_made_us(const struct store_object *o)
{
    return o->made_us;
}

bool
store_is_soft(const struct store_object *o)
{
    return atomic_load_explicit(&o->soft, memory_order_relaxed);
}
