/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/budget_test.c - never above the budget, whatever comes; what is read is never taken away;
 * and what a hit costs.
 */
#include "base/clock.h"
#include "base/test.h"
#include "store/object.h"
#include "store/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* struct store, and what malloc and the stack take meanwhile. */
enum { FIXED_BYTES = 512 * 1024 };

static struct store *s;

static size_t
resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f && fscanf(f, "%lu %lu", &pages, &resident) == 2);
    fclose(f);
    return resident * (size_t) sysconf(_SC_PAGESIZE);
}

static struct store_status
status(void)
{
    struct store_status now;

    store_status(s, &now);
    return now;
}

/* To the end of the round that has begun, and another one. */
static void
sweep(void)
{
    for (unsigned round = 0; round < 2; round++)
        while (store_sweep_step(s, 1000))
            ;
}

/* Mostly small, some of them large: from 1 byte to 256 KiB. */
static size_t
some_size(struct dice *dice)
{
    return 1 + dice_next(dice) % (UINT64_C(1) << dice_next(dice) % 19);
}

/* Without the body buffers of testing_put(), which would count too. */
static void
fill(struct dice *dice, uint64_t bytes)
{
    static char body[512 * 1024], head[600];
    static uint64_t number;
    struct store_object *o;

    for (uint64_t done = 0; done < bytes; number++) {
        size_t n = some_size(dice);
        const struct store_facts facts = {.length = number % 2 ? -1 : (int64_t) n};

        CHECK(store_ask(s, testing_key(s, number), true, &o) == STORE_MISS);
        CHECK(store_publish(o, slice_of(head, 200 + n % 400), &facts) == OK);
        CHECK(store_append(o, slice_of(body, n)) == OK);
        store_finish(o);
        store_leave(o);
        done += n + 300;
    }
}

static void
touch_test_memory(void)
{
    s = testing_store(1 * MIB);
    fill(&(struct dice){{1, 2, 3, 4}}, 2 * MIB);
    store_drop(s);
}

TEST(four_times_the_budget_never_takes_more_than_the_budget)
{
    static const uint64_t budgets[] = {4 * MIB, 64 * MIB, 200 * MIB};

    touch_test_memory();
    for (size_t i = 0; i < countof(budgets); i++) {
        size_t before = resident_bytes(), most = 0;
        struct dice dice;

        dice_init(&dice, i);
        s = testing_store(budgets[i]);
        for (unsigned part = 0; part < 16; part++) {
            size_t now;

            fill(&dice, budgets[i] / 4);
            now = resident_bytes();
            most = now > most ? now : most;
            EXPECT(status().memory_bytes <= budgets[i]);
        }
        printf("# budget %d KiB: grew by %d KiB, holds %d KiB in %d objects\n",
               (int) (budgets[i] / 1024), (int) ((most - before) / 1024),
               (int) (status().memory_bytes / 1024), (int) status().objects);
        if (TEST_SLOWDOWN == 1)
            EXPECT(most - before <= budgets[i] + budgets[i] / 50 + FIXED_BYTES);
        /* And it is used: what stays free is little. */
        EXPECT(status().memory_bytes >= budgets[i] / 100 * 85);
        EXPECT_EQ(status().refused, 0);
        store_drop(s);
    }
}

/* A body in many pieces costs many reads, and as many writes to the client. */
TEST(bodies_stay_in_few_pieces_when_memory_is_full)
{
    enum { OBJECTS = 200, BYTES = 65536 };
    unsigned pieces = 0;
    struct dice dice;

    dice_init(&dice, 8);
    s = testing_store(32 * MIB);
    fill(&dice, 96 * MIB);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        struct store_object *o;
        struct slice chunk;

        EXPECT(testing_put(s, UINT64_MAX - i, BYTES, NULL));
        EXPECT_EQ(store_ask(s, testing_key(s, UINT64_MAX - i), false, &o), STORE_HIT);
        for (uint64_t at = 0; store_read(o, at, 0, &chunk) == OK; at += chunk.n)
            pieces++;
        store_leave(o);
        fill(&dice, MIB / 4);
    }
    printf("# 64 KiB in %d.%d pieces\n", pieces / OBJECTS, pieces * 10 / OBJECTS % 10);
    EXPECT(pieces <= 9 * OBJECTS);
    store_drop(s);
}

TEST(a_smaller_budget_after_a_reload_gives_memory_back)
{
    const struct store_options less = {.memory_bytes = 8 * MIB}, more = {.memory_bytes = 96 * MIB};
    size_t before = resident_bytes();
    struct store_object *held;
    struct dice dice;

    dice_init(&dice, 3);
    s = testing_store(64 * MIB);
    fill(&dice, 60 * MIB);
    EXPECT(testing_put(s, UINT64_MAX, 100000, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, UINT64_MAX), true, &held), STORE_HIT);
    store_drop(store_open(SLICE("test"), &less));
    EXPECT_EQ(status().memory_max, 8 * MIB);
    sweep();
    EXPECT(status().memory_bytes <= 8 * MIB + 200000);
    if (TEST_SLOWDOWN == 1)
        EXPECT(resident_bytes() - before <= 8 * MIB + 200000 + FIXED_BYTES + MIB);
    /* What is read stays, wherever it lies. */
    EXPECT(testing_is_whole(held, UINT64_MAX, 100000));
    store_leave(held);
    fill(&dice, 20 * MIB);
    EXPECT(status().memory_bytes <= 8 * MIB);
    store_drop(store_open(SLICE("test"), &more));
    fill(&dice, 120 * MIB);
    EXPECT(status().memory_bytes > 85 * MIB && status().memory_bytes <= 96 * MIB);
    store_drop(s);
}

TEST(what_is_held_is_not_driven_out_and_the_new_is_refused)
{
    enum { HELD = 200, BYTES = 60000 };
    struct store_object *held[HELD];
    size_t n = 0;

    s = testing_store(4 * MIB);
    while (n < HELD && testing_put(s, n, BYTES, NULL) &&
           store_ask(s, testing_key(s, n), false, &held[n]) == STORE_HIT)
        n++;
    EXPECT(n >= 60 && n < HELD);
    EXPECT(status().refused > 0);
    EXPECT(status().memory_bytes <= 4 * MIB);
    for (size_t i = 0; i < n; i++) {
        EXPECT(testing_is_whole(held[i], i, BYTES));
        store_leave(held[i]);
    }
    EXPECT(testing_put(s, 1000, BYTES, NULL));
    EXPECT(testing_has(s, 1000));
    store_drop(s);
}

/* What comes needs the room more than what it came for. */
TEST(what_is_kept_back_is_driven_out_when_memory_is_short)
{
    static char body[300 * 1024];
    const struct store_facts facts = {.length = sizeof(body)};
    struct store_object *o, *fresh;

    s = testing_store(1 * MIB);
    EXPECT(testing_put(s, 1, sizeof(body), NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_HIT);
    EXPECT_EQ(store_refill(o, &fresh), STORE_MISS);
    store_leave(o);
    EXPECT_EQ(store_publish(fresh, SLICE("h"), &facts), OK);
    for (uint64_t i = 2; i < 20; i++)
        EXPECT(testing_put(s, i, 100000, NULL));
    EXPECT_EQ(store_append(fresh, slice_of(body, sizeof(body))), OK);
    EXPECT_EQ(status().refused, 0);
    store_break(fresh);
    store_leave(fresh);
    EXPECT(!testing_has(s, 1));
    store_drop(s);
}

TEST(objects_without_end_are_refused_at_half_of_the_memory)
{
    const struct store_facts endless = {.length = -1};
    static char body[65536];
    struct store_object *o;
    struct slice chunk;
    uint64_t bytes = 0, at = 0;

    s = testing_store(4 * MIB);
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &o), STORE_MISS);
    EXPECT_EQ(store_publish(o, SLICE("h"), &endless), OK);
    while (store_append(o, slice_of(body, sizeof(body))) == OK)
        bytes += sizeof(body);
    EXPECT_EQ(bytes, 2 * MIB);
    while (store_read(o, at, 0, &chunk) == OK)
        at += chunk.n;
    EXPECT(at >= bytes);
    EXPECT_EQ(store_read(o, at, 0, &chunk), ERR_RESET);
    EXPECT(!testing_has(s, 1));
    store_leave(o);
    EXPECT_EQ(status().objects, 0);
    store_drop(s);
}

static size_t
readable(struct store_object *o)
{
    struct slice chunk;
    size_t n = 0;

    while (store_read(o, n, 0, &chunk) == OK)
        n += chunk.n;
    return n;
}

/* With no memory at all every function still says so in its way. */
TEST(every_allocation_may_fail)
{
    const struct store_facts facts = {.length = -1};
    static char body[3000];
    bool enough = false;
    size_t bytes;

    s = testing_store(256 * 1024);
    for (uint32_t units = 0; units < 1000 && !enough; units++) {
        struct store_object *o;

        blocks_set_open(&s->blocks, units);
        if (store_ask(s, testing_key(s, units), true, &o) != STORE_MISS) {
            EXPECT(o == NULL);
            continue;
        }
        enough = store_publish(o, SLICE("head"), &facts) == OK;
        for (bytes = 0; bytes < 10 * sizeof(body) && enough; bytes += enough ? sizeof(body) : 0)
            enough = store_append(o, slice_of(body, sizeof(body))) == OK;
        store_finish(o);
        /* What could not be appended whole was not appended at all. */
        EXPECT_EQ(readable(o), bytes);
        EXPECT_EQ(store_is_complete(o), enough);
        EXPECT_EQ(testing_has(s, units), enough);
        store_leave(o);
    }
    EXPECT(enough);
    EXPECT(status().refused > 100);
    store_drop(s);
}

/* ------------------------------------------------------------------ against a model */

enum { NUMBERS = 300, OPERATIONS = 60000 };

/* What is found is right; how long it stays is the store's business. */
static struct {
    struct store_object *held;
    size_t               bytes, held_bytes;
    bool                 may_be_there;
} model[NUMBERS];

static bool
check_one(uint64_t number)
{
    struct store_object *o;
    bool ok = true;

    if (store_ask(s, testing_key(s, number), false, &o) == STORE_HIT) {
        ok = model[number].may_be_there && testing_is_whole(o, number, model[number].bytes);
        if (ok && !model[number].held) {
            model[number].held = o;
            model[number].held_bytes = model[number].bytes;
            return true;
        }
    }
    if (o)
        store_leave(o);
    return ok;
}

static bool
let_go(uint64_t number)
{
    struct store_object *o = take(&model[number].held);
    bool ok = true;

    if (o) {
        ok = testing_is_whole(o, number, model[number].held_bytes);
        store_leave(o);
    }
    return ok;
}

static void
put_one(uint64_t number, struct dice *dice)
{
    const uint64_t tag = number % 10;
    size_t bytes = dice_next(dice) % (UINT64_C(1) << dice_next(dice) % 17);
    const struct store_facts facts = {.length = (int64_t) bytes, .tags = &tag, .tags_n = 1};

    if (testing_put(s, number, bytes, &facts)) {
        model[number].bytes = bytes;
        model[number].may_be_there = true;
    }
}

static void
purge_some(uint64_t number, bool all)
{
    if (all)
        store_purge_key(s, testing_key(s, number), false);
    else
        store_purge_tag(s, number % 10, false);
    for (uint64_t i = 0; i < NUMBERS; i++)
        if (i == number || (!all && i % 10 == number % 10))
            model[i].may_be_there = false;
}

TEST(random_operations_match_a_model)
{
    struct dice dice;

    dice_init(&dice, 11);
    s = testing_store(2 * MIB);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        uint64_t number = dice_next(&dice) % NUMBERS, what = dice_next(&dice) % 1000;

        if (what < 450)
            EXPECT(check_one(number));
        else if (what < 550)
            EXPECT(let_go(number));
        else if (what < 990)
            put_one(number, &dice);
        else if (what < 998)
            purge_some(number, what < 996);
        else
            (void) store_sweep_step(s, 50);
        if (i % 16 == 0)
            EXPECT(status().memory_bytes <= 2 * MIB);
    }
    for (uint64_t number = 0; number < NUMBERS; number++)
        EXPECT(let_go(number));
    store_purge_all(s, false);
    sweep();
    EXPECT_EQ(status().objects, 0);
    EXPECT_EQ(s->holds, 0);
    store_drop(s);
}

/* ------------------------------------------------------------------ speed */

enum { OBJECTS = 50000, HITS = 400000 };

static struct store_key keys[OBJECTS];

/* Of so many of them: nanoseconds of this thread for each. */
static uint64_t
hit_ns(unsigned spread, uint64_t seed)
{
    uint64_t begin_us = testing_cpu_us(), sum = 0;
    struct dice dice;

    dice_init(&dice, seed);
    for (unsigned i = 0; i < HITS; i++) {
        struct store_object *o;
        struct slice chunk;

        CHECK(store_ask(s, keys[dice_next(&dice) % spread], true, &o) == STORE_HIT);
        CHECK(store_read(o, 0, 0, &chunk) == OK);
        sum += chunk.n + store_head(o).n;
        store_leave(o);
    }
    CHECK(sum == HITS * (1024 + sizeof(uint64_t)));
    return (testing_cpu_us() - begin_us) * 1000 / HITS;
}

static void *
hit_on_thread(void *arg)
{
    uint64_t *ns = arg;

    *ns = hit_ns((unsigned) *ns, 2);
    return NULL;
}

TEST(a_hit_of_a_small_object_takes_a_fraction_of_a_microsecond)
{
    static const unsigned spreads[] = {OBJECTS, 1000, 1};
    uint64_t begin_us, one, two, other, sum = 0;
    pthread_t thread;

    s = testing_store(256 * MIB);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        keys[i] = testing_key(s, i);
        EXPECT(testing_put(s, i, 1024, NULL));
    }
    for (size_t i = 0; i < countof(spreads); i++) {
        one = hit_ns(spreads[i], 1);
        other = spreads[i];
        EXPECT_EQ(pthread_create(&thread, NULL, hit_on_thread, &other), 0);
        two = hit_ns(spreads[i], 1);
        pthread_join(thread, NULL);
        printf("# among %u objects: %d ns, on two threads %d and %d ns\n", spreads[i], (int) one,
               (int) two, (int) other);
        EXPECT(one < 1000 * TEST_SLOWDOWN);
    }
    begin_us = testing_cpu_us();
    for (unsigned i = 0; i < HITS; i++)
        sum += store_key_of(s, keys, 60).low;
    printf("# key of 60 bytes: %d ns\n", (int) ((testing_cpu_us() - begin_us) * 1000 / HITS));
    EXPECT(sum != 0);
    store_drop(s);
}
