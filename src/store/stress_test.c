/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/stress_test.c - workers that ask, fill, break off, renew, purge and give up at random, in
 * too little memory: never a wrong byte, never above the budget, nothing left behind.  Worth most
 * under ThreadSanitizer.
 */
#include "base/clock.h"
#include "base/test.h"
#include "runtime/fiber.h"
#include "store/object.h"
#include "store/testing.h"

#include <pthread.h>
#include <stdio.h>

enum {
    WORKERS = 3,
    FIBERS = 30,
    KEYS = 200,
    ROUNDS = TEST_SLOWDOWN == 1 ? 400 : 100, /* of each fiber */
    TAGS = 8,
};

static struct store *s;
static _Atomic uint64_t reads, fills, broken, renewals, wrong;
static atomic_uint running;

/* Of a body of that number; the same for everybody. */
static size_t
size_of(uint64_t number)
{
    return (size_t) (number * number * 37 % 90000);
}

static struct store_facts
facts_of(uint64_t number, uint64_t *tag)
{
    *tag = number % TAGS;
    return (struct store_facts){.length = number % 3 ? -1 : (int64_t) size_of(number),
                                .tags = tag,
                                .tags_n = 1,
                                .path = SLICE("example.com/")};
}

/* Sometimes others run in between. */
static void
maybe_pause(struct dice *dice)
{
    if (dice_next(dice) % 4 == 0)
        fiber_sleep_until(loop_now_us() + dice_next(dice) % 2000);
}

static void
fill(struct store_object *o, uint64_t number, struct dice *dice)
{
    static __thread char piece[8192];
    size_t size = size_of(number), at = 0;
    uint64_t tag;
    const struct store_facts facts = facts_of(number, &tag);

    maybe_pause(dice);
    if (dice_next(dice) % 20 == 0) {
        store_decline(o);
        return;
    }
    if (store_publish(o, slice_of((char *) &number, sizeof(number)), &facts) != OK)
        return;
    while (at < size) {
        size_t n = dice_next(dice) % sizeof(piece) + 1;

        if (n > size - at)
            n = size - at;
        testing_bytes(number, at, piece, n);
        if (store_append(o, slice_of(piece, n)) != OK)
            return;
        at += n;
        maybe_pause(dice);
        if (dice_next(dice) % 100 == 0) {
            broken++;
            store_break(o);
            return;
        }
    }
    store_finish(o);
    fills++;
}

static void
read_it(struct store_object *o, uint64_t number, struct dice *dice)
{
    uint64_t deadline_us = loop_now_us() + dice_next(dice) % 50000, at = 0;
    struct slice chunk;
    enum err e = store_wait_head(o, deadline_us);

    if (e != OK)
        return;
    if (store_head(o).n != sizeof(number) || memcmp(store_head(o).at, &number, sizeof(number)))
        wrong++;
    while ((e = store_read(o, at, deadline_us, &chunk)) == OK) {
        for (size_t i = 0; i < chunk.n; i += 61)
            wrong += chunk.at[i] != testing_byte(number, at + i);
        at += chunk.n;
        maybe_pause(dice);
    }
    if (e == ERR_END)
        wrong += at != size_of(number);
    reads++;
}

static void
refill(struct store_object *old, uint64_t number, struct dice *dice)
{
    struct store_object *fresh;
    enum store_outcome outcome = store_refill(old, &fresh);
    uint64_t tag;
    const struct store_facts facts = facts_of(number, &tag);

    if (outcome == STORE_MISS && dice_next(dice) % 2) {
        maybe_pause(dice);
        if (store_renew(fresh, old, slice_of((char *) &number, sizeof(number)), &facts) == OK)
            renewals++;
    } else if (outcome == STORE_MISS) {
        fill(fresh, number, dice);
    } else if (outcome == STORE_FILLING) {
        read_it(fresh, number, dice);
    }
    if (fresh)
        store_leave(fresh);
}

static void
purge(uint64_t number, struct dice *dice)
{
    bool soft = dice_next(dice) % 2;

    switch (dice_next(dice) % 40) {
    case 0: store_purge_all(s, soft); break;
    case 1: store_purge_prefix(s, SLICE("example.com/"), soft); break;
    case 2:
    case 3: store_purge_tag(s, number % TAGS, soft); break;
    default: store_purge_key(s, testing_key(s, number), soft);
    }
}

static void
one_round(struct dice *dice)
{
    /* Some are much more wanted than others. */
    uint64_t number = dice_next(dice) % KEYS * (dice_next(dice) % KEYS) / KEYS;
    struct store_object *o;
    enum store_outcome outcome = store_ask(s, testing_key(s, number), true, &o);

    if (outcome == STORE_MISS)
        fill(o, number, dice);
    else if (outcome == STORE_HIT && dice_next(dice) % 10 == 0)
        refill(o, number, dice);
    else if (o)
        read_it(o, number, dice);
    if (o)
        store_leave(o);
    if (dice_next(dice) % 50 == 0)
        purge(number, dice);
}

static void
client(void *arg)
{
    struct dice dice;

    dice_init(&dice, (uint64_t) (uintptr_t) arg);
    for (unsigned i = 0; i < ROUNDS; i++) {
        one_round(&dice);
        maybe_pause(&dice);
    }
}

static void *
run_worker(void *arg)
{
    uintptr_t number = (uintptr_t) arg;
    struct loop loop;

    CHECK(loop_init(&loop, NULL, (unsigned) number) == OK);
    for (uintptr_t i = 0; i < FIBERS; i++)
        fiber_start("client", client, (void *) (number * FIBERS + i + 1));
    loop_stop(&loop);
    loop_run(&loop);
    loop_exit(&loop);
    running--;
    return NULL;
}

/* Sweeps and bounds that go up and down, as from the control thread. */
static void
control(uint64_t memory_bytes)
{
    const struct store_options less = {.memory_bytes = memory_bytes / 2},
                               more = {.memory_bytes = memory_bytes};
    struct store_status status;

    for (unsigned i = 0; running > 0; i++) {
        store_drop(store_open(SLICE("test"), i / 200 % 2 ? &less : &more));
        store_sweep_step(s, 100);
        store_status(s, &status);
        wrong += status.memory_bytes > memory_bytes;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
}

TEST(never_a_wrong_byte)
{
    pthread_t threads[WORKERS];
    struct store_status status;

    s = testing_store(1 * MIB);
    running = WORKERS;
    for (uintptr_t i = 0; i < WORKERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, run_worker, (void *) i), 0);
    control(1 * MIB);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    store_status(s, &status);
    printf("# %d hits, %d shared, %d evicted, %d purged, %d refused\n", (int) status.hits,
           (int) status.shared, (int) status.evicted, (int) status.purged, (int) status.refused);
    printf("# %d reads, %d fills, %d renewals, %d broken\n", (int) reads, (int) fills,
           (int) renewals, (int) broken);
    EXPECT_EQ(wrong, 0);
    EXPECT(reads > ROUNDS && fills > ROUNDS && renewals > 10 && broken > 10);
    EXPECT(status.evicted > ROUNDS && status.purged > 10 && status.shared > 10);
    for (unsigned round = 0; round < 3; round++) {
        store_purge_all(s, false);
        while (store_sweep_step(s, 1000))
            ;
    }
    EXPECT_EQ(s->holds, 0);
    store_drop(s);
}
