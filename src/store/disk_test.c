/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk_test.c - a store with a disk: objects come back, also after the process has died. */
#include "store/testing_disk.h"

/* ------------------------------------------------------------------ coming back */

TEST(what_was_driven_out_comes_back_from_disk)
{
    struct store *s;

    begin();
    s = open_store();
    put_hundred(s);
    EXPECT_EQ(status_of(s).disk_objects, 100);
    for (uint64_t i = 0; i < 100; i++) {
        drive_out(s, i);
        EXPECT_EQ(look(s, i, size_of(i)), WHOLE);
    }
    EXPECT_EQ(status_of(s).disk_hits, 100);
    EXPECT_EQ(look(s, 1000, 1), ABSENT);
    store_drop(s);
    end();
}

TEST(a_look_that_would_fill_nothing_finds_it_too)
{
    struct store *s;

    begin();
    s = open_store();
    CHECK(testing_put(s, 1, 100, NULL));
    settle(s);
    drive_out(s, 1);
    EXPECT(testing_has(s, 1));
    EXPECT(!testing_has(s, 2));
    store_drop(s);
    end();
}

TEST(it_is_there_after_the_store_was_closed)
{
    struct store *s;

    begin();
    s = open_store();
    put_hundred(s);
    store_drop(s);
    s = open_store();
    EXPECT_EQ(status_of(s).disk_objects, 100);
    for (uint64_t i = 0; i < 100; i++)
        EXPECT_EQ(look(s, i, size_of(i)), WHOLE);
    store_drop(s);
    end();
}

TEST(it_is_there_after_the_process_was_killed)
{
    struct store *s;

    begin();
    and_die(put_hundred);
    s = open_store();
    EXPECT_EQ(status_of(s).disk_objects, 100);
    for (uint64_t i = 0; i < 100; i++)
        EXPECT_EQ(look(s, i, size_of(i)), WHOLE);
    store_drop(s);
    end();
}

TEST(a_large_one_comes_in_pieces)
{
    struct store *s;

    begin();
    s = open_store();
    CHECK(testing_put(s, 1, 800000, NULL));
    settle(s);
    drive_out(s, 1);
    EXPECT_EQ(look(s, 1, 800000), WHOLE);
    EXPECT_EQ(status_of(s).disk_hits, 1);
    store_drop(s);
    end();
}

static void
put_ten_new_ones(struct store *s)
{
    for (uint64_t i = 0; i < 10; i++) {
        drive_out(s, i);
        store_purge_key(s, testing_key(s, i), false);
        CHECK(testing_put(s, i, 7, NULL));
    }
    settle(s);
}

TEST(the_newer_one_counts)
{
    struct store *s;

    begin();
    and_die(put_hundred);
    and_die(put_ten_new_ones);
    s = open_store();
    EXPECT_EQ(look(s, 3, 7), WHOLE);
    EXPECT_EQ(look(s, 13, size_of(13)), WHOLE);
    store_drop(s);
    end();
}

TEST(what_is_fleeting_is_not_written)
{
    const struct store_facts facts = {.length = 10, .fleeting = true};
    struct store *s;

    begin();
    s = open_store();
    CHECK(testing_put(s, 1, 10, &facts));
    settle(s);
    EXPECT_EQ(status_of(s).disk_objects, 0);
    store_drop(s);
    end();
}

/* ------------------------------------------------------------------ purges */

static void
purge_blue_path_softly(struct store *s)
{
    store_purge_prefix(s, SLICE("h/bl"), true);
}

static void
purge_one_key(struct store *s)
{
    store_purge_key(s, testing_key(s, 4), false);
}

static void
purge_one_key_softly(struct store *s)
{
    store_purge_key(s, testing_key(s, 4), true);
}

static void
purge_all(struct store *s)
{
    store_purge_all(s, false);
}

TEST(purges_hold_after_the_process_was_killed)
{
    struct store *s;

    begin();
    and_die(put_tagged);
    and_die(purge_red);
    and_die(purge_blue_path_softly);
    s = open_store();
    EXPECT_EQ(look(s, 1, 10), ABSENT);
    EXPECT_EQ(look(s, 3, 10), ABSENT);
    EXPECT_EQ(look(s, 2, 10), STALE);
    store_drop(s);
    and_die(purge_one_key);
    s = open_store();
    EXPECT_EQ(look(s, 2, 10), STALE);
    EXPECT_EQ(look(s, 4, 10), ABSENT);
    store_drop(s);
    and_die(purge_all);
    s = open_store();
    EXPECT_EQ(look(s, 2, 10), ABSENT);
    store_drop(s);
    end();
}

TEST(a_soft_purge_of_one_holds_too)
{
    struct store *s;

    begin();
    and_die(put_tagged);
    and_die(purge_one_key_softly);
    s = open_store();
    EXPECT_EQ(look(s, 4, 10), STALE);
    EXPECT_EQ(look(s, 2, 10), WHOLE);
    store_drop(s);
    s = open_store();
    EXPECT_EQ(look(s, 4, 10), STALE);
    store_drop(s);
    end();
}

TEST(what_comes_after_a_purge_is_not_purged)
{
    struct store *s;

    begin();
    and_die(purge_red);
    and_die(purge_all);
    and_die(put_tagged);
    s = open_store();
    EXPECT_EQ(look(s, 1, 10), WHOLE);
    store_drop(s);
    end();
}

/* Its purge has not been answered, but what was fetched after it has been written. */
static void
put_after_a_rule_that_is_lost(struct store *s)
{
    purges_add_tag(&s->purges, red, false);
    put_tagged(s);
}

TEST(the_epoch_of_a_lost_rule_does_not_come_again)
{
    struct store *s;

    begin();
    and_die(put_after_a_rule_that_is_lost);
    and_die(purge_red);
    s = open_store();
    EXPECT_EQ(look(s, 1, 10), ABSENT);
    EXPECT_EQ(look(s, 2, 10), WHOLE);
    store_drop(s);
    end();
}

/* The disk's rules are kept while it has something older, and not longer. */
TEST(rules_are_forgotten_with_the_segments_they_concern)
{
    struct store *s;

    begin();
    s = open_store();
    put_tagged(s);
    store_purge_tag(s, red, false);
    while (store_sweep_step(s, 1000))
        ;
    EXPECT(purges_any(&s->purges));
    disk_clear(disk_in(s));
    while (store_sweep_step(s, 1000))
        ;
    EXPECT(!purges_any(&s->purges));
    store_drop(s);
    end();
}

static void
purge_much(struct store *s)
{
    for (uint64_t i = 0; i < 20000; i++)
        store_purge_tag(s, i + 1000, i % 2);
    store_purge_key(s, testing_key(s, 1), false);
    for (int i = 0; i < 5000 && disk_in(s)->log.number < 3; i++)
        usleep(1000);
    CHECK(disk_in(s)->log.number >= 3);
}

TEST(a_long_log_is_written_anew)
{
    struct store *s;

    begin();
    and_die(put_hundred);
    and_die(purge_much);
    s = open_store();
    EXPECT_EQ(look(s, 1, size_of(1)), ABSENT);
    EXPECT_EQ(look(s, 2, size_of(2)), WHOLE);
    EXPECT(purges_any(&s->purges));
    store_drop(s);
    end();
}

/* ------------------------------------------------------------------ bounds */

static uint64_t
bytes_in_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    uint64_t bytes = 0;
    struct stat st;

    CHECK(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            bytes += (uint64_t) st.st_size;
    closedir(dir);
    return bytes;
}

TEST(the_oldest_go_and_what_is_wanted_stays)
{
    const uint64_t most = 4 * MIB;
    struct store *s;
    unsigned there = 0;

    begin();
    s = open_named("test", MIB, most);
    for (uint64_t i = 0; i < 2000; i++) {
        CHECK(testing_put(s, i, 10000, NULL));
        if (i % 10 == 9)
            settle(s);
        if (i % 50 == 49) {
            drive_out(s, 3);
            EXPECT_EQ(look(s, 3, 10000), WHOLE);
            EXPECT(bytes_in_folder() <= most);
        }
    }
    EXPECT(status_of(s).disk_bytes <= most);
    EXPECT(disk_in(s)->moved > 0);
    for (uint64_t i = 0; i < 2000; i++)
        there += look(s, i, 10000) == WHOLE;
    EXPECT(there > 300);
    EXPECT_EQ(look(s, 100, 10000), ABSENT);
    store_drop(s);
    end();
}

TEST(what_is_wanted_in_memory_stays_on_disk)
{
    struct store *s;

    begin();
    s = open_named("test", MIB, 4 * MIB);
    for (uint64_t i = 0; i < 1500; i++) {
        CHECK(testing_put(s, i, 10000, NULL));
        if (i % 10 == 9)
            settle(s);
        EXPECT(i < 3 || testing_has(s, 3));
    }
    EXPECT_EQ(status_of(s).disk_hits, 0);
    store_drop(s);
    s = open_named("test", MIB, 4 * MIB);
    EXPECT_EQ(look(s, 3, 10000), WHOLE);
    EXPECT_EQ(look(s, 4, 10000), ABSENT);
    store_drop(s);
    end();
}

/* A store whose disk cannot follow keeps nothing more for a moment. */
static void
put_surely(struct store *s, uint64_t number, size_t bytes)
{
    for (unsigned i = 0; !testing_put(s, number, bytes, NULL); i++) {
        CHECK(i < 6000);
        usleep(10000);
    }
}

static void
put_many(struct store *s)
{
    for (uint64_t i = 0; i < 100000; i++) {
        put_surely(s, i, 200);
        if (i % 1000 == 999)
            settle(s);
    }
}

TEST(a_hundred_thousand_are_there_within_a_second)
{
    struct store *s;
    uint64_t began_us, took_us;

    begin();
    and_die(put_many);
    began_us = clock_monotonic_us();
    s = open_store();
    EXPECT_EQ(look(s, 77777, 200), WHOLE);
    took_us = clock_monotonic_us() - began_us;
    EXPECT_EQ(status_of(s).disk_objects, 100000);
    printf("# %llu us\n", (unsigned long long) took_us);
    EXPECT(took_us < 1000000 * TEST_SLOWDOWN);
    store_drop(s);
    end();
}

TEST(a_smaller_bound_takes_effect)
{
    struct store *s, *again;

    begin();
    s = open_store();
    for (uint64_t i = 0; i < 600; i++) {
        CHECK(testing_put(s, i, 10000, NULL));
        if (i % 20 == 19)
            settle(s);
    }
    EXPECT(status_of(s).disk_bytes > 5 * MIB);
    again = open_named("test", 8 * MIB, 2 * MIB);
    EXPECT(again == s);
    for (int i = 0; i < 300 && status_of(s).disk_bytes > 2 * MIB; i++)
        usleep(10000);
    EXPECT(status_of(s).disk_bytes <= 2 * MIB);
    store_drop(again);
    store_drop(s);
    end();
}

TEST(the_index_counts_as_memory)
{
    struct store *s;
    uint64_t before;

    begin();
    s = open_named("test", 2 * MIB, 64 * MIB);
    before = status_of(s).memory_bytes;
    for (uint64_t i = 0; i < 20000; i++) {
        put_surely(s, i, 10);
        if (i % 500 == 499)
            settle(s);
        EXPECT(status_of(s).memory_bytes <= 2 * MIB);
    }
    EXPECT(status_of(s).memory_bytes > before);
    EXPECT(status_of(s).disk_objects > 15000);
    EXPECT_EQ(look(s, 5, 10), WHOLE);
    store_drop(s);
    end();
}

static _Atomic bool sweeping;

static void *
sweep_on(void *arg)
{
    while (sweeping)
        store_sweep_step(arg, 1000);
    return NULL;
}

/* The memory of a new process has been measured against everything at once: there is nothing. */
TEST(no_rule_is_forgotten_before_the_segments_are_known)
{
    for (unsigned i = 0; i < 40; i++) {
        const struct store_options plain = {.memory_bytes = 8 * MIB};
        struct store *s, *same;
        pthread_t sweeper;

        begin();
        and_die(put_tagged);
        and_die(purge_red);
        s = store_open(SLICE("test"), &plain);
        sweeping = true;
        CHECK(pthread_create(&sweeper, NULL, sweep_on, s) == 0);
        same = open_store();
        sweeping = false;
        pthread_join(sweeper, NULL);
        store_drop(same);
        store_drop(s);
        s = open_store();
        EXPECT_EQ(look(s, 1, 10), ABSENT);
        EXPECT_EQ(look(s, 2, 10), WHOLE);
        store_drop(s);
        end();
    }
}
