/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/fill.c - what a filler does: publish, append, and one of the ends.
 *
 * Nobody waits for readers: what they have not read yet stays, because they hold the object.
 */
#include "store/object.h"

static uint64_t
now_us(void)
{
    return loop_self() ? loop_now_us() : clock_monotonic_us();
}

static void
set_state(struct store_object *o, enum content_state state)
{
    atomic_store_explicit(&o->content->state, state, memory_order_release);
    bell_ring(o->store, o->content);
}

/* With the shard's lock, and of two that are in: `o` covers `before`, or what that one covers if it
 * is not whole itself.  One that has no head yet was begun later, when what `o` was to replace was
 * gone: it stays.  The reference of who is in no more. */
static struct store_object *
cover(struct shard *shard, struct store_object *o, struct store_object *before)
{
    struct store_object *gone;

    if (content_state(before->content) == CONTENT_ASKED) {
        store_index_remove(shard, o);
        return o;
    }
    queues_inherit(&o->place, &before->place);
    if (!store_is_complete(before)) {
        o->covers = before->covers;
        store_index_remove(shard, before);
        return before;
    }
    gone = store_index_take_back(o->store, shard, o->key);
    before->role = ROLE_BACK;
    o->covers = true;
    /* Where memory is short, it goes before what is asked for. */
    atomic_store_explicit(&before->place.hits, 0, memory_order_relaxed);
    return gone;
}

/* Takes the place of the one that was found until now.  With store.memory. */
static void
come_forward(struct store_object *o)
{
    struct store *s = o->store;
    struct shard *shard = store_shard_of(s, o->key);
    struct store_object *before = NULL, *gone = NULL;

    pthread_mutex_lock(&shard->lock);
    if (o->indexed && o->role == ROLE_ASIDE)
        before = store_index_find(s, shard, o->key, ROLE_FOUND, &gone);
    if (before)
        gone = cover(shard, o, before);
    o->role = ROLE_FOUND;
    pthread_mutex_unlock(&shard->lock);
    if (gone)
        store_object_drop(gone);
}

/* It is whole: what it replaced is needed no more.  With store.memory. */
static void
uncover(struct store_object *o)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    struct store_object *back = NULL;

    pthread_mutex_lock(&shard->lock);
    if (o->covers)
        back = store_index_take_back(o->store, shard, o->key);
    o->covers = false;
    pthread_mutex_unlock(&shard->lock);
    if (back)
        store_object_drop(back);
}

enum err
store_publish(struct store_object *o, struct slice head, const struct store_facts *facts)
{
    struct store *s = o->store;
    enum err e = ERR_LIMIT;

    CHECK(content_state(o->content) == CONTENT_ASKED);
    pthread_mutex_lock(&s->memory);
    if (facts->length <= (int64_t) atomic_load(&s->limit))
        e = store_object_describe(o, head, facts);
    if (e == OK) {
        o->made_us = now_us();
        o->fleeting = facts->fleeting;
        o->content->announced = facts->length;
        come_forward(o);
    } else {
        s->refused++;
    }
    pthread_mutex_unlock(&s->memory);
    if (e == OK)
        set_state(o, CONTENT_PUBLISHED);
    else
        store_decline(o);
    return e;
}

/* With the shard's lock: what is kept back for it is found again, unless it or `o` turns out to be
 * purged; the reference of who is in no more. */
static struct store_object *
put_back(struct shard *shard, struct store_object *o)
{
    struct store *s = o->store;
    struct store_object *gone, *back;

    if (store_measure(s, o) == VERDICT_HARD)
        return store_index_take_back(s, shard, o->key);
    back = store_index_find(s, shard, o->key, ROLE_BACK, &gone);
    if (back) {
        back->role = ROLE_FOUND;
        queues_inherit(&back->place, &o->place);
    }
    return gone;
}

/* Found no more, before anybody hears of it: who asks again must not get it again, but what there
 * was before. */
static void
give_up(struct store_object *o, enum content_state state)
{
    struct store *s = o->store;
    struct shard *shard = store_shard_of(s, o->key);
    struct store_object *gone = NULL;
    bool was_in;

    pthread_mutex_lock(&shard->lock);
    if (o->covers)
        gone = put_back(shard, o);
    was_in = store_index_remove(shard, o);
    pthread_mutex_unlock(&shard->lock);
    if (gone) {
        atomic_fetch_add_explicit(&s->purged, 1, memory_order_relaxed);
        store_leave(gone);
    }
    if (was_in)
        store_leave(o);
    set_state(o, state);
}

enum err
store_append(struct store_object *o, struct slice bytes)
{
    struct store *s = o->store;
    enum err e;

    CHECK(content_state(o->content) != CONTENT_ASKED);
    if (content_state(o->content) != CONTENT_PUBLISHED)
        return ERR_LIMIT;
    e = content_append(s, o->content, bytes);
    if (e == OK) {
        bell_ring(s, o->content);
        return OK;
    }
    pthread_mutex_lock(&s->memory);
    s->refused++;
    pthread_mutex_unlock(&s->memory);
    give_up(o, CONTENT_BROKEN);
    return e;
}

static bool
is_indexed(struct store_object *o)
{
    struct shard *shard = store_shard_of(o->store, o->key);
    bool is;

    pthread_mutex_lock(&shard->lock);
    is = o->indexed;
    pthread_mutex_unlock(&shard->lock);
    return is;
}

/* With store.memory: where it can be driven out, if it is found. */
static void
enqueue(struct store_object *o)
{
    struct store *s = o->store;

    o->place.units = content_units(s, content_source(o->content, CONTENT_COMPLETE)) +
                     blocks_units(STORE_OBJECT_BYTES) + blocks_units(o->head_n + o->path_n);
    if (is_indexed(o))
        queues_insert(&s->queues, &o->place);
}

static void
complete(struct store_object *o)
{
    struct tier *t = o->store->tier;

    set_state(o, CONTENT_COMPLETE);
    if (t && !o->fetched && !o->fleeting)
        t->ops->offer(t, o->key, o);
}

void
store_finish(struct store_object *o)
{
    struct store *s = o->store;
    struct content *c = o->content;
    bool stays;

    if (content_state(c) != CONTENT_PUBLISHED)
        return;
    if (c->announced >= 0 && (uint64_t) c->announced != content_length(c)) {
        store_break(o);
        return;
    }
    pthread_mutex_lock(&s->memory);
    uncover(o);
    content_trim(s, c);
    /* The bound may have come down meanwhile. */
    stays = !content_reaches(s, c, s->blocks.open);
    if (stays)
        enqueue(o);
    pthread_mutex_unlock(&s->memory);
    if (!stays)
        store_unlink(o);
    complete(o);
}

void
store_decline(struct store_object *o)
{
    if (content_state(o->content) != CONTENT_ASKED)
        return;
    atomic_fetch_add_explicit(&o->store->declined, 1, memory_order_relaxed);
    give_up(o, CONTENT_DECLINED);
}

void
store_break(struct store_object *o)
{
    if (content_state(o->content) > CONTENT_PUBLISHED)
        return;
    atomic_fetch_add_explicit(&o->store->broken, 1, memory_order_relaxed);
    give_up(o, CONTENT_BROKEN);
}

void
store_remove(struct store_object *o)
{
    struct tier *t = o->store->tier;

    store_unlink(o);
    if (t)
        t->ops->forget(t, o->key, false);
}

/* ------------------------------------------------------------------ a new head */

enum err
store_renew(struct store_object *fresh, struct store_object *old, struct slice head,
            const struct store_facts *facts)
{
    struct store *s = fresh->store;
    struct content *c = fresh->content;
    enum err e;

    CHECK(content_state(c) == CONTENT_ASKED && store_is_complete(old));
    pthread_mutex_lock(&s->memory);
    e = store_object_describe(fresh, head, facts);
    if (e == OK) {
        fresh->made_us = now_us();
        fresh->fleeting = facts->fleeting;
        c->from = content_source(old->content, CONTENT_COMPLETE);
        c->announced = (int64_t) content_length(c->from);
        atomic_fetch_add(&c->from->refs, 1);
        atomic_store(&fresh->hits, store_hits(old));
        come_forward(fresh);
        uncover(fresh);
        enqueue(fresh);
    } else {
        s->refused++;
    }
    pthread_mutex_unlock(&s->memory);
    if (e == OK)
        complete(fresh);
    else
        store_decline(fresh);
    return e;
}
