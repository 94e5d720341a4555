/* SPDX-License-Identifier: Apache-2.0 */
#include "analytics/history.h"

#include "base/clock.h"
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, KEEP_S = 35 * 86400 };

static char folder[64], path[80];
static struct history_row rows[512];

static void
enter(void)
{
    snprintf(folder, sizeof(folder), "/tmp/maitred-history-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof(path), "%s/analytics.db", folder);
}

/* What tests leave there. */
static void
leave(void)
{
    char command[100];
    pid_t pid = fork();

    if (pid == 0) {
        snprintf(command, sizeof(command), "%s", folder);
        execlp("rm", "rm", "-rf", command, (char *) NULL);
        _exit(1);
    }
    (void) waitpid(pid, NULL, 0);
}

static void
write_row(struct history *h, enum history_kind kind, int64_t start_s, int64_t part,
          const char *tally)
{
    history_write(h, (struct history_row){kind, start_s, part}, slice_str(tally),
                  SLICE("lists"));
}

static bool
reads(struct history *h, struct history_row row, const char *tally, const char *lists)
{
    struct text a, b;
    bool good;

    text_init(&a, 4096);
    text_init(&b, 4096);
    good = history_read(h, row, &a, &b) && slice_eq(text_slice(&a), slice_str(tally)) &&
           slice_eq(text_slice(&b), slice_str(lists));
    text_free(&a);
    text_free(&b);
    return good;
}

static bool
is_well(struct history *h)
{
    char why[200];

    return !history_fault(h, why);
}

TEST(rows_come_back_after_it_was_closed)
{
    struct history *h;
    struct stat st;

    enter();
    h = history_open(folder, 4 * MIB);
    EXPECT(h && is_well(h));
    write_row(h, HISTORY_MINUTE, 3600, 1, "a");
    write_row(h, HISTORY_MINUTE, 3600, 2, "b");
    write_row(h, HISTORY_HOUR, 3600, 0, "c");
    write_row(h, HISTORY_MINUTE, 3660, 0, "d");
    history_close(h);
    EXPECT_EQ(stat(path, &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    h = history_open(folder, 4 * MIB);
    EXPECT(h && is_well(h));
    EXPECT_EQ(history_rows(h, 0, 3660, true, rows, 512), 3);
    EXPECT_EQ(rows[0].kind, HISTORY_HOUR); /* the longer first */
    EXPECT_EQ(history_rows(h, 3600, 3720, true, rows, 512), 4);
    EXPECT_EQ(history_rows(h, 3601, 3720, true, rows, 512), 1);
    EXPECT(reads(h, rows[0], "d", "lists"));
    EXPECT(!reads(h, (struct history_row){HISTORY_DAY, 3600, 0}, "", ""));
    history_close(h);
    leave();
}

TEST(two_may_write_at_once)
{
    struct history *one, *two;

    enter();
    one = history_open(folder, 4 * MIB);
    two = history_open(folder, 4 * MIB);
    EXPECT(one && two);
    for (int64_t i = 0; i < 20; i++) {
        write_row(one, HISTORY_MINUTE, 60 * i, 1, "1");
        write_row(two, HISTORY_MINUTE, 60 * i, 2, "2");
    }
    EXPECT(is_well(one) && is_well(two));
    EXPECT_EQ(history_rows(one, 0, 1200, true, rows, 512), 40);
    history_close(one);
    history_close(two);
    leave();
}

TEST(what_is_over_waits_for_being_merged)
{
    struct history *h = history_open(NULL, 4 * MIB);
    int64_t starts[8];

    EXPECT(h != NULL);
    write_row(h, HISTORY_MINUTE, 7200, 0, "x");
    write_row(h, HISTORY_MINUTE, 7260, 0, "x");
    write_row(h, HISTORY_MINUTE, 10800, 0, "x");
    EXPECT_EQ(history_unmerged(h, HISTORY_HOUR, 10800, starts, 8), 0); /* others may still write */
    EXPECT_EQ(history_unmerged(h, HISTORY_HOUR, 10890, starts, 8), 1);
    EXPECT_EQ(starts[0], 7200);
    EXPECT_EQ(history_unmerged(h, HISTORY_HOUR, 90000, starts, 8), 2);
    EXPECT_EQ(history_unmerged(h, HISTORY_HOUR, 90000, starts, 1), 1);
    write_row(h, HISTORY_HOUR, 7200, 0, "x");
    EXPECT_EQ(history_unmerged(h, HISTORY_HOUR, 90000, starts, 8), 1);
    EXPECT_EQ(starts[0], 10800);
    EXPECT_EQ(history_unmerged(h, HISTORY_DAY, 90000, starts, 8), 1);
    EXPECT_EQ(starts[0], 0);
    history_close(h);
}

TEST(what_is_old_is_forgotten)
{
    struct history *h = history_open(NULL, 4 * MIB);
    const int64_t now_s = 400 * 86400;

    EXPECT(h != NULL);
    write_row(h, HISTORY_MINUTE, now_s - 60, 0, "new");
    write_row(h, HISTORY_MINUTE, now_s - 3 * 3600, 0, "without lists");
    write_row(h, HISTORY_MINUTE, now_s - 28 * 3600, 0, "gone");
    write_row(h, HISTORY_HOUR, now_s - 3 * 86400, 0, "without lists");
    write_row(h, HISTORY_HOUR, now_s - 40 * 86400, 0, "gone");
    write_row(h, HISTORY_DAY, now_s - 30 * 86400, 0, "old");
    write_row(h, HISTORY_DAY, now_s - 40 * 86400, 0, "gone");
    history_tend(h, now_s, KEEP_S);
    EXPECT_EQ(history_rows(h, 0, now_s, false, rows, 512), 4);
    EXPECT_EQ(history_rows(h, 0, now_s, true, rows, 512), 2);
    EXPECT(reads(h, rows[0], "old", "lists"));
    EXPECT(reads(h, rows[1], "new", "lists"));
    history_close(h);
}

/* ------------------------------------------------------------------ trouble */

TEST(a_file_that_is_no_database_is_moved_aside)
{
    char content[4096], aside[140];
    struct history *h;
    int fd;

    enter();
    memset(content, 'x', sizeof(content));
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    EXPECT_EQ(write(fd, content, sizeof(content)), sizeof(content));
    close(fd);
    clock_freeze(1000000, UINT64_C(1700000000) * 1000000);
    h = history_open(folder, 4 * MIB);
    clock_freeze(0, 0);
    EXPECT(h && is_well(h));
    write_row(h, HISTORY_MINUTE, 60, 0, "x");
    EXPECT_EQ(history_rows(h, 0, 120, true, rows, 512), 1);
    snprintf(aside, sizeof(aside), "%s.broken-1700000000", path);
    EXPECT_EQ(access(aside, R_OK), 0);
    history_close(h);
    leave();
}

/* The pages in the middle are overwritten while it is open. */
TEST(a_database_that_breaks_is_replaced)
{
    char content[4096];
    struct history *h;
    int fd;

    enter();
    h = history_open(folder, 4 * MIB);
    for (int64_t i = 0; i < 400; i++)
        write_row(h, HISTORY_MINUTE, 60 * i, 0, "some bytes, so that there are pages");
    history_close(h);
    memset(content, 0x5A, sizeof(content));
    fd = open(path, O_WRONLY);
    for (off_t at = 4096; at < 10 * 4096; at += 4096)
        EXPECT_EQ(pwrite(fd, content, sizeof(content), at), sizeof(content));
    close(fd);
    h = history_open(folder, 4 * MIB);
    EXPECT(h != NULL);
    (void) history_rows(h, 0, 60000, true, rows, 512);
    write_row(h, HISTORY_MINUTE, 60, 7, "x");
    EXPECT_EQ(history_rows(h, 0, 60000, true, rows, 512), 1);
    EXPECT(is_well(h));
    history_close(h);
    leave();
}

/* Holds the write lock of the database. */
static sqlite3 *
lock_it(void)
{
    sqlite3 *db;

    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        abort();
    return db;
}

TEST(what_cannot_be_written_waits)
{
    struct history *h;
    sqlite3 *db;
    char why[200];

    enter();
    h = history_open(folder, 4 * MIB);
    EXPECT(h != NULL);
    db = lock_it();
    write_row(h, HISTORY_MINUTE, 60, 0, "one");
    write_row(h, HISTORY_MINUTE, 120, 0, "two");
    EXPECT(history_fault(h, why));
    EXPECT(strstr(why, "locked") && strstr(why, "2 stretches"));
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 2); /* known nevertheless */
    EXPECT_EQ(history_rows(h, 61, 300, true, rows, 512), 1);
    EXPECT(reads(h, rows[0], "two", "lists"));
    sqlite3_close(db);
    history_tend(h, 300, KEEP_S);
    EXPECT(is_well(h));
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 2);
    EXPECT(reads(h, rows[0], "one", "lists"));
    history_close(h);
    leave();
}

TEST(what_waits_is_bounded)
{
    struct history *h;
    struct text big;
    sqlite3 *db;
    char why[200];

    enter();
    h = history_open(folder, 4 * MIB);
    db = lock_it();
    text_init(&big, MIB);
    while (big.n < 300 * 1024)
        text_byte(&big, 'x');
    for (int64_t i = 0; i < 5; i++)
        history_write(h, (struct history_row){HISTORY_MINUTE, i * 60, 0}, text_slice(&big),
                      SLICE("l"));
    EXPECT(history_fault(h, why));
    EXPECT(strstr(why, "3 stretches of time wait, 2 are lost"));
    EXPECT(history_memory(h) < 3 * MIB);
    sqlite3_close(db);
    history_tend(h, 300, KEEP_S);
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 3);
    EXPECT_EQ(rows[0].start_s, 120);
    text_free(&big);
    history_close(h);
    leave();
}

TEST(without_a_folder_it_is_in_memory_until_there_is_one)
{
    struct history *h;
    char why[200], away[80];

    enter();
    snprintf(away, sizeof(away), "%s.away", folder);
    EXPECT_EQ(rename(folder, away), 0);
    h = history_open(folder, 4 * MIB);
    EXPECT(h && history_fault(h, why) && strstr(why, strerror(ENOENT)));
    write_row(h, HISTORY_MINUTE, 60, 0, "one");
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 1);
    history_tend(h, 120, KEEP_S);
    EXPECT(!is_well(h));
    EXPECT_EQ(rename(away, folder), 0);
    history_tend(h, 180, KEEP_S);
    EXPECT(is_well(h));
    history_close(h);
    h = history_open(folder, 4 * MIB);
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 1);
    EXPECT(reads(h, rows[0], "one", "lists"));
    history_close(h);
    leave();
}

TEST(in_memory_it_gives_up_the_oldest)
{
    struct history *h = history_open(NULL, 2 * MIB);
    struct text big;
    size_t n;

    EXPECT(h != NULL);
    text_init(&big, MIB);
    while (big.n < 20 * 1024)
        text_byte(&big, 'x');
    for (int64_t i = 0; i < 400; i++)
        history_write(h, (struct history_row){HISTORY_MINUTE, i * 60, 0}, SLICE("tally"),
                      text_slice(&big));
    EXPECT(is_well(h));
    EXPECT(history_memory(h) < 2 * MIB);
    EXPECT_EQ(history_rows(h, 0, 24000, false, rows, 512), 400);
    n = history_rows(h, 0, 24000, true, rows, 512);
    EXPECT(n > 20 && n < 100);
    EXPECT_EQ(rows[n - 1].start_s, 399 * 60);
    text_free(&big);
    history_close(h);
}

TEST(a_later_format_is_left_alone)
{
    struct history *h;
    sqlite3 *db;
    char why[200];

    enter();
    EXPECT_EQ(sqlite3_open(path, &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    h = history_open(folder, 4 * MIB);
    EXPECT(h && history_fault(h, why) && strstr(why, "later version"));
    write_row(h, HISTORY_MINUTE, 60, 0, "x");
    EXPECT_EQ(history_rows(h, 0, 300, true, rows, 512), 1);
    history_close(h);
    leave();
}
