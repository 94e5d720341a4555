/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/metrics.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <pthread.h>

enum { DOOR_GUESTS, DOOR_INSIDE, DOOR_TURNED_AWAY, DOOR_STAY, DOOR_METRICS };

static const char *const why[] = {"late", "drunk", "shoes", NULL};
static const struct metric_split by_why = {"why", why};

static const struct metric door_metrics[] = {
    [DOOR_GUESTS] = {"guests_total", METRIC_COUNTER, NULL, "Guests who came."},
    [DOOR_INSIDE] = {"inside", METRIC_GAUGE, NULL, "Guests who are inside."},
    [DOOR_TURNED_AWAY] = {"turned_away_total", METRIC_COUNTER, &by_why, "Guests sent home."},
    [DOOR_STAY] = {"stay_seconds", METRIC_HISTOGRAM, NULL, "How long guests stay."},
};
static const struct metric_table doors = {
    "door", {"house", "side"}, door_metrics, countof(door_metrics)};

static struct metrics *
door(const char *house, const char *side)
{
    struct slice labels[] = {slice_str(house), slice_str(side)};

    return metrics_get(&doors, labels);
}

TEST(blocks_of_workers_are_summed)
{
    struct metrics *m = door("sums", "front");

    metrics_add(m, 0, DOOR_GUESTS, 2);
    metrics_add(m, 1, DOOR_GUESTS, 3);
    metrics_add(m, METRICS_WORKERS - 1, DOOR_GUESTS, 5);
    EXPECT_EQ(metrics_read(m, DOOR_GUESTS, 0), 10);
    metrics_release(m);
}

/* Who comes in at one worker may leave at another. */
TEST(gauges_go_up_here_and_down_there)
{
    struct metrics *m = door("gauge", "front");

    metrics_add(m, 0, DOOR_INSIDE, 3);
    metrics_add(m, 1, DOOR_INSIDE, -2);
    EXPECT_EQ(metrics_read(m, DOOR_INSIDE, 0), 1);
    metrics_add(m, 1, DOOR_INSIDE, -4);
    EXPECT_EQ(metrics_read(m, DOOR_INSIDE, 0), -3);
    metrics_release(m);
}

TEST(each_value_of_a_split_has_its_count)
{
    struct metrics *m = door("split", "front");

    metrics_add_split(m, 0, DOOR_TURNED_AWAY, 0, 1);
    metrics_add_split(m, 0, DOOR_TURNED_AWAY, 2, 7);
    metrics_observe(m, 0, DOOR_STAY, 0);
    EXPECT_EQ(metrics_read(m, DOOR_TURNED_AWAY, 0), 1);
    EXPECT_EQ(metrics_read(m, DOOR_TURNED_AWAY, 1), 0);
    EXPECT_EQ(metrics_read(m, DOOR_TURNED_AWAY, 2), 7);
    EXPECT_EQ(metrics_read(m, DOOR_GUESTS, 0), 0);
    metrics_release(m);
}

TEST(histograms_of_workers_are_added)
{
    struct metrics *m = door("histogram", "front");
    struct histogram h;

    metrics_observe(m, 0, DOOR_STAY, 10);
    metrics_observe(m, 1, DOOR_STAY, 1000);
    metrics_observe(m, 1, DOOR_STAY, UINT64_C(1) << 50);
    metrics_read_histogram(m, DOOR_STAY, &h);
    EXPECT_EQ(h.count, 3);
    EXPECT_EQ(h.sum, 1010 + (1ll << 50));
    EXPECT_EQ(h.buckets[histogram_bucket(1000)], 1);
    EXPECT_EQ(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
    metrics_release(m);
}

TEST(a_thing_is_found_again_by_its_labels)
{
    struct metrics *m = door("found", "front"), *other = door("foundf", "ront");

    EXPECT(m != other);
    EXPECT(door("found", "front") == m);
    metrics_release(m);
    metrics_release(m);
    metrics_release(other);
    EXPECT(door("found", "front") == m);
    metrics_release(m);
}

TEST(nobody_counts_for_nothing)
{
    metrics_add(NULL, 0, DOOR_GUESTS, 1);
    metrics_add_split(NULL, 0, DOOR_TURNED_AWAY, 1, 1);
    metrics_observe(NULL, 0, DOOR_STAY, 1);
    metrics_release(metrics_hold(NULL));
}

static void
count_things(void *arg, const struct slice *labels, const struct metrics *m)
{
    (void) m;
    *(unsigned *) arg += slice_eq(labels[0], SLICE("linger"));
}

static unsigned
lingering(void)
{
    unsigned n = 0;

    metrics_sweep();
    metrics_each(&doors, count_things, &n);
    return n;
}

/* Counters must not go back because a reload took a moment; but what is gone must go. */
TEST(what_nobody_holds_goes_after_a_while)
{
    uint64_t now_us = clock_monotonic_us() + 4 * METRICS_LINGER_US;
    struct metrics *m, *held;
    int64_t gone;

    clock_freeze(now_us, 1);
    EXPECT_EQ(lingering(), 0); /* those of other tests go */
    gone = metrics_gone(&doors) ? metrics_read(metrics_gone(&doors), DOOR_GUESTS, 0) : 0;
    m = door("linger", "front");
    held = metrics_hold(door("linger", "back"));
    metrics_add(m, 0, DOOR_GUESTS, 4);
    metrics_release(m);
    metrics_release(held);
    clock_freeze(now_us + METRICS_LINGER_US - 1, 1);
    EXPECT_EQ(lingering(), 2);
    EXPECT_EQ(metrics_read(m, DOOR_GUESTS, 0), 4);
    clock_freeze(now_us + METRICS_LINGER_US + METRICS_LINGER_US / 8, 1);
    EXPECT_EQ(lingering(), 1);
    EXPECT_EQ(metrics_read(metrics_gone(&doors), DOOR_GUESTS, 0), gone + 4);
    metrics_release(held);
    clock_freeze(now_us + 3 * METRICS_LINGER_US, 1);
    EXPECT_EQ(lingering(), 0);
    m = door("linger", "front");
    EXPECT_EQ(metrics_read(m, DOOR_GUESTS, 0), 0);
    metrics_release(m);
    clock_freeze(0, 0);
}

enum { COUNTERS = 4, ROUNDS = 200000 };

struct counter {
    pthread_t       thread;
    unsigned        worker;
    struct metrics *m;
};

static void *
count_on(void *arg)
{
    struct counter *c = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        metrics_add(c->m, c->worker, DOOR_GUESTS, 1);
        metrics_observe(c->m, c->worker, DOOR_STAY, i);
    }
    return NULL;
}

/* ThreadSanitizer watches here. */
TEST(who_reads_does_not_disturb_who_counts)
{
    struct metrics *m = door("threads", "front");
    struct counter counters[COUNTERS];
    int64_t before = 0;
    struct histogram h;

    for (unsigned i = 0; i < COUNTERS; i++) {
        counters[i] = (struct counter){.worker = i, .m = m};
        EXPECT_EQ(pthread_create(&counters[i].thread, NULL, count_on, &counters[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        int64_t now = metrics_read(m, DOOR_GUESTS, 0);

        EXPECT(now >= before);
        before = now;
    }
    for (unsigned i = 0; i < COUNTERS; i++)
        pthread_join(counters[i].thread, NULL);
    EXPECT_EQ(metrics_read(m, DOOR_GUESTS, 0), COUNTERS * ROUNDS);
    metrics_read_histogram(m, DOOR_STAY, &h);
    EXPECT_EQ(h.count, COUNTERS * ROUNDS);
    metrics_release(m);
}

/* A few nanoseconds: what an exchange counts must vanish beside what it costs. */
TEST(counting_costs_nanoseconds)
{
    enum { TIMES = 1000000 };
    struct metrics *m = door("cost", "front");
    uint64_t start_us = clock_monotonic_us(), took_us;

    for (unsigned i = 0; i < TIMES; i++) {
        metrics_add(m, 0, DOOR_GUESTS, 1);
        metrics_observe(m, 0, DOOR_STAY, i);
    }
    took_us = clock_monotonic_us() - start_us;
    EXPECT(took_us < 100ull * TEST_SLOWDOWN * 1000); /* 100 ns for both, on a busy machine */
    metrics_release(m);
}
