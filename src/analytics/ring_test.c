/* SPDX-License-Identifier: Apache-2.0 */
#include "analytics/ring.h"

#include "base/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static struct ring r;

TEST(records_come_out_as_they_went_in)
{
    EXPECT(ring_init(&r, 1024));
    EXPECT(ring_peek(&r) == NULL);
    /* Lengths that do not divide the ring: it wraps in every way. */
    for (unsigned i = 0; i < 5000; i++) {
        size_t n = 1 + i * 7 % 200;
        char *to = ring_reserve(&r, n);
        const char *from;

        EXPECT(to != NULL);
        memset(to, (int) (i & 0x7F), n);
        ring_commit(&r, n);
        from = ring_peek(&r);
        EXPECT(from != NULL && from == ring_peek(&r));
        for (size_t k = 0; k < n; k++)
            EXPECT_EQ(from[k], i & 0x7F);
        ring_release(&r);
        EXPECT(ring_peek(&r) == NULL);
    }
    EXPECT_EQ(r.taken, 5000);
    EXPECT_EQ(r.missed, 0);
    ring_free(&r);
}

TEST(a_full_ring_takes_no_more_and_counts)
{
    unsigned n = 0;

    EXPECT(ring_init(&r, 1024));
    while (ring_reserve(&r, 56)) {
        ring_commit(&r, 56);
        n++;
    }
    EXPECT_EQ(n, 1024 / 64);
    EXPECT(ring_reserve(&r, 56) == NULL);
    EXPECT_EQ(r.missed, 2);
    EXPECT(ring_peek(&r) != NULL);
    ring_release(&r);
    EXPECT(ring_reserve(&r, 57) == NULL);
    EXPECT(ring_reserve(&r, 56) != NULL);
    ring_free(&r);
}

TEST(what_is_not_committed_did_not_happen)
{
    EXPECT(ring_init(&r, 1024));
    EXPECT(ring_reserve(&r, 100) != NULL);
    EXPECT(ring_peek(&r) == NULL);
    ring_free(&r);
}

TEST(half_a_ring_is_news_once)
{
    unsigned news = 0;

    EXPECT(ring_init(&r, 1024));
    for (unsigned i = 0; i < 16; i++) {
        EXPECT(ring_reserve(&r, 56) != NULL);
        news += ring_commit(&r, 56);
        EXPECT_EQ(news, i >= 8);
    }
    ring_listen(&r);
    while (ring_peek(&r))
        ring_release(&r);
    for (unsigned i = 0; i < 9; i++) {
        EXPECT(ring_reserve(&r, 56) != NULL);
        EXPECT_EQ(ring_commit(&r, 56), i == 8);
    }
    ring_free(&r);
}

/* ------------------------------------------------------------------ two threads */

enum { RECORDS = 300000 };

static void *
produce(void *arg)
{
    struct ring *ring = arg;

    for (uint64_t i = 0; i < RECORDS;) {
        size_t n = 8 + i % 31 * 8;
        uint64_t *to = ring_reserve(ring, n);

        if (!to) {
            sched_yield();
            continue;
        }
        for (size_t k = 0; k < n / 8; k++)
            to[k] = i;
        ring_commit(ring, n);
        i++;
    }
    return NULL;
}

static bool
consume(struct ring *ring, uint64_t i)
{
    const uint64_t *from;

    while (!(from = ring_peek(ring)))
        sched_yield();
    for (size_t k = 0; k < (8 + i % 31 * 8) / 8; k++)
        if (from[k] != i)
            return false;
    ring_release(ring);
    return true;
}

TEST(nothing_is_torn_between_two_threads)
{
    pthread_t thread;
    bool good = true;

    EXPECT(ring_init(&r, 4096));
    EXPECT_EQ(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint64_t i = 0; i < RECORDS && good; i++)
        good = consume(&r, i);
    EXPECT(good);
    pthread_join(thread, NULL);
    EXPECT_EQ(r.taken, RECORDS);
    ring_free(&r);
}
