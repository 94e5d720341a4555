/* SPDX-License-Identifier: Apache-2.0 */
/* control/revisions_trouble_test.c - a store that is full, locked, wrong, gone, or somebody
 * else's. */
#include "base/clock.h"
#include "control/testing_state.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

static bool
is_said(const char *what)
{
    struct slice fault = revisions_fault();

    if (slice_search(fault, slice_str(what)) != SLICE_NOT_FOUND)
        return true;
    printf("# the fault is: %.*s\n", SLICE_ARG(fault));
    return false;
}

/* A database with some revisions in it, closed. */
static void
furnish(int n)
{
    CHECK(revisions_open(state_folder));
    for (int i = 1; i <= n; i++)
        CHECK(state_add(i) == i);
    revisions_close();
}

static void
overwrite(const char *name, off_t at, size_t n)
{
    int fd = open(state_path(name), O_WRONLY | O_CREAT, 0600);

    CHECK(fd >= 0);
    for (size_t i = 0; i < n; i++)
        CHECK(pwrite(fd, "\x5a", 1, at + (off_t) i) == 1);
    close(fd);
}

/* By a connection of its own; no other of this process may be open. */
static void
with_sqlite(const char *sql)
{
    sqlite3 *db;

    CHECK(sqlite3_open(state_path("revisions.db"), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
}

/* ------------------------------------------------------------------ wrong files */

TEST(what_is_no_database_is_moved_aside)
{
    state_begin();
    overwrite("revisions.db", 0, 8192);
    EXPECT(revisions_open(state_folder));
    EXPECT(is_said("was damaged: moved to "));
    EXPECT(revisions_usable());
    EXPECT_EQ(state_count("revisions.db.corrupt-"), 1);
    EXPECT_EQ(state_add(1), 1);
    EXPECT(is_said("was damaged: moved to ")); /* still */
    state_end();
}

TEST(a_database_with_a_damaged_page_is_moved_aside)
{
    state_begin();
    furnish(200);
    overwrite("revisions.db", 8192, 4096);
    EXPECT(revisions_open(state_folder));
    EXPECT(is_said("moved to "));
    EXPECT_EQ(state_current(), 0);
    EXPECT_EQ(state_add(1), 1);
    state_end();
}

/* Well-formed, but not what was written. */
TEST(a_text_that_was_changed_is_not_believed)
{
    struct revision r = {.source = STATE_SOURCE, .patch = SLICE("[]\n")};
    char text[10000];

    memset(text, 'x', sizeof(text));
    r.text = slice_of(text, sizeof(text));
    state_begin();
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(revisions_add(&r), 1);
    EXPECT(revisions_get(1, &r, &state_arena));
    EXPECT_EQ(r.text.n, sizeof(text));
    revisions_close();
    with_sqlite("UPDATE body SET text = substr(text, 1, 20) || x'00' || substr(text, 22)"
                " WHERE bytes = 10000");
    EXPECT(revisions_open(state_folder));
    EXPECT(!revisions_get(1, &r, &state_arena));
    EXPECT(is_said("cannot be read: it is damaged"));
    with_sqlite("UPDATE body SET bytes = 5000000000 WHERE bytes = 10000");
    EXPECT(!revisions_get(1, &r, &state_arena));
    state_end();
}

TEST(an_empty_file_is_as_good_as_none)
{
    state_begin();
    overwrite("revisions.db", 0, 0);
    EXPECT(revisions_open(state_folder));
    EXPECT(!slice_is_present(revisions_fault()));
    EXPECT_EQ(state_add(1), 1);
    state_end();
}

TEST(somebody_elses_database_is_left_alone)
{
    state_begin();
    with_sqlite("CREATE TABLE customer(name)");
    EXPECT(!revisions_open(state_folder));
    EXPECT(is_said("belongs to another program"));
    EXPECT_EQ(state_add(1), 0);
    EXPECT_EQ(state_count("revisions.db.corrupt-"), 0);
    revisions_close();
    with_sqlite("INSERT INTO customer VALUES('still there')");
    state_end();
}

TEST(a_newer_format_is_left_alone)
{
    state_begin();
    furnish(1);
    with_sqlite("PRAGMA user_version = 99");
    EXPECT(!revisions_open(state_folder));
    EXPECT(is_said("another version of maitred (its format is 99"));
    EXPECT_EQ(state_count("revisions.db.corrupt-"), 0);
    revisions_close();
    with_sqlite("PRAGMA user_version = 3");
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(state_current(), 1);
    state_end();
}

TEST(an_older_format_becomes_ours)
{
    struct revision r;

    state_begin();
    furnish(3);
    with_sqlite("DROP INDEX revision_source; ALTER TABLE revision DROP COLUMN source;"
                "ALTER TABLE body DROP COLUMN bytes; PRAGMA user_version = 1");
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(state_add(4), 4);
    EXPECT_EQ(state_current(), 4);
    EXPECT(revisions_get(3, &r, &state_arena));
    EXPECT_STR(r.text, "routes: 3\n");
    EXPECT_STR(r.source, "");
    state_end();
}

TEST(a_file_that_is_taken_away_is_made_again)
{
    state_begin();
    furnish(3);
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(unlink(state_path("revisions.db")), 0);
    unlink(state_path("revisions.db-wal"));
    unlink(state_path("revisions.db-shm"));
    EXPECT_EQ(state_add(1), 1);
    EXPECT_EQ(state_count("revisions.db"), 3);
    state_end();
}

TEST(a_folder_that_is_missing_is_made)
{
    char folder[100];

    state_begin();
    snprintf(folder, sizeof(folder), "%s/new", state_folder);
    EXPECT(revisions_open(folder));
    EXPECT_EQ(state_add(1), 1);
    revisions_close();
    unlink(state_path("new/revisions.db"));
    EXPECT_EQ(rmdir(folder), 0);
    snprintf(folder, sizeof(folder), "%s/no/such", state_folder);
    EXPECT(!revisions_open(folder));
    EXPECT(is_said("cannot be made: No such file or directory"));
    state_end();
}

/* ------------------------------------------------------------------ rights and room */

static int
use_read_only(void)
{
    if (chmod(state_folder, 0555) != 0)
        return 1;
    if (revisions_open(state_folder) || state_add(1) != 0 || !is_said("Permission denied"))
        return 2;
    /* Once it can be had, it is: without a restart. */
    return chmod(state_folder, 0755) == 0 && state_add(1) == 1 && revisions_usable() ? 0 : 3;
}

TEST(a_folder_that_is_read_only)
{
    state_begin();
    EXPECT_EQ(state_as_nobody(use_read_only), 0);
    state_end();
}

static int
read_what_there_is(void)
{
    if (!revisions_open(state_folder))
        return 1;
    for (int i = 1; i <= 3; i++)
        state_add(i);
    revisions_close();
    if (chmod(state_path("revisions.db"), 0444) != 0 || chmod(state_folder, 0555) != 0)
        return 2;
    if (!revisions_open(state_folder) || state_current() != 3)
        return 3;
    if (state_add(4) != 0 || !is_said("read-only") || state_current() != 3)
        return 4;
    chmod(state_folder, 0755);
    chmod(state_path("revisions.db"), 0600);
    return state_add(4) == 4 ? 0 : 5;
}

TEST(what_was_kept_is_read_where_nothing_can_be_written)
{
    state_begin();
    EXPECT_EQ(state_as_nobody(read_what_there_is), 0);
    state_end();
}

static int
fill_up(void)
{
    struct rlimit small = {200000, 200000};
    struct revision r = {.patch = SLICE("[]\n"), .source = STATE_SOURCE};
    char *text = malloc(100000);
    int64_t number = 0;

    signal(SIGXFSZ, SIG_IGN);
    if (!revisions_open(state_folder) || setrlimit(RLIMIT_FSIZE, &small) != 0)
        return 1;
    for (int i = 0; i < 10; i++) {
        random_bytes(text, 100000);
        r.text = slice_of(text, 100000);
        r.number = 0;
        if (!revisions_add(&r))
            break;
        number++;
    }
    if (number == 0 || number == 10)
        return 2;
    if (!is_said("cannot"))
        return 3;
    /* What was kept is whole, and small things go on. */
    if (state_current() != number || !revisions_get(number, &r, &state_arena) ||
        r.text.n != 100000)
        return 4;
    free(text);
    return 0;
}

TEST(a_disk_that_is_full_costs_only_what_is_new)
{
    state_begin();
    EXPECT_EQ(state_as_nobody(fill_up), 0);
    state_end();
}

/* ------------------------------------------------------------------ other processes */

/* A process that changes or locks the database when told to, and ends when told again. */
struct locker {
    pid_t pid;
    int   tell, answer;
};

static void
change_and_wait(int orders, int answers, const char *how)
{
    sqlite3 *db;
    char byte;

    CHECK(read(orders, &byte, 1) == 1);
    CHECK(sqlite3_open(state_path("revisions.db"), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, how, NULL, NULL, NULL) == SQLITE_OK);
    CHECK(write(answers, "x", 1) == 1);
    CHECK(read(orders, &byte, 1) == 1);
    sqlite3_close(db);
}

/* Before this process has a connection: SQLite does not outlive a fork. */
static struct locker
start_locker(const char *how)
{
    int orders[2], answers[2];
    struct locker l;

    CHECK(pipe(orders) == 0 && pipe(answers) == 0);
    l.pid = fork();
    CHECK(l.pid >= 0);
    if (l.pid == 0) {
        close(orders[1]);
        change_and_wait(orders[0], answers[1], how);
        _exit(0);
    }
    close(orders[0]);
    close(answers[1]);
    l.tell = orders[1];
    l.answer = answers[0];
    return l;
}

static void
lock_it(const struct locker *l)
{
    char byte;

    CHECK(write(l->tell, "x", 1) == 1 && read(l->answer, &byte, 1) == 1);
}

static void
unlock_it(const struct locker *l)
{
    int status;

    CHECK(write(l->tell, "x", 1) == 1);
    CHECK(waitpid(l->pid, &status, 0) == l->pid && status == 0);
    close(l->tell);
    close(l->answer);
}

TEST(a_lock_is_waited_for_and_then_told)
{
    uint64_t before_us, took_us;
    struct locker locker;

    state_begin();
    furnish(1);
    locker = start_locker("BEGIN IMMEDIATE");
    lock_it(&locker);
    EXPECT(!revisions_open(state_folder));
    EXPECT(is_said("locked by another process"));
    before_us = clock_monotonic_us();
    EXPECT_EQ(state_add(2), 0);
    took_us = clock_monotonic_us() - before_us;
    EXPECT(took_us > 1500000 && took_us < 4000000 * TEST_SLOWDOWN);
    unlock_it(&locker);
    EXPECT_EQ(state_add(2), 2);
    EXPECT(revisions_usable());
    state_end();
}

TEST(a_lock_does_not_keep_from_reading)
{
    struct locker locker;

    state_begin();
    furnish(1);
    locker = start_locker("BEGIN IMMEDIATE");
    EXPECT(revisions_open(state_folder));
    lock_it(&locker);
    EXPECT_EQ(state_current(), 1);
    EXPECT_EQ(state_add(2), 0);
    EXPECT(is_said("locked by another process"));
    unlock_it(&locker);
    EXPECT_EQ(state_add(2), 2);
    state_end();
}

/* Its change makes this process read anew what it has in memory. */
TEST(damage_that_comes_later_is_found_too)
{
    struct locker other;

    state_begin();
    furnish(200);
    other = start_locker("INSERT INTO body(digest, text) VALUES(0, '')");
    EXPECT(revisions_open(state_folder));
    lock_it(&other);
    overwrite("revisions.db", 4096, (size_t) 10 * 4096);
    EXPECT_EQ(state_add(1), 0);
    EXPECT(is_said("was damaged"));
    EXPECT_EQ(state_count("revisions.db.corrupt-"), 3); /* its log, too */
    EXPECT_EQ(state_add(1), 1);
    EXPECT(revisions_usable());
    unlock_it(&other);
    state_end();
}

/* ------------------------------------------------------------------ sudden ends */

/* Adds one after the other until it is killed. */
static pid_t
keep_adding(int *reports)
{
    int numbers[2];
    pid_t child;

    CHECK(pipe(numbers) == 0);
    child = fork();
    if (child == 0) {
        CHECK(revisions_open(state_folder));
        for (;;) {
            int64_t n = state_add((int) state_current() + 1);

            CHECK(n > 0 && write(numbers[1], &n, sizeof(n)) == sizeof(n));
        }
    }
    close(numbers[1]);
    *reports = numbers[0];
    return child;
}

/* What was reported as kept is there, and each is whole. */
static bool
all_are_there(int64_t reported)
{
    int64_t last = state_current();

    for (int64_t i = 1; i <= last; i++) {
        struct revision r;
        char want[64];

        snprintf(want, sizeof(want), "routes: %lld\n", (long long) i);
        if (!revisions_get(i, &r, &state_arena) || !slice_eq(r.text, slice_str(want)))
            return false;
    }
    return last >= reported;
}

TEST(killed_while_writing)
{
    int64_t n = 0, reported = 0;

    state_begin();
    for (int round = 0; round < 5; round++) {
        int reports, status;
        pid_t child = keep_adding(&reports);

        for (int i = 0; i < 10 + round && read(reports, &n, sizeof(n)) == sizeof(n); i++)
            reported = n;
        usleep(round * 777);
        kill(child, SIGKILL);
        EXPECT_EQ(waitpid(child, &status, 0), child);
        while (read(reports, &n, sizeof(n)) == sizeof(n))
            reported = n;
        close(reports);
        EXPECT(revisions_open(state_folder));
        EXPECT(!slice_is_present(revisions_fault()));
        EXPECT(all_are_there(reported));
        revisions_close();
    }
    EXPECT(reported >= 50);
    state_end();
}

TEST(a_log_that_was_cut_short)
{
    int64_t n = 0, left;
    int reports, status;
    struct stat st;
    pid_t child;

    state_begin();
    child = keep_adding(&reports);
    while (n < 20 && read(reports, &n, sizeof(n)) == sizeof(n))
        ;
    kill(child, SIGKILL);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    close(reports);
    EXPECT_EQ(stat(state_path("revisions.db-wal"), &st), 0);
    EXPECT_EQ(truncate(state_path("revisions.db-wal"), st.st_size / 2 + 100), 0);
    unlink(state_path("revisions.db-shm"));
    EXPECT(revisions_open(state_folder));
    left = state_current();
    EXPECT(left > 0 && left < 20);
    EXPECT(all_are_there(left));
    EXPECT_EQ(state_add((int) left + 1), left + 1);
    state_end();
}
