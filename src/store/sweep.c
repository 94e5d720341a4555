/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/sweep.c - purges, and the slow round through the index that gives back what they set free.
 *
 * A purge notes a rule, which holds from that moment on.  On the loop where the store was opened, a
 * timer then goes through all shards in steps of 200 us: it measures those objects that nobody asks
 * for, and lets rules be forgotten that everybody has been measured against.  It also takes out
 * what lies above the bound of a store that was made smaller.
 */
#include "base/map.h"
#include "store/object.h"

enum { STEP_US = 200, PAUSE_US = 1000, IDLE_US = 1000000, SLOTS_AT_ONCE = 64 };

/* ------------------------------------------------------------------ a round */

static void
begin_round(struct store *s)
{
    struct sweep *w = &s->sweep;

    w->running = true;
    w->behind = false;
    w->shard = w->room = w->slots = 0;
    w->epoch = w->until = purges_epoch(&s->purges);
    pthread_mutex_lock(&s->memory);
    w->open = s->shrunk ? s->blocks.open : UINT32_MAX;
    s->shrunk = false;
    pthread_mutex_unlock(&s->memory);
}

static bool
lies_above(const struct store *s, const struct store_object *o, uint32_t open)
{
    return open != UINT32_MAX && content_state(o->content) == CONTENT_COMPLETE &&
           (blocks_unit_of(&s->blocks, o) >= open || blocks_unit_of(&s->blocks, o->tags) >= open ||
            content_reaches(s, o->content, open));
}

/* With the shard's lock.  True: out of the index, and the reference is the caller's. */
static bool
sweep_out(struct store *s, struct shard *shard, struct store_object *o)
{
    struct sweep *w = &s->sweep;

    if (content_state(o->content) == CONTENT_ASKED) {
        uint64_t measured = atomic_load_explicit(&o->measured, memory_order_relaxed);

        w->behind = w->behind || measured < w->epoch;
        if (w->until > measured)
            w->until = measured;
        return false;
    }
    if (store_measure(s, o) == VERDICT_HARD)
        atomic_fetch_add_explicit(&s->purged, 1, memory_order_relaxed);
    else if (!lies_above(s, o, w->open))
        return false;
    return store_index_remove(shard, o);
}

static void
begin_shard(struct sweep *w, const struct slots *slots)
{
    w->slots = w->room = slots->room;
    w->free = 0;
    while (w->room && slots->slot[w->free])
        w->free++;
}

/* Some slots of the shard, downwards from one that is free: who moves when another one is taken
 * out, moves down, to where we still come to, and nobody moves across a free slot.  (If that is
 * taken meanwhile, somebody may be missed: purges_forget() counts him among the purged.)
 * False: that was the last of it. */
static bool
sweep_slots(struct store *s, struct shard *shard)
{
    struct store_object *out[SLOTS_AT_ONCE];
    struct sweep *w = &s->sweep;
    size_t n = 0;
    bool more;

    pthread_mutex_lock(&shard->lock);
    if (w->room != shard->slots.room)
        begin_shard(w, &shard->slots);
    for (unsigned i = 0; i < SLOTS_AT_ONCE && w->slots > 0; i++) {
        uint64_t slot = shard->slots.slot[(w->free + --w->slots) & (w->room - 1)];
        struct store_object *o = slot ? blocks_at(&s->blocks, (uint32_t) slot - 1) : NULL;

        if (o && sweep_out(s, shard, o)) {
            out[n++] = o;
            w->slots++; /* another one may stand there now */
        }
    }
    more = w->slots > 0;
    pthread_mutex_unlock(&shard->lock);
    while (n > 0)
        store_leave(out[--n]);
    return more;
}

bool
store_sweep_step(struct store *s, uint64_t budget_us)
{
    struct sweep *w = &s->sweep;
    uint64_t end_us = clock_monotonic_us() + budget_us;
    struct tier *t = s->tier;

    if (!w->running)
        begin_round(s);
    while (w->shard < STORE_SHARDS) {
        if (!sweep_slots(s, &s->shards[w->shard])) {
            pthread_mutex_lock(&s->memory);
            store_index_settle(s, &s->shards[w->shard], w->open);
            if (t)
                t->ops->settle(t, w->shard, w->open);
            pthread_mutex_unlock(&s->memory);
            w->shard++;
            w->room = w->slots = 0;
        }
        if (clock_monotonic_us() >= end_us && w->shard < STORE_SHARDS)
            return true;
    }
    if (t && t->ops->measured(t) < w->until)
        w->until = t->ops->measured(t);
    purges_forget(&s->purges, w->until);
    w->running = false;
    return false;
}

/* ------------------------------------------------------------------ its timer */

static bool
is_needed(struct store *s)
{
    bool shrunk;

    pthread_mutex_lock(&s->memory);
    shrunk = s->shrunk;
    pthread_mutex_unlock(&s->memory);
    return shrunk || purges_any(&s->purges);
}

static void
on_time(struct timer *t)
{
    struct store *s = container_of(t, struct store, sweep.timer);
    uint64_t pause_us = PAUSE_US;

    if (!store_sweep_step(s, STEP_US)) {
        if (!is_needed(s))
            return;
        /* Something new; or rules that a fill under way still has to be measured against. */
        if (purges_epoch(&s->purges) == s->sweep.epoch) {
            /* The tier says when it needs no rules any more. */
            if (!s->sweep.behind && s->tier)
                return;
            pause_us = IDLE_US;
        }
    }
    timer_set(&s->home->timers, t, s->home->now_us + pause_us);
}

static void
on_message(struct message *m)
{
    struct store *s = container_of(m, struct store, sweep.message);

    pthread_mutex_lock(&s->memory);
    s->sweep.posted = false;
    s->holds--;
    if (!s->dropped && (!timer_is_set(&s->sweep.timer) || !s->sweep.running))
        timer_set(&s->home->timers, &s->sweep.timer, s->home->now_us);
    store_release(s);
}

void
store_sweep_init(struct store *s)
{
    s->home = loop_self();
    s->sweep.timer.fire = on_time;
    s->sweep.message.run = on_message;
}

void
store_sweep_wake(struct store *s)
{
    bool post;

    pthread_mutex_lock(&s->memory);
    post = s->home && !s->sweep.posted && !s->dropped;
    if (post) {
        s->sweep.posted = true;
        s->holds++;
    }
    pthread_mutex_unlock(&s->memory);
    if (post)
        loop_post(s->home, &s->sweep.message);
}

void
store_sweep_stop(struct store *s)
{
    /* Else its loop has ended, and the timer with it. */
    if (!s->home || !loop_self())
        return;
    CHECK(s->home == loop_self());
    timer_clear(&s->home->timers, &s->sweep.timer);
}

/* ------------------------------------------------------------------ purges */

uint64_t
store_tag_of(struct slice tag)
{
    return hash_stable(tag);
}

/* With the shard's lock.  The reference of what is found no more. */
static struct store_object *
purge_one(struct store *s, struct shard *shard, struct store_key key, enum role role, bool soft)
{
    struct store_object *gone, *o = store_index_find(s, shard, key, role, &gone);

    if (o && soft)
        atomic_store_explicit(&o->soft, true, memory_order_relaxed);
    else if (o && store_index_remove(shard, o))
        gone = o;
    return gone;
}

/* What is found under that key, is being filled, or kept back: all at once, because the one becomes
 * the other. */
static void
purge_each(struct store *s, struct store_key key, bool soft)
{
    struct shard *shard = store_shard_of(s, key);
    struct store_object *gone[ROLES];

    pthread_mutex_lock(&shard->lock);
    shard->purges++;
    for (unsigned role = 0; role < ROLES; role++)
        gone[role] = purge_one(s, shard, key, (enum role) role, soft);
    pthread_mutex_unlock(&shard->lock);
    for (unsigned role = 0; role < ROLES; role++)
        if (gone[role]) {
            atomic_fetch_add_explicit(&s->purged, 1, memory_order_relaxed);
            store_leave(gone[role]);
        }
}

void
store_purge_key(struct store *s, struct store_key key, bool soft)
{
    struct tier *t = s->tier;

    purge_each(s, key, soft);
    if (t) {
        t->ops->forget(t, key, soft);
        t->ops->commit(t);
    }
}

static void
tell_tier(struct store *s, const struct purge_rule *rule)
{
    struct tier *t = s->tier;

    store_sweep_wake(s);
    if (t) {
        t->ops->note(t, rule);
        t->ops->commit(t);
    }
}

void
store_purge_tag(struct store *s, uint64_t tag, bool soft)
{
    struct purge_rule rule = {.kind = PURGE_TAG, .tag = tag, .soft = soft};

    rule.epoch = purges_add_tag(&s->purges, tag, soft);
    tell_tier(s, &rule);
}

void
store_purge_prefix(struct store *s, struct slice prefix, bool soft)
{
    struct purge_rule rule = {.kind = PURGE_PREFIX, .prefix = prefix, .soft = soft};

    rule.epoch = purges_add_prefix(&s->purges, prefix, soft);
    tell_tier(s, &rule);
}

void
store_purge_all(struct store *s, bool soft)
{
    struct purge_rule rule = {.kind = PURGE_ALL, .soft = soft};

    rule.epoch = purges_add_all(&s->purges, soft);
    tell_tier(s, &rule);
}
