/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/store_test.c - what one who asks and one who fills see of a store; nobody waits here
 * (bell_test.c), and nothing is driven out (budget_test.c).
 */
#include "store/store.h"

#include "base/test.h"
#include "store/testing.h"

static struct store *s;
static struct store_object *o, *other;

static const struct store_facts unknown_length = {.length = -1};

static void
open_store(void)
{
    s = testing_store(4 * MIB);
}

static struct store_status
status(void)
{
    struct store_status now;

    store_status(s, &now);
    return now;
}

TEST(keys_are_the_same_for_the_same_bytes_only)
{
    struct store_key a, b, c;

    open_store();
    a = store_key_of(s, "ab", 2);
    b = store_key_of(s, "ab", 2);
    c = store_key_of(s, "ac", 2);
    EXPECT(a.high == b.high && a.low == b.low);
    EXPECT(a.high != c.high && a.low != c.low);
    b = store_key_with(s, a, "c", 1);
    c = store_key_of(s, "abc", 3);
    EXPECT(b.high != c.high && b.low != c.low);
    c = store_key_with(s, store_key_of(s, "ac", 2), "c", 1);
    EXPECT(b.high != c.high && b.low != c.low);
    store_drop(s);
}

TEST(who_asks_first_fills_and_others_find_it)
{
    open_store();
    EXPECT_EQ(store_ask(s, testing_key(s, 1), false, &o), STORE_MISS);
    EXPECT(o == NULL);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &other), STORE_FILLING);
    EXPECT(o == other);
    EXPECT_EQ(store_publish(o, SLICE("head"), &unknown_length), OK);
    EXPECT_EQ(store_wait_head(other, 0), OK);
    EXPECT_STR(store_head(other), "head");
    EXPECT_EQ(store_length(other), -1);
    EXPECT_EQ(store_append(o, SLICE("bo")), OK);
    EXPECT_EQ(store_append(o, SLICE("dy")), OK);
    EXPECT(!store_is_complete(other));
    store_finish(o);
    EXPECT(store_is_complete(other));
    EXPECT_EQ(store_length(other), 4);
    store_leave(o);
    store_leave(other);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_hits(o), 1);
    EXPECT_EQ(status().hits, 1);
    EXPECT_EQ(status().misses, 2);
    EXPECT_EQ(status().shared, 1);
    store_leave(o);
    store_drop(s);
}

TEST(bodies_of_all_sizes_come_back_whole)
{
    static const size_t sizes[] = {0, 1, 127, 128, 129, 1000, 4096, 70001, 1 << 20};

    open_store();
    for (size_t i = 0; i < countof(sizes); i++) {
        EXPECT(testing_put(s, i, sizes[i], NULL));
        EXPECT_EQ(store_ask(s, testing_key(s, i), false, &o), STORE_HIT);
        EXPECT_EQ(store_length(o), sizes[i]);
        EXPECT(testing_is_whole(o, i, sizes[i]));
        store_leave(o);
    }
    store_drop(s);
}

/* Thousands of fragments, so that all pages but the last are used. */
TEST(a_body_may_come_in_pieces_of_any_size_and_be_read_from_anywhere)
{
    enum { WHOLE = 1500000 };
    static char body[WHOLE];
    struct slice chunk;
    size_t step = 1;

    open_store();
    testing_bytes(9, 0, body, WHOLE);
    EXPECT_EQ(store_ask(s, testing_key(s, 9), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &unknown_length), OK);
    for (size_t at = 0; at < WHOLE; at += step) {
        step = step * 3 % 7001;
        if (step > WHOLE - at)
            step = WHOLE - at;
        EXPECT_EQ(store_append(o, slice_of(body + at, step)), OK);
    }
    store_finish(o);
    for (size_t at = 0; at < WHOLE; at += 777) {
        EXPECT_EQ(store_read(o, at, 0, &chunk), OK);
        EXPECT(memcmp(chunk.at, body + at, chunk.n) == 0);
    }
    EXPECT_EQ(store_read(o, WHOLE, 0, &chunk), ERR_END);
    EXPECT_EQ(store_read(o, UINT64_MAX - 1, 0, &chunk), ERR_END);
    store_leave(o);
    /* What the last fragment had too much has gone back. */
    EXPECT(status().memory_bytes < WHOLE + 64 * 1024);
    store_drop(s);
}

TEST(what_is_declined_is_asked_for_anew)
{
    open_store();
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &other), STORE_FILLING);
    store_decline(o);
    EXPECT_EQ(store_wait_head(other, 0), ERR_REFUSED);
    store_leave(o);
    store_leave(other);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    store_break(o);
    EXPECT_EQ(store_wait_head(o, 0), ERR_RESET);
    store_decline(o);
    EXPECT_EQ(store_wait_head(o, 0), ERR_RESET);
    store_leave(o);
    EXPECT_EQ(status().declined, 1);
    EXPECT_EQ(status().broken, 1);
    EXPECT_EQ(status().objects, 0);
    store_drop(s);
}

TEST(what_broke_off_can_be_read_to_there_and_is_found_no_more)
{
    struct slice chunk;

    open_store();
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("head"), &unknown_length), OK);
    EXPECT_EQ(store_append(o, SLICE("half")), OK);
    store_break(o);
    EXPECT_EQ(store_wait_head(o, 0), OK);
    EXPECT_EQ(store_read(o, 1, 0, &chunk), OK);
    EXPECT_STR(chunk, "alf");
    EXPECT_EQ(store_read(o, 4, 0, &chunk), ERR_RESET);
    EXPECT_EQ(store_append(o, SLICE("more")), ERR_LIMIT);
    store_finish(o);
    EXPECT(!store_is_complete(o));
    EXPECT(!testing_has(s, 1));
    store_leave(o);
    EXPECT_EQ(status().objects, 0);
    store_drop(s);
}

TEST(a_body_shorter_or_longer_than_announced_has_broken_off)
{
    const struct store_facts five = {.length = 5};

    open_store();
    for (uint64_t i = 0; i < 2; i++) {
        EXPECT_EQ(store_ask(s, testing_key(s, i), true, &o), STORE_MISS);
        EXPECT_EQ(store_publish(o, SLICE("head"), &five), OK);
        EXPECT_EQ(store_length(o), 5);
        EXPECT_EQ(store_append(o, i ? SLICE("123456") : SLICE("1234")), OK);
        store_finish(o);
        EXPECT(!store_is_complete(o));
        store_leave(o);
        EXPECT(!testing_has(s, i));
    }
    EXPECT_EQ(status().broken, 2);
    store_drop(s);
}

TEST(an_object_above_its_limit_is_not_kept_but_can_be_read_so_far)
{
    const struct store_options options = {.memory_bytes = 4 * MIB, .object_bytes = 1000};
    const struct store_facts announced = {.length = 1001};
    static char body[600];
    struct slice chunk;

    s = store_open(SLICE("test"), &options);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &announced), ERR_LIMIT);
    EXPECT_EQ(store_wait_head(o, 0), ERR_REFUSED);
    store_leave(o);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &unknown_length), OK);
    EXPECT_EQ(store_append(o, slice_of(body, 600)), OK);
    EXPECT_EQ(store_append(o, slice_of(body, 600)), ERR_LIMIT);
    EXPECT(!testing_has(s, 1));
    EXPECT_EQ(store_read(o, 0, 0, &chunk), OK);
    EXPECT(chunk.n <= 600);
    store_leave(o);
    EXPECT_EQ(status().refused, 2);
    store_drop(s);
}

TEST(without_bounds_an_object_takes_a_quarter_of_the_memory)
{
    const struct store_facts most = {.length = 16 * MIB}, more = {.length = 16 * MIB + 1};

    s = store_open(SLICE("test"), NULL);
    EXPECT_EQ(status().memory_max, 64 * MIB);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &more), ERR_LIMIT);
    store_leave(o);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &most), OK);
    store_leave(o);
    store_drop(s);
}

/* ------------------------------------------------------------------ anew */

TEST(the_old_one_is_found_until_the_fresh_one_is_published)
{
    struct store_object *fresh, *second;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    EXPECT_EQ(store_refill(o, &second), STORE_FILLING);
    EXPECT(fresh == second);
    store_leave(second);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &other), STORE_HIT);
    EXPECT(other == o);
    store_leave(other);
    EXPECT_EQ(store_publish(fresh, SLICE("new"), &unknown_length), OK);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &other), STORE_FILLING);
    EXPECT(other == fresh);
    EXPECT(testing_is_whole(o, 1, 10));
    EXPECT_EQ(store_append(fresh, SLICE("body")), OK);
    store_finish(fresh);
    EXPECT_EQ(store_length(other), 4);
    store_leave(other);
    store_leave(fresh);
    store_leave(o);
    EXPECT_EQ(status().objects, 1);
    store_drop(s);
}

TEST(an_attempt_that_fails_leaves_the_old_one)
{
    struct store_object *fresh;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    store_break(fresh);
    store_leave(fresh);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    store_decline(fresh);
    store_leave(fresh);
    EXPECT(testing_has(s, 1));
    store_leave(o);
    EXPECT_EQ(status().objects, 1);
    store_drop(s);
}

/* Number 1 is kept in `o`; what is published in its place. */
static struct store_object *
replace_one(void)
{
    struct store_object *fresh;

    CHECK(store_refill(o, &fresh) == STORE_MISS);
    CHECK(store_publish(fresh, SLICE("new"), &unknown_length) == OK);
    CHECK(store_append(fresh, SLICE("half")) == OK);
    return fresh;
}

static void
expect_found(const struct store_object *wanted, enum store_outcome outcome)
{
    EXPECT_EQ(store_ask(s, testing_key(s, 1), false, &other), outcome);
    EXPECT(other == wanted);
    if (other)
        store_leave(other);
}

TEST(one_that_breaks_off_after_its_head_gives_way_to_the_old_one)
{
    struct store_object *fresh;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    for (unsigned i = 0; i < 2; i++) {
        fresh = replace_one();
        expect_found(fresh, STORE_FILLING);
        store_break(fresh);
        expect_found(o, STORE_HIT);
        store_leave(fresh);
    }
    fresh = replace_one();
    store_finish(fresh);
    expect_found(fresh, STORE_HIT);
    EXPECT_EQ(status().objects, 1);
    store_leave(fresh);
    store_leave(o);
    store_drop(s);
}

TEST(the_newest_of_several_that_break_off_gives_way_to_the_old_one)
{
    struct store_object *first, *second;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    first = replace_one();
    second = replace_one();
    expect_found(second, STORE_FILLING);
    store_break(first);
    expect_found(second, STORE_FILLING);
    store_break(second);
    expect_found(o, STORE_HIT);
    store_leave(first);
    store_leave(second);
    store_leave(o);
    EXPECT_EQ(status().objects, 1);
    store_drop(s);
}

TEST(what_is_removed_gives_way_to_nobody)
{
    struct store_object *fresh;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    fresh = replace_one();
    store_remove(fresh);
    store_break(fresh);
    expect_found(NULL, STORE_MISS);
    EXPECT_EQ(status().objects, 0);
    store_leave(fresh);
    store_leave(o);
    store_drop(s);
}

TEST(a_renewed_object_has_the_old_body_under_a_new_head)
{
    const uint64_t number = 1, tag = 5;
    const struct store_facts facts = {.length = 50000, .tags = &tag, .tags_n = 1};
    struct store_object *fresh;
    uint64_t bytes;

    open_store();
    EXPECT(testing_put(s, number, 50000, NULL));
    bytes = status().memory_bytes;
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(store_ask(s, testing_key(s, number), true, &o), STORE_HIT);
        EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
        EXPECT_EQ(store_renew(fresh, o, slice_of((char *) &number, sizeof(number)), &facts), OK);
        EXPECT(store_is_complete(fresh));
        EXPECT_EQ(store_length(fresh), 50000);
        store_leave(o);
        EXPECT(testing_is_whole(fresh, number, 50000));
        store_leave(fresh);
    }
    EXPECT_EQ(store_ask(s, testing_key(s, number), true, &o), STORE_HIT);
    EXPECT(testing_is_whole(o, number, 50000));
    EXPECT_EQ(store_hits(o), 6);
    store_leave(o);
    EXPECT_EQ(status().objects, 1);
    /* One more small record, not one for each time. */
    EXPECT_EQ(status().memory_bytes, bytes + 128);
    store_purge_tag(s, tag, false);
    EXPECT(!testing_has(s, number));
    store_drop(s);
}

/* ------------------------------------------------------------------ lifetime */

TEST(a_store_is_found_by_its_name_and_lives_as_long_as_it_is_held)
{
    struct store *again;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    again = store_open(SLICE("test"), NULL);
    EXPECT(again == s);
    store_drop(s);
    EXPECT(testing_has(again, 1));
    EXPECT_EQ(status().memory_max, 4 * MIB);
    s = store_open(SLICE("another"), NULL);
    EXPECT(s != again);
    EXPECT_EQ(status().memory_max, 64 * MIB);
    store_drop(s);
    store_drop(again);
    open_store();
    EXPECT(!testing_has(s, 1));
    store_drop(s);
}

static void
see(void *arg, struct slice name, const struct store_status *now)
{
    uint64_t *seen = arg;

    *seen = *seen * 100 + name.n * 10 + now->objects;
}

TEST(all_stores_can_be_seen)
{
    uint64_t seen = 0;

    open_store();
    EXPECT(testing_put(s, 1, 10, NULL));
    store_each(see, &seen);
    EXPECT_EQ(seen, 41);
    store_drop(s);
    store_each(see, &seen);
    EXPECT_EQ(seen, 41);
}

TEST(objects_that_are_held_outlive_the_store)
{
    open_store();
    EXPECT(testing_put(s, 1, 30000, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_ask(s, testing_key(s, 2), true, &other), STORE_MISS);
    store_drop(s);
    EXPECT(testing_is_whole(o, 1, 30000));
    store_leave(o);
    EXPECT_EQ(store_publish(other, SLICE("h"), &unknown_length), OK);
    EXPECT_EQ(store_append(other, SLICE("body")), OK);
    store_finish(other);
    store_leave(other);
}

TEST(what_is_removed_is_found_no_more_but_can_be_read)
{
    open_store();
    EXPECT(testing_put(s, 1, 3000, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    store_remove(o);
    store_remove(o);
    EXPECT(!testing_has(s, 1));
    EXPECT(testing_is_whole(o, 1, 3000));
    store_leave(o);
    EXPECT_EQ(status().objects, 0);
    store_drop(s);
}
