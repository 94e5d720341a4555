/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk_trouble_test.c - a disk that is full, wrong, gone, or somebody else's. */
#include "runtime/fiber.h"
#include "store/testing_disk.h"

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
    store_drop(s);
    disk_calls.write = pwrite;
    failing = 0;
    s = open_store();
    EXPECT_EQ(status_of(s).disk_objects, 0);
    EXPECT_EQ(look(s, 1, 10), ABSENT);
    EXPECT_EQ(look(s, 2, 10), ABSENT);
    store_drop(s);
    end();
}

/* ------------------------------------------------------------------ a disk that hangs */

/* Reads stand before this door until it is opened. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  moved;
    unsigned        standing, tries; /* the first so many pass */
    bool            open;
} door = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static ssize_t
hanging_read(int fd, void *at, size_t n, off_t offset)
{
    pthread_mutex_lock(&door.lock);
    if (door.tries > 0) {
        door.tries--;
    } else {
        door.standing++;
        while (!door.open)
            pthread_cond_wait(&door.moved, &door.lock);
        door.standing--;
    }
    pthread_mutex_unlock(&door.lock);
    return pread(fd, at, n, offset);
}

static void
open_door(void)
{
    pthread_mutex_lock(&door.lock);
    door.open = true;
    pthread_cond_broadcast(&door.moved);
    pthread_mutex_unlock(&door.lock);
}

static uint32_t
reads_of(struct disk *d)
{
    uint32_t n;

    pthread_mutex_lock(&d->lock);
    n = d->reads;
    pthread_mutex_unlock(&d->lock);
    return n;
}

static struct store *hung;
static uint64_t waited_us;

static void
ask_hanging(void *arg)
{
    struct disk *d = disk_in(hung);
    uint64_t began_us = clock_monotonic_us();

    (void) arg;
    EXPECT_EQ(look(hung, 5, size_of(5)), ABSENT);
    waited_us = clock_monotonic_us() - began_us;
    EXPECT(was_told("does not answer"));
    EXPECT_EQ(reads_of(d), 1);
    /* It is not what is wrong with the object, and nobody else waits for the disk now. */
    EXPECT_EQ(status_of(hung).disk_broken, 0);
    began_us = clock_monotonic_us();
    EXPECT_EQ(look(hung, 6, size_of(6)), ABSENT);
    EXPECT(clock_monotonic_us() - began_us < d->read_us);
    EXPECT_EQ(reads_of(d), 1);
    open_door();
    for (int i = 0; i < 1000 && reads_of(d); i++)
        fiber_sleep_until(loop_now_us() + 1000);
    EXPECT_EQ(reads_of(d), 0);
    d->slow_until_us = 0;
    EXPECT_EQ(look(hung, 6, size_of(6)), WHOLE);
}

static void
run_hanging(fiber_run_f *run)
{
    begin();
    hung = open_store();
    put_hundred(hung);
    CHECK(testing_put(hung, 900, 2000000, NULL));
    settle(hung);
    for (uint64_t i = 5; i < 7; i++)
        drive_out(hung, i);
    drive_out(hung, 900);
    door.open = false;
    file_ring_allow(false);
    disk_calls.read = hanging_read;
    disk_in(hung)->read_us = 50000;
    CHECK(fiber_start("test", run, NULL));
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
}

TEST(who_asks_a_disk_that_hangs_goes_on)
{
    door.tries = 0;
    run_hanging(ask_hanging);
    EXPECT(waited_us >= 50000 && waited_us < 2000000);
    store_drop(hung);
    end();
}

/* The head has come; the rest does not. */
static void
follow_hanging(void *arg)
{
    struct store_object *o = NULL;
    struct slice chunk;
    uint64_t at = 0;
    enum err e;

    (void) arg;
    EXPECT_EQ(store_ask(hung, testing_key(hung, 900), true, &o), STORE_FILLING);
    EXPECT_EQ(store_wait_head(o, loop_now_us() + 1000000), OK);
    while ((e = store_read(o, at, loop_now_us() + 2000000, &chunk)) == OK)
        at += chunk.n;
    EXPECT_EQ(e, ERR_RESET);
    EXPECT(at > 0 && at < 2000000);
    store_leave(o);
}

/* The store goes, and the last to leave it is the disk. */
TEST(a_read_that_hangs_outlives_its_store)
{
    struct disk *d;

    door.tries = 1;
    run_hanging(follow_hanging);
    d = disk_in(hung);
    EXPECT_EQ(reads_of(d), 1);
    store_drop(hung);
    EXPECT_EQ(reads_of(d), 1);
    open_door();
    testing_pause(20); /* a sanitizer would tell */
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
