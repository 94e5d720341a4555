/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk_test.c - a store with a disk: objects come back, also after the process has died. */
#include "store/disk.h"

#include "base/test.h"
#include "store/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct loop loop;
static char told[1024];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void
tell(bool trouble, const char *sentence)
{
    (void) trouble;
    pthread_mutex_lock(&told_lock);
    snprintf(told, sizeof(told), "%s", sentence);
    pthread_mutex_unlock(&told_lock);
}

static bool
was_told(const char *what)
{
    bool was;

    pthread_mutex_lock(&told_lock);
    was = strstr(told, what) != NULL;
    pthread_mutex_unlock(&told_lock);
    return was;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void) st;
    (void) kind;
    (void) where;
    return remove(path);
}

static void
begin(void)
{
    static bool started;

    if (!started)
        CHECK(loop_init(&loop, NULL, 0) == OK);
    started = true;
    told[0] = '\0';
    snprintf(folder, sizeof(folder), "/tmp/maitred-disk-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void
end(void)
{
    disk_calls = (struct disk_calls){pread, pwrite};
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct store *
open_named(const char *name, uint64_t memory_bytes, uint64_t disk_bytes)
{
    const struct store_options options = {.memory_bytes = memory_bytes,
                                          .folder = slice_str(folder),
                                          .disk_bytes = disk_bytes,
                                          .tell = tell};
    struct store *s = store_open(slice_str(name), &options);

    CHECK(s);
    return s;
}

static struct store *
open_store(void)
{
    return open_named("test", 8 * MIB, 64 * MIB);
}

static struct disk *
disk_in(struct store *s)
{
    struct tier *t = s->tier;

    return disk_of(t);
}

static struct store_status
status_of(const struct store *s)
{
    struct store_status status;

    store_status(s, &status);
    return status;
}

/* All that was offered is written, or was not, and found. */
static void
settle(struct store *s)
{
    struct disk *d = disk_in(s);
    bool idle = false;

    for (int i = 0; i < 5000 && !idle; i++) {
        pthread_mutex_lock(&d->lock);
        idle = d->queue_n == 0 && d->writing_n == 0 && (!d->open || d->pending.n == 0);
        pthread_mutex_unlock(&d->lock);
        usleep(idle ? 5000 : 1000);
    }
    CHECK(idle);
}

/* Out of memory, as if it had been driven out. */
static void
drive_out(struct store *s, uint64_t number)
{
    struct store_object *o = NULL;

    if (store_ask(s, testing_key(s, number), false, &o) == STORE_HIT)
        store_unlink(o);
    if (o)
        store_leave(o);
}

enum verdict_of { WRONG = -1, ABSENT, WHOLE, STALE };

/* Asks as who would fill it; a miss is broken off. */
static int
look(struct store *s, uint64_t number, size_t bytes)
{
    struct store_object *o = NULL;
    int found = ABSENT;

    switch (store_ask(s, testing_key(s, number), true, &o)) {
    case STORE_HIT:
        found = !testing_is_whole(o, number, bytes) ? WRONG : store_is_soft(o) ? STALE : WHOLE;
        break;
    case STORE_MISS: store_break(o); break;
    case STORE_FILLING: found = ABSENT; break;
    case STORE_NONE: break;
    }
    if (o)
        store_leave(o);
    return found;
}

/* In a process of its own, which is not given the time to say good-bye. */
static void
and_die(void (*act)(struct store *s))
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        struct store *s = open_store();

        act(s);
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

static size_t
size_of(uint64_t number)
{
    return (size_t) (number * 997 % 20000);
}

static void
put_hundred(struct store *s)
{
    for (uint64_t i = 0; i < 100; i++)
        CHECK(testing_put(s, i, size_of(i), NULL));
    settle(s);
}

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

static const uint64_t red = 7, blue = 8;

static void
put_tagged(struct store *s)
{
    const struct store_facts one = {
        .length = 10, .tags = &red, .tags_n = 1, .path = SLICE("h/red")};
    const struct store_facts two = {
        .length = 10, .tags = &blue, .tags_n = 1, .path = SLICE("h/blue")};

    CHECK(testing_put(s, 1, 10, &one) && testing_put(s, 2, 10, &two));
    CHECK(testing_put(s, 3, 10, &one) && testing_put(s, 4, 10, &two));
    settle(s);
}

static void
purge_red(struct store *s)
{
    store_purge_tag(s, red, false);
}

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
        CHECK(testing_put(s, i, 10, NULL));
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

/* ------------------------------------------------------------------ trouble */

static _Atomic int failing; /* errno; -1: few bytes at once */

static ssize_t
bad_write(int fd, const void *at, size_t n, off_t offset)
{
    if (failing > 0) {
        errno = failing;
        return -1;
    }
    return pwrite(fd, at, failing < 0 && n > 777 ? 777 : n, offset);
}

static ssize_t
bad_read(int fd, void *at, size_t n, off_t offset)
{
    if (failing > 0) {
        errno = failing;
        return -1;
    }
    return pread(fd, at, failing < 0 && n > 777 ? 777 : n, offset);
}

TEST(a_full_disk_costs_only_what_is_not_written)
{
    struct store *s;

    begin();
    s = open_store();
    put_hundred(s);
    failing = ENOSPC;
    disk_calls.write = bad_write;
    CHECK(testing_put(s, 200, 100, NULL));
    settle(s);
    EXPECT(was_told("no space left"));
    EXPECT_EQ(look(s, 200, 100), WHOLE);
    failing = 0;
    disk_in(s)->ill_until_us = 0;
    CHECK(testing_put(s, 201, 100, NULL));
    settle(s);
    drive_out(s, 201);
    EXPECT_EQ(look(s, 201, 100), WHOLE);
    store_drop(s);
    end();
}

TEST(a_disk_that_cannot_be_read_is_fetched_around)
{
    struct store *s;

    begin();
    s = open_store();
    put_hundred(s);
    drive_out(s, 5);
    failing = EIO;
    disk_calls.read = bad_read;
    EXPECT_EQ(look(s, 5, size_of(5)), ABSENT);
    EXPECT_EQ(status_of(s).disk_broken, 1);
    failing = 0;
    drive_out(s, 6);
    EXPECT_EQ(look(s, 6, size_of(6)), WHOLE);
    store_drop(s);
    end();
}

TEST(few_bytes_at_once_do_no_harm)
{
    struct store *s;

    begin();
    failing = -1;
    disk_calls = (struct disk_calls){bad_read, bad_write};
    s = open_store();
    put_hundred(s);
    store_drop(s);
    s = open_store();
    for (uint64_t i = 0; i < 100; i++)
        EXPECT_EQ(look(s, i, size_of(i)), WHOLE);
    store_drop(s);
    failing = 0;
    end();
}

TEST(a_log_that_cannot_be_written_empties_the_folder)
{
    struct store *s;

    begin();
    s = open_store();
    put_tagged(s);
    failing = EIO;
    disk_calls.write = bad_write;
    store_purge_tag(s, red, false);
    EXPECT(was_told("cannot write the log"));
    disk_calls.write = pwrite;
    CHECK(disk_in(s)->log.fd < 0);
    /* As after a crash: nobody has written another one. */
    pthread_mutex_lock(&disk_in(s)->log.lock);
    pthread_mutex_unlock(&disk_in(s)->log.lock);
    store_drop(s);
    failing = 0;
    s = open_store();
    EXPECT(look(s, 1, 10) == ABSENT);
    store_drop(s);
    end();
}

TEST(two_do_not_share_a_folder)
{
    struct store *one, *two;

    begin();
    one = open_store();
    put_hundred(one);
    two = open_named("other", 8 * MIB, 64 * MIB);
    EXPECT(was_told("another process"));
    CHECK(testing_put(two, 1, 100, NULL));
    EXPECT_EQ(look(two, 1, 100), WHOLE);
    EXPECT_EQ(status_of(two).disk_max, 0);
    store_drop(one);
    for (int i = 0; i < 300 && !status_of(two).disk_max; i++)
        usleep(10000);
    EXPECT_EQ(status_of(two).disk_objects, 100);
    EXPECT_EQ(look(two, 7, size_of(7)), WHOLE);
    store_drop(two);
    end();
}

TEST(what_was_purged_while_another_had_the_folder_is_not_served)
{
    struct store *one, *two;

    begin();
    one = open_store();
    put_tagged(one);
    two = open_named("other", 8 * MIB, 64 * MIB);
    store_purge_tag(two, red, false);
    store_drop(one);
    for (int i = 0; i < 300 && !status_of(two).disk_max; i++)
        usleep(10000);
    EXPECT(was_told("can be used now"));
    EXPECT_EQ(status_of(two).disk_objects, 0);
    EXPECT_EQ(look(two, 1, 10), ABSENT);
    store_drop(two);
    end();
}

TEST(a_folder_that_cannot_be_used_leaves_memory)
{
    struct store *s;

    begin();
    rmdir(folder);
    snprintf(folder, sizeof(folder), "/proc/there/is/none");
    s = open_store();
    EXPECT(was_told("memory only"));
    CHECK(testing_put(s, 1, 100, NULL));
    EXPECT_EQ(look(s, 1, 100), WHOLE);
    store_drop(s);
}

TEST(foreign_files_are_left_alone)
{
    static const char *const names[] = {"README", "segment-xyz", "segment-12", "log-", "secret~"};
    char path[128];
    struct store *s;

    begin();
    for (size_t i = 0; i < countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        CHECK(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
    }
    s = open_store();
    put_hundred(s);
    store_drop(s);
    for (size_t i = 0; i < countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        EXPECT(access(path, F_OK) == 0);
    }
    end();
}

TEST(another_folder_after_a_reload)
{
    char first[64];
    struct store *s, *again;

    begin();
    s = open_store();
    put_hundred(s);
    memcpy(first, folder, sizeof(first));
    begin();
    again = open_store();
    EXPECT(again == s);
    EXPECT_EQ(status_of(s).disk_objects, 0);
    CHECK(testing_put(s, 500, 100, NULL));
    settle(s);
    drive_out(s, 500);
    EXPECT_EQ(look(s, 500, 100), WHOLE);
    drive_out(s, 1);
    EXPECT_EQ(look(s, 1, size_of(1)), ABSENT);
    store_drop(again);
    store_drop(s);
    end();
    memcpy(folder, first, sizeof(first));
    s = open_store();
    EXPECT_EQ(look(s, 1, size_of(1)), WHOLE);
    store_drop(s);
    end();
}

/* ------------------------------------------------------------------ wrong bytes */

static void
flip(const char *name, off_t at)
{
    char path[512], byte;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

/* The longest file of that kind. */
static bool
find_file(const char *prefix, char name[300], off_t *bytes)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    struct stat st;

    CHECK(dir);
    *bytes = -1;
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && st.st_size > *bytes) {
            snprintf(name, 300, "%s", entry->d_name);
            *bytes = st.st_size;
        }
    closedir(dir);
    return *bytes >= 0;
}

static void
put_six(struct store *s)
{
    for (uint64_t i = 0; i < 5; i++)
        CHECK(testing_put(s, i, 300 * i, NULL));
    CHECK(testing_put(s, 5, 70000, NULL));
    settle(s);
}

/* Whatever byte is wrong: what comes back is right, or nothing does. */
static bool
survives(const char *prefix, off_t at)
{
    struct store *s;
    char name[300];
    off_t bytes;
    bool good = true;

    CHECK(find_file(prefix, name, &bytes));
    flip(name, at % bytes);
    s = open_store();
    for (uint64_t i = 0; i < 6 && good; i++)
        good = look(s, i, i == 5 ? 70000 : 300 * (size_t) i) != WRONG;
    store_drop(s);
    return good;
}

TEST(no_wrong_byte_ever)
{
    for (off_t at = 0; at < 4000; at += 97) {
        begin();
        and_die(put_six);
        EXPECT(survives("segment-", at));
        end();
    }
}

TEST(no_wrong_byte_in_what_was_closed)
{
    for (off_t at = 0; at < 600; at += 37) {
        struct store *s;
        char name[300];
        off_t bytes;

        begin();
        s = open_store();
        put_six(s);
        store_drop(s);
        CHECK(find_file("segment-", name, &bytes));
        EXPECT(survives("segment-", bytes - 1 - at));
        end();
    }
}

TEST(a_log_with_a_wrong_byte_is_not_believed)
{
    for (off_t at = 0; at < 200; at += 13) {
        struct store *s;
        char name[300];
        off_t bytes;

        begin();
        and_die(put_tagged);
        and_die(purge_red);
        CHECK(find_file("log-", name, &bytes));
        flip(name, at % bytes);
        s = open_store();
        EXPECT_EQ(look(s, 1, 10), ABSENT);
        store_drop(s);
        end();
    }
}

TEST(a_segment_that_ends_early_keeps_what_is_whole)
{
    char name[300], path[512];
    struct store *s;
    off_t bytes;

    begin();
    and_die(put_hundred);
    CHECK(find_file("segment-", name, &bytes));
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK(truncate(path, bytes / 2) == 0);
    s = open_store();
    EXPECT(status_of(s).disk_objects > 20 && status_of(s).disk_objects < 80);
    EXPECT_EQ(look(s, 0, size_of(0)), WHOLE);
    EXPECT_EQ(look(s, 99, size_of(99)), ABSENT);
    store_drop(s);
    end();
}
