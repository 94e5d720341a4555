/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/bell_test.c - those who wait for a filler: on its own worker and on others, a few and a
 * thousand, patient or not.
 */
#include "base/clock.h"
#include "base/test.h"
#include "runtime/fiber.h"
#include "store/object.h"
#include "store/testing.h"

#include <pthread.h>

static struct store *s;
static const struct store_facts unknown_length = {.length = -1};

/* One who asks, waits, reads to the end. */
struct reader {
    enum store_outcome outcome;
    enum err           head, end;
    uint64_t           bytes, wait_us, pause_us;
    bool               wrong;
    struct fiber      *fiber;
};

static void
read_all(struct reader *r, struct store_object *o, uint64_t number)
{
    struct slice chunk;

    while ((r->end = store_read(o, r->bytes, loop_now_us() + r->wait_us, &chunk)) == OK) {
        for (size_t i = 0; i < chunk.n; i += 97)
            r->wrong |= chunk.at[i] != testing_byte(number, r->bytes + i);
        r->bytes += chunk.n;
        if (r->pause_us)
            fiber_sleep_until(loop_now_us() + r->pause_us);
    }
}

static void
read_one(void *arg)
{
    struct reader *r = arg;
    struct store_object *o;

    r->fiber = fiber_self();
    if (!r->wait_us)
        r->wait_us = 20000000;
    r->outcome = store_ask(s, testing_key(s, 1), true, &o);
    r->head = store_wait_head(o, loop_now_us() + r->wait_us);
    if (r->head == OK)
        read_all(r, o, 1);
    store_leave(o);
}

/* Appends piece by piece, with the loop in between. */
struct filler {
    struct store_object *object;
    unsigned             pieces;
    size_t               piece_bytes;
    uint64_t             pause_us;
    bool                 breaks;
};

static void
fill_one(void *arg)
{
    static char body[65536];
    struct filler *f = arg;

    fiber_sleep_until(loop_now_us() + f->pause_us);
    CHECK(store_publish(f->object, SLICE("head"), &unknown_length) == OK);
    for (unsigned i = 0; i < f->pieces; i++) {
        testing_bytes(1, i * f->piece_bytes, body, f->piece_bytes);
        CHECK(store_append(f->object, slice_of(body, f->piece_bytes)) == OK);
        fiber_sleep_until(loop_now_us() + f->pause_us);
    }
    if (f->breaks)
        store_break(f->object);
    else
        store_finish(f->object);
    store_leave(f->object);
}

/* ------------------------------------------------------------------ on one worker */

static struct loop loop;

static void
begin(struct filler *f)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    s = testing_store(16 * MIB);
    CHECK(store_ask(s, testing_key(s, 1), true, &f->object) == STORE_MISS);
}

static void
run_and_end(void)
{
    loop_stop(&loop);
    loop_run(&loop);
    CHECK(s->holds <= 1);
    store_drop(s);
    loop_exit(&loop);
}

TEST(readers_follow_a_filler_at_their_own_pace)
{
    struct filler f = {.pieces = 20, .piece_bytes = 5000, .pause_us = 1000};
    struct reader r[10] = {[9] = {.pause_us = 30000}};

    begin(&f);
    for (unsigned i = 0; i < countof(r); i++)
        fiber_start("reader", read_one, &r[i]);
    fiber_start("filler", fill_one, &f);
    run_and_end();
    for (unsigned i = 0; i < countof(r); i++) {
        EXPECT_EQ(r[i].outcome, STORE_FILLING);
        EXPECT_EQ(r[i].end, ERR_END);
        EXPECT_EQ(r[i].bytes, 100000);
        EXPECT(!r[i].wrong);
    }
}

TEST(readers_hear_that_it_broke_off)
{
    struct filler f = {.pieces = 3, .piece_bytes = 5000, .pause_us = 1000, .breaks = true};
    struct reader r[3] = {{0}};

    begin(&f);
    for (unsigned i = 0; i < countof(r); i++)
        fiber_start("reader", read_one, &r[i]);
    fiber_start("filler", fill_one, &f);
    run_and_end();
    for (unsigned i = 0; i < countof(r); i++) {
        EXPECT_EQ(r[i].end, ERR_RESET);
        EXPECT_EQ(r[i].bytes, 15000);
        EXPECT(!r[i].wrong);
    }
}

static void
end_early(void *arg)
{
    struct filler *f = arg;

    fiber_sleep_until(loop_now_us() + 3000);
    if (f->breaks)
        store_break(f->object);
    else
        store_decline(f->object);
    store_leave(f->object);
}

TEST(those_who_wait_for_a_head_hear_that_there_will_be_none)
{
    for (unsigned breaks = 0; breaks < 2; breaks++) {
        struct filler f = {.breaks = breaks};
        struct reader r[3] = {{0}};

        begin(&f);
        for (unsigned i = 0; i < countof(r); i++)
            fiber_start("reader", read_one, &r[i]);
        fiber_start("filler", end_early, &f);
        run_and_end();
        for (unsigned i = 0; i < countof(r); i++)
            EXPECT_EQ(r[i].head, breaks ? ERR_RESET : ERR_REFUSED);
    }
}

TEST(a_wait_ends_at_its_deadline_or_when_it_is_cancelled)
{
    struct filler f = {.pieces = 4, .piece_bytes = 100, .pause_us = 60000};
    struct reader late = {.wait_us = 5000}, cancelled = {0}, patient = {0};

    begin(&f);
    fiber_start("late", read_one, &late);
    fiber_start("cancelled", read_one, &cancelled);
    fiber_start("patient", read_one, &patient);
    fiber_start("filler", fill_one, &f);
    loop_once(&loop, loop.now_us);
    fiber_cancel(cancelled.fiber, ERR_CANCELLED);
    run_and_end();
    EXPECT_EQ(late.head, ERR_TIMEOUT);
    EXPECT_EQ(cancelled.head, ERR_CANCELLED);
    EXPECT_EQ(patient.end, ERR_END);
    EXPECT_EQ(patient.bytes, 400);
}

/* ------------------------------------------------------------------ on several workers */

enum { WORKERS = 2, HERD = 500 };

static struct worker {
    pthread_t     thread;
    unsigned      number;
    struct reader readers[HERD];
    struct filler filler;
} workers[WORKERS];

static pthread_barrier_t barrier;

static void *
run_worker(void *arg)
{
    struct worker *w = arg;
    struct loop own;

    CHECK(loop_init(&own, NULL, w->number) == OK);
    for (unsigned i = 0; i < HERD; i++)
        fiber_start("reader", read_one, &w->readers[i]);
    loop_once(&own, own.now_us);
    pthread_barrier_wait(&barrier);
    if (w->filler.object)
        fiber_start("filler", fill_one, &w->filler);
    loop_stop(&own);
    loop_run(&own);
    loop_exit(&own);
    return NULL;
}

TEST(a_thousand_readers_on_two_workers_share_one_fill)
{
    struct store_status status;

    s = testing_store(16 * MIB);
    pthread_barrier_init(&barrier, NULL, WORKERS);
    memset(workers, 0, sizeof(workers));
    workers[0].filler = (struct filler){.pieces = 100, .piece_bytes = 20000};
    EXPECT_EQ(store_ask(s, testing_key(s, 1), true, &workers[0].filler.object), STORE_MISS);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].number = i;
        EXPECT_EQ(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&barrier);
    for (unsigned i = 0; i < WORKERS; i++)
        for (unsigned k = 0; k < HERD; k++) {
            EXPECT_EQ(workers[i].readers[k].outcome, STORE_FILLING);
            EXPECT_EQ(workers[i].readers[k].end, ERR_END);
            EXPECT_EQ(workers[i].readers[k].bytes, 2000000);
            EXPECT(!workers[i].readers[k].wrong);
        }
    store_status(s, &status);
    EXPECT_EQ(status.misses, 1);
    EXPECT_EQ(status.shared, WORKERS * HERD);
    store_drop(s);
}
