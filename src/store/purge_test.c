/* SPDX-License-Identifier: Apache-2.0 */
/* store/purge_test.c - purges of a store, and the sweep behind them. */
#include "base/test.h"
#include "store/object.h"
#include "store/testing.h"

#include <stdio.h>

static struct store *s;

static void
put(uint64_t number, uint64_t tag, const char *path)
{
    const struct store_facts facts = {
        .length = 100, .tags = &tag, .tags_n = 1, .path = slice_str(path)};

    CHECK(testing_put(s, number, 100, &facts));
}

static bool
is_soft(uint64_t number)
{
    struct store_object *o;
    bool soft;

    CHECK(store_ask(s, testing_key(s, number), false, &o) == STORE_HIT);
    soft = store_is_soft(o);
    store_leave(o);
    return soft;
}

static void
open_three(void)
{
    s = testing_store(4 * MIB);
    put(1, 7, "a.example/x");
    put(2, 8, "a.example/y");
    put(3, 7, "b.example/x");
}

TEST(by_tag)
{
    open_three();
    store_purge_tag(s, 7, false);
    EXPECT(!testing_has(s, 1) && testing_has(s, 2) && !testing_has(s, 3));
    put(1, 7, "a.example/x");
    EXPECT(testing_has(s, 1));
    store_drop(s);
}

TEST(by_host_and_path)
{
    open_three();
    store_purge_prefix(s, SLICE("a.example/"), false);
    EXPECT(!testing_has(s, 1) && !testing_has(s, 2) && testing_has(s, 3));
    store_drop(s);
}

TEST(by_key_and_all)
{
    open_three();
    store_purge_key(s, testing_key(s, 2), false);
    EXPECT(testing_has(s, 1) && !testing_has(s, 2) && testing_has(s, 3));
    store_purge_all(s, false);
    EXPECT(!testing_has(s, 1) && !testing_has(s, 3));
    store_drop(s);
}

TEST(softly)
{
    open_three();
    store_purge_tag(s, 8, true);
    EXPECT(!is_soft(1) && is_soft(2));
    store_purge_key(s, testing_key(s, 1), true);
    EXPECT(is_soft(1) && !is_soft(3));
    store_purge_all(s, true);
    EXPECT(is_soft(3));
    store_drop(s);
}

/* What was asked of the origin before a purge may be what the purge is about. */
TEST(a_fill_under_way_is_purged_too)
{
    const uint64_t tag = 7;
    const struct store_facts facts = {.length = -1, .tags = &tag, .tags_n = 1};
    struct store_object *o[3];

    open_three();
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(store_ask(s, testing_key(s, 10 + i), true, &o[i]), STORE_MISS);
    EXPECT_EQ(store_publish(o[0], SLICE("h"), &facts), OK);
    store_purge_tag(s, 7, false);
    store_purge_key(s, testing_key(s, 12), false);
    while (store_sweep_step(s, 1000))
        ;
    EXPECT_EQ(store_publish(o[1], SLICE("h"), &facts), OK);
    EXPECT_EQ(store_publish(o[2], SLICE("h"), &(struct store_facts){.length = -1}), OK);
    for (unsigned i = 0; i < 3; i++) {
        store_finish(o[i]);
        EXPECT(!testing_has(s, 10 + i));
        store_leave(o[i]);
    }
    store_drop(s);
}

/* Who comes after a purge begins anew where it is known to concern what is asked for already, and
 * else can find out once that has a head. */
TEST(nobody_finds_what_was_asked_for_before_a_soft_purge)
{
    struct store_object *o, *second;

    s = testing_store(4 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
        EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &second), STORE_FILLING);
        store_leave(second);
        if (i)
            store_purge_all(s, true);
        else
            store_purge_key(s, testing_key(s, 1), true);
        EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &second), STORE_MISS);
        EXPECT_EQ(store_publish(o, SLICE("h"), &(struct store_facts){.length = -1}), OK);
        store_finish(o);
        EXPECT(!testing_has(s, 1));
        store_break(second);
        store_leave(second);
        store_leave(o);
    }
    store_drop(s);
}

TEST(a_fill_is_measured_once_it_has_a_head)
{
    const uint64_t tag = 7;
    const struct store_facts facts = {.length = -1, .tags = &tag, .tags_n = 1};
    struct store_object *o;

    s = testing_store(4 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(store_ask(s, testing_key(s, i), true, &o), STORE_MISS);
        EXPECT(store_is_measured(o));
        store_purge_tag(s, i == 2 ? 8 : 7, i == 1);
        EXPECT(!store_is_measured(o));
        EXPECT_EQ(store_publish(o, SLICE("h"), &facts), OK);
        EXPECT_EQ(store_is_purged(o), i != 2);
        EXPECT_EQ(store_is_soft(o), i == 1);
        store_finish(o);
        EXPECT_EQ(testing_has(s, i), i != 0);
        store_leave(o);
    }
    store_drop(s);
}

TEST(what_goes_on_with_another_object_began_with_the_first)
{
    const uint64_t tag = 7;
    const struct store_facts facts = {.length = -1, .tags = &tag, .tags_n = 1};
    struct store_object *o, *more;

    s = testing_store(4 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(store_ask(s, testing_key(s, 2 * i), true, &o), STORE_MISS);
        if (i == 2)
            store_purge_key(s, testing_key(s, 2 * i), true);
        else
            store_purge_tag(s, 7, i);
        EXPECT_EQ(store_ask(s, testing_key(s, 2 * i + 1), true, &more), STORE_MISS);
        store_begin_with(more, o);
        EXPECT_EQ(store_publish(more, SLICE("h"), &facts), OK);
        store_finish(more);
        EXPECT_EQ(testing_has(s, 2 * i + 1), i != 0);
        EXPECT_EQ(store_is_soft(more), i != 0);
        store_decline(o);
        store_leave(more);
        store_leave(o);
    }
    store_drop(s);
}

TEST(what_was_asked_for_without_an_object_is_purged_too)
{
    const uint64_t tag = 7;
    const struct store_facts facts = {.length = -1, .tags = &tag, .tags_n = 1};
    struct store_moment moment;
    struct store_object *o;

    s = testing_store(4 * MIB);
    for (unsigned i = 0; i < 4; i++) {
        moment = store_moment(s, testing_key(s, i));
        if (i < 2)
            store_purge_key(s, testing_key(s, i), i);
        else if (i == 2)
            store_purge_tag(s, 7, false);
        EXPECT_EQ(store_ask(s, testing_key(s, i), true, &o), STORE_MISS);
        EXPECT_EQ(store_begin_at(o, &moment), i >= 2);
        EXPECT_EQ(store_publish(o, SLICE("h"), &facts), OK);
        store_finish(o);
        EXPECT_EQ(testing_has(s, i), i != 2);
        store_leave(o);
    }
    store_drop(s);
}

/* It began when the old one was gone. */
TEST(what_was_begun_later_is_not_replaced)
{
    const struct store_facts facts = {.length = -1};
    struct store_object *o, *fresh, *later;

    open_three();
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    store_purge_tag(s, 7, false);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &later), STORE_MISS);
    EXPECT_EQ(store_publish(fresh, SLICE("h"), &facts), OK);
    store_finish(fresh);
    EXPECT_EQ(store_publish(later, SLICE("h"), &facts), OK);
    store_finish(later);
    store_leave(o);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT(o == later);
    store_leave(later);
    store_leave(fresh);
    store_leave(o);
    store_drop(s);
}

TEST(a_renewal_under_way_is_purged_too)
{
    const struct store_facts facts = {.length = 100};
    struct store_object *o, *fresh;

    open_three();
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    store_purge_all(s, false);
    EXPECT_EQ(store_renew(fresh, o, SLICE("h"), &facts), OK);
    EXPECT(!testing_has(s, 1));
    store_leave(fresh);
    store_leave(o);
    store_drop(s);
}

/* Number 1 breaks off while another one arrives in its place, and meanwhile is purged in one of
 * these ways. */
enum way { BY_NOTHING, BY_KEY, BY_TAG, BY_PREFIX, BY_ALL, WAYS };

static void
purge_one(enum way way, bool soft)
{
    switch (way) {
    case BY_KEY: store_purge_key(s, testing_key(s, 1), soft); break;
    case BY_TAG: store_purge_tag(s, 7, soft); break;
    case BY_PREFIX: store_purge_prefix(s, SLICE("a.example/"), soft); break;
    case BY_ALL: store_purge_all(s, soft); break;
    case BY_NOTHING:
    case WAYS: break;
    }
}

static void
break_off_while_purged(enum way way, bool soft, bool swept)
{
    struct store_object *o, *fresh;

    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    EXPECT_EQ(store_publish(fresh, SLICE("h"), &(struct store_facts){.length = -1}), OK);
    purge_one(way, soft);
    while (swept && store_sweep_step(s, 1000))
        ;
    store_break(fresh);
    store_leave(fresh);
    store_leave(o);
}

TEST(what_is_kept_back_is_purged_too)
{
    for (unsigned i = 0; i < 2 * WAYS; i++) {
        enum way way = (enum way)(i / 2);

        open_three();
        break_off_while_purged(way, false, i % 2);
        EXPECT_EQ(testing_has(s, 1), way == BY_NOTHING);
        store_drop(s);
        open_three();
        break_off_while_purged(way, true, i % 2);
        EXPECT_EQ(is_soft(1), way != BY_NOTHING);
        store_drop(s);
    }
}

/* Number 1, in `old`, is to be replaced by one with another tag. */
static struct store_object *
replace_one(struct store_object **old)
{
    const uint64_t tag = 9;
    const struct store_facts facts = {.length = -1, .tags = &tag, .tags_n = 1};
    struct store_object *fresh;

    CHECK(store_ask(s, testing_key(s, 1), true, old) == STORE_HIT);
    CHECK(store_refill(*old, &fresh) == STORE_MISS);
    CHECK(store_publish(fresh, SLICE("h"), &facts) == OK);
    return fresh;
}

/* The purge was about the new one, and would not like the old one better. */
TEST(what_is_kept_back_does_not_come_for_one_that_was_purged)
{
    struct store_object *old, *fresh;
    struct store_status status;

    for (unsigned noticed = 0; noticed < 2; noticed++) {
        open_three();
        fresh = replace_one(&old);
        store_purge_tag(s, 9, false);
        EXPECT(!noticed || !testing_has(s, 1));
        store_break(fresh);
        EXPECT(!testing_has(s, 1));
        store_leave(fresh);
        store_leave(old);
        put(1, 7, "a.example/x");
        fresh = replace_one(&old);
        store_finish(fresh);
        store_status(s, &status);
        EXPECT_EQ(status.objects, 3);
        store_leave(fresh);
        store_leave(old);
        store_drop(s);
    }
}

/* ------------------------------------------------------------------ the sweep */

enum { MANY = 100000 };

static uint64_t
sweep_all(uint64_t *longest_us)
{
    uint64_t begin_us = testing_cpu_us(), step_us = begin_us, now_us;
    bool more;

    *longest_us = 0;
    do {
        more = store_sweep_step(s, 200);
        now_us = testing_cpu_us();
        if (now_us - step_us > *longest_us)
            *longest_us = now_us - step_us;
        step_us = now_us;
    } while (more);
    return now_us - begin_us;
}

TEST(a_purge_of_100000_objects_costs_nothing_and_the_sweep_frees_them_in_small_steps)
{
    struct store_status status;
    uint64_t begin_us, purge_us, sweep_us, longest_us, empty;

    s = testing_store(128 * MIB);
    store_status(s, &status);
    empty = status.memory_bytes;
    for (uint64_t i = 0; i < MANY; i++)
        put(i, i % 100 == 0 ? 8 : 7, "a.example/");
    begin_us = testing_cpu_us();
    store_purge_tag(s, 7, false);
    purge_us = testing_cpu_us() - begin_us;
    EXPECT(!testing_has(s, 77777));
    sweep_us = sweep_all(&longest_us);
    store_status(s, &status);
    EXPECT_EQ(status.objects, MANY / 100);
    EXPECT_EQ(status.purged, MANY - MANY / 100);
    EXPECT(!purges_any(&s->purges));
    EXPECT(testing_has(s, 100));
    printf("# purge %d us; sweep %d us, longest step %d us\n", (int) purge_us, (int) sweep_us,
           (int) longest_us);
    EXPECT(purge_us < 1000 * TEST_SLOWDOWN);
    EXPECT(sweep_us < 200000 * TEST_SLOWDOWN);
    store_purge_all(s, false);
    sweep_all(&longest_us);
    store_status(s, &status);
    EXPECT_EQ(status.objects, 0);
    /* Tables of the index stay, and the bitmaps of what was used. */
    EXPECT(status.memory_bytes - empty < 4 * MIB);
    store_drop(s);
}

static void
let_run(struct loop *l, uint64_t until_us)
{
    while (l->now_us < until_us && purges_any(&s->purges))
        loop_once(l, until_us);
}

TEST(the_sweep_runs_by_itself_on_the_loop_of_the_store)
{
    struct store_status status;
    struct loop loop;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    open_three();
    store_purge_tag(s, 7, false);
    let_run(&loop, loop.now_us + 5000000);
    store_status(s, &status);
    EXPECT_EQ(status.objects, 1);
    EXPECT(!purges_any(&s->purges));
    store_purge_all(s, false);
    loop_once(&loop, loop.now_us);
    store_purge_all(s, false);
    store_drop(s);
    loop_once(&loop, loop.now_us + 5000);
    loop_exit(&loop);
}
