/* SPDX-License-Identifier: Apache-2.0 */
/* store/tier_test.c - a store with something behind it: here, one object in an array. */
#include "store/tier.h"

#include "base/test.h"
#include "store/object.h"
#include "store/testing.h"

static struct store *s;

static struct shelf {
    struct tier      tier;
    struct store_key key;
    char             head[8], body[1000];
    size_t           body_n;
    unsigned         offered, fetched, forgotten, noted, committed;
    uint64_t         measured;
    bool             later; /* fills not before it is told to */
    struct store_object *filling;
} shelf;

static void
fill(struct store_object *o)
{
    const struct store_facts facts = {.length = (int64_t) shelf.body_n};

    CHECK(store_publish(o, slice_of(shelf.head, sizeof(shelf.head)), &facts) == OK);
    CHECK(store_append(o, slice_of(shelf.body, shelf.body_n)) == OK);
    store_finish(o);
}

static bool
fetch(struct tier *t, struct store_key key, struct store_object *o)
{
    (void) t;
    if (key.low != shelf.key.low || !shelf.body_n)
        return false;
    shelf.fetched++;
    if (shelf.later) {
        store_hold(o);
        shelf.filling = o;
    } else {
        fill(o);
    }
    return true;
}

static void
offer(struct tier *t, struct store_key key, struct store_object *o)
{
    struct slice chunk;

    (void) t;
    shelf.offered++;
    shelf.key = key;
    memcpy(shelf.head, store_head(o).at, sizeof(shelf.head));
    for (shelf.body_n = 0; store_read(o, shelf.body_n, 0, &chunk) == OK; shelf.body_n += chunk.n)
        memcpy(shelf.body + shelf.body_n, chunk.at, chunk.n);
}

static bool
has(struct tier *t, struct store_key key)
{
    (void) t;
    return key.low == shelf.key.low && shelf.body_n;
}

static void
forget(struct tier *t, struct store_key key, bool soft)
{
    (void) t;
    (void) soft;
    shelf.forgotten++;
    if (key.low == shelf.key.low)
        shelf.body_n = 0;
}

static uint64_t
measured(struct tier *t)
{
    (void) t;
    return shelf.measured;
}

static void
note(struct tier *t, const struct purge_rule *rule)
{
    (void) t;
    (void) rule;
    shelf.noted++;
}

static void
commit(struct tier *t)
{
    (void) t;
    shelf.committed++;
}

static void
settle(struct tier *t, unsigned shard, uint32_t open)
{
    (void) t;
    (void) shard;
    (void) open;
}

static const struct tier_ops ops = {
    .fetch = fetch,
    .has = has,
    .offer = offer,
    .forget = forget,
    .note = note,
    .commit = commit,
    .measured = measured,
    .settle = settle,
};

static void
begin(void)
{
    shelf = (struct shelf){.tier.ops = &ops, .measured = UINT64_MAX};
    s = testing_store(4 * MIB);
    store_attach(s, &shelf.tier);
    CHECK(testing_put(s, 1, 1000, NULL));
}

/* Out of memory, as if it had been driven out. */
static void
drive_out(uint64_t number)
{
    struct store_object *o;

    CHECK(store_ask(s, testing_key(s, number), false, &o) == STORE_HIT);
    store_unlink(o);
    store_leave(o);
}

TEST(what_was_driven_out_comes_back_from_the_tier)
{
    struct store_object *o;

    begin();
    EXPECT_EQ(shelf.offered, 1);
    drive_out(1);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT(testing_is_whole(o, 1, 1000));
    store_leave(o);
    EXPECT(testing_has(s, 1));
    EXPECT_EQ(shelf.fetched, 1);
    EXPECT_EQ(shelf.offered, 1);
    EXPECT_EQ(store_ask(s, testing_key(s, 2), true, &o), STORE_MISS);
    store_break(o);
    store_leave(o);
    store_drop(s);
}

TEST(a_slow_read_is_shared)
{
    struct store_object *one, *two;

    begin();
    drive_out(1);
    shelf.later = true;
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &one), STORE_FILLING);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &two), STORE_FILLING);
    EXPECT(one == two);
    fill(shelf.filling);
    store_leave(take(&shelf.filling));
    EXPECT(testing_is_whole(one, 1, 1000));
    store_leave(one);
    store_leave(two);
    EXPECT_EQ(shelf.fetched, 1);
    store_drop(s);
}

TEST(what_is_removed_or_purged_is_forgotten_there_too)
{
    struct store_object *o;

    begin();
    store_purge_key(s, testing_key(s, 1), false);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    store_break(o);
    store_leave(o);
    EXPECT(testing_put(s, 1, 500, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    store_remove(o);
    store_leave(o);
    EXPECT_EQ(shelf.forgotten, 2);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    store_break(o);
    store_leave(o);
    store_drop(s);
}

TEST(rules_are_kept_until_the_tier_has_been_measured)
{
    begin();
    shelf.measured = purges_epoch(&s->purges);
    store_purge_tag(s, 5, false);
    while (store_sweep_step(s, 1000))
        ;
    EXPECT(purges_any(&s->purges));
    shelf.measured = purges_epoch(&s->purges);
    while (store_sweep_step(s, 1000))
        ;
    EXPECT(!purges_any(&s->purges));
    store_drop(s);
}
