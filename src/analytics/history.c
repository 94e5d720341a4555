/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/history.c - a table in SQLite, and what to do when there is trouble with it. */
#include "analytics/history.h"

#include "analytics/history_file.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 86400,
    GRACE_S = 90, /* until an hour is merged: others may still write their last minute of it */
    SHED_ROUNDS = 16,
    PATIENCE_S = 3,
};

const struct history_grain history_grains[HISTORY_KINDS] = {
    [HISTORY_MINUTE] = {MINUTE_S, 150 * MINUTE_S, 26 * HOUR_S},
    [HISTORY_HOUR] = {HOUR_S, 50 * HOUR_S, 0},
    [HISTORY_DAY] = {DAY_S, 0, 0},
};

/* What could not be written yet. */
struct waiting {
    struct list        link;
    struct history_row row;
    size_t             tally_n, lists_n;
    char               bytes[];
};

struct history {
    pthread_mutex_t     lock;
    struct history_file file;
    struct list         queue; /* of struct waiting, the oldest first */
    size_t              queued, queued_bytes, lost, memory;
    uint64_t            damaged;
};

/* Whoever only asks does not wait for a disk that hangs. */
static bool
lock_soon(struct history *h)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return pthread_mutex_timedlock(&h->lock, &until) == 0;
}

/* ------------------------------------------------------------------ statements */

static void
bind_row(sqlite3_stmt *s, const struct history_row *row)
{
    sqlite3_bind_int(s, 1, (int) row->kind);
    sqlite3_bind_int64(s, 2, row->start_s);
    sqlite3_bind_int64(s, 3, row->part);
}

static int
insert(struct history *h, const struct history_row *row, struct slice tally, struct slice lists)
{
    sqlite3_stmt *s;
    int code = history_file_prepare(
        &h->file, "INSERT OR REPLACE INTO period (kind, start, part, tally, lists) "
                  "VALUES (?1, ?2, ?3, ?4, ?5)", &s);

    if (code != SQLITE_OK)
        return code;
    bind_row(s, row);
    sqlite3_bind_blob64(s, 4, tally.at, tally.n, SQLITE_STATIC);
    if (slice_is_present(lists))
        sqlite3_bind_blob64(s, 5, lists.at, lists.n, SQLITE_STATIC);
    return history_file_run(s);
}

/* A full database gives up lists of the shortest and oldest, then whole rows. */
static bool
shed(struct history *h)
{
    return history_file_exec(&h->file,
                             "UPDATE period SET lists = NULL WHERE rowid IN (SELECT rowid FROM "
                             "period WHERE lists IS NOT NULL ORDER BY kind, start LIMIT 8)") > 0 ||
           history_file_exec(&h->file,
                             "DELETE FROM period WHERE rowid IN (SELECT rowid FROM period "
                             "ORDER BY kind, start LIMIT 32)") > 0;
}

/* True when it was written. */
static bool
write_row(struct history *h, const struct history_row *row, struct slice tally, struct slice lists)
{
    int code = insert(h, row, tally, lists);

    for (unsigned i = 0; code == SQLITE_FULL && i < SHED_ROUNDS && shed(h); i++)
        code = insert(h, row, tally, lists);
    if (code == SQLITE_OK) {
        history_file_succeeded(&h->file);
        return true;
    }
    /* A database that is broken is another one by now. */
    return history_file_failed(&h->file, "written", code) &&
           insert(h, row, tally, lists) == SQLITE_OK;
}

/* ------------------------------------------------------------------ what waits */

static void
drop_oldest(struct history *h)
{
    struct waiting *w = list_entry(list_pop(&h->queue), struct waiting, link);

    h->queued--;
    h->queued_bytes -= w->tally_n + w->lists_n;
    free(w);
}

static void
keep_for_later(struct history *h, const struct history_row *row, struct slice tally,
               struct slice lists)
{
    size_t bytes = tally.n + lists.n;
    struct waiting *w = bytes <= h->memory ? malloc(sizeof(*w) + bytes) : NULL;

    if (!w) {
        h->lost++;
        return;
    }
    while (h->queued_bytes + bytes > h->memory) {
        drop_oldest(h);
        h->lost++;
    }
    w->row = *row;
    w->tally_n = tally.n;
    w->lists_n = lists.n;
    memcpy(w->bytes, tally.at, tally.n);
    if (lists.n)
        memcpy(w->bytes + tally.n, lists.at, lists.n);
    list_append(&h->queue, &w->link);
    h->queued++;
    h->queued_bytes += bytes;
}

/* False when there is still trouble. */
static bool
write_queue(struct history *h)
{
    while (!list_is_empty(&h->queue)) {
        struct waiting *w = list_entry(h->queue.next, struct waiting, link);

        if (!write_row(h, &w->row, slice_of(w->bytes, w->tally_n),
                       slice_of(w->bytes + w->tally_n, w->lists_n)))
            return false;
        drop_oldest(h);
    }
    return true;
}

void
history_write(struct history *h, struct history_row row, struct slice tally, struct slice lists)
{
    pthread_mutex_lock(&h->lock);
    if (!write_queue(h) || !write_row(h, &row, tally, lists))
        keep_for_later(h, &row, tally, lists);
    pthread_mutex_unlock(&h->lock);
}

/* ------------------------------------------------------------------ reading */

static int
compare_rows(const void *a, const void *b)
{
    const struct history_row *one = a, *two = b;

    if (one->start_s != two->start_s)
        return one->start_s < two->start_s ? -1 : 1;
    if (one->kind != two->kind)
        return one->kind > two->kind ? -1 : 1;
    return one->part < two->part ? -1 : one->part > two->part;
}

/* Rows that wait count as if they were written. */
static size_t
add_waiting(struct history *h, int64_t from_s, int64_t to_s, struct history_row *out, size_t n,
            size_t room)
{
    size_t before = n;

    list_each (link, &h->queue) {
        const struct history_row *row = &list_entry(link, struct waiting, link)->row;

        if (n < room && row->start_s >= from_s && row->start_s < to_s)
            out[n++] = *row;
    }
    if (n > before)
        qsort(out, n, sizeof(*out), compare_rows);
    return n;
}

static bool
read_waiting(struct history *h, const struct history_row *row, struct text *tally,
             struct text *lists)
{
    list_each (link, &h->queue) {
        const struct waiting *w = list_entry(link, struct waiting, link);

        if (compare_rows(&w->row, row) != 0)
            continue;
        text_put(tally, slice_of(w->bytes, w->tally_n));
        if (lists)
            text_put(lists, slice_of(w->bytes + w->tally_n, w->lists_n));
        return true;
    }
    return false;
}

size_t
history_rows(struct history *h, int64_t from_s, int64_t to_s, bool with_lists,
             struct history_row *out, size_t room)
{
    sqlite3_stmt *s;
    size_t n = 0;

    if (!lock_soon(h))
        return 0;
    s = history_file_query(&h->file,
                             "SELECT kind, start, part FROM period WHERE start >= ?1 AND "
                             "start < ?2 AND (lists IS NOT NULL OR ?3 = 0) AND kind BETWEEN 0 AND "
                             "2 ORDER BY start, kind DESC");
    if (s) {
        sqlite3_bind_int64(s, 1, from_s);
        sqlite3_bind_int64(s, 2, to_s);
        sqlite3_bind_int(s, 3, with_lists);
        while (n < room && sqlite3_step(s) == SQLITE_ROW)
            out[n++] = (struct history_row){(enum history_kind) sqlite3_column_int(s, 0),
                                            sqlite3_column_int64(s, 1),
                                            sqlite3_column_int64(s, 2)};
        history_file_end(&h->file, s);
    }
    n = add_waiting(h, from_s, to_s, out, n, room);
    pthread_mutex_unlock(&h->lock);
    return n;
}

static void
take_blob(sqlite3_stmt *s, int column, struct text *out)
{
    const char *at = out ? sqlite3_column_blob(s, column) : NULL;
    int n = at ? sqlite3_column_bytes(s, column) : 0;

    if (n > 0)
        text_put(out, slice_of(at, (size_t) n));
}

static bool
read_written(struct history *h, const struct history_row *row, struct text *tally,
             struct text *lists)
{
    sqlite3_stmt *s = history_file_query(&h->file, "SELECT tally, lists FROM period WHERE kind = "
                                                   "?1 AND start = ?2 AND part = ?3");
    bool found;

    if (!s)
        return false;
    bind_row(s, row);
    found = sqlite3_step(s) == SQLITE_ROW;
    if (found) {
        take_blob(s, 0, tally);
        take_blob(s, 1, lists);
    }
    history_file_end(&h->file, s);
    return found;
}

bool
history_read(struct history *h, struct history_row row, struct text *tally, struct text *lists)
{
    bool found;

    if (!lock_soon(h))
        return false;
    found = read_waiting(h, &row, tally, lists) || read_written(h, &row, tally, lists);
    pthread_mutex_unlock(&h->lock);
    return found && !tally->full && !(lists && lists->full);
}

size_t
history_unmerged(struct history *h, enum history_kind kind, int64_t now_s, int64_t *out,
                 size_t room)
{
    const int64_t length_s = history_grains[kind].length_s;
    sqlite3_stmt *s;
    size_t n = 0;

    pthread_mutex_lock(&h->lock);
    s = history_file_query(
        &h->file, "SELECT DISTINCT start - start % ?2 AS whole FROM period AS p "
                  "WHERE kind = ?1 - 1 AND lists IS NOT NULL AND whole + ?2 <= ?3 AND NOT EXISTS "
                  "(SELECT 1 FROM period WHERE kind = ?1 AND start = p.start - p.start % ?2) "
                  "ORDER BY whole");
    if (s) {
        sqlite3_bind_int(s, 1, (int) kind);
        sqlite3_bind_int64(s, 2, length_s);
        sqlite3_bind_int64(s, 3, now_s - GRACE_S);
        while (n < room && sqlite3_step(s) == SQLITE_ROW)
            out[n++] = sqlite3_column_int64(s, 0);
        history_file_end(&h->file, s);
    }
    pthread_mutex_unlock(&h->lock);
    return n;
}

/* ------------------------------------------------------------------ tending */

static int
forget(struct history *h, const char *statement, unsigned kind, int64_t before_s)
{
    sqlite3_stmt *s;
    int code = history_file_prepare(&h->file, statement, &s);

    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_int(s, 1, (int) kind);
    sqlite3_bind_int64(s, 2, before_s);
    return history_file_run(s);
}

static int
forget_old(struct history *h, int64_t now_s, int64_t keep_s)
{
    int code = SQLITE_OK;

    for (unsigned kind = 0; kind < HISTORY_KINDS && code == SQLITE_OK; kind++) {
        const struct history_grain *g = &history_grains[kind];
        int64_t lists_s = g->lists_s ? g->lists_s : keep_s;
        int64_t tally_s = g->tally_s ? g->tally_s : keep_s;

        code = forget(h,
                      "UPDATE period SET lists = NULL WHERE kind = ?1 AND start < ?2 AND lists IS "
                      "NOT NULL",
                      kind, now_s - lists_s - g->length_s);
        if (code == SQLITE_OK)
            code = forget(h, "DELETE FROM period WHERE kind = ?1 AND start < ?2", kind,
                          now_s - tally_s - g->length_s);
    }
    return code;
}

void
history_tend(struct history *h, int64_t now_s, int64_t keep_s)
{
    int code;

    pthread_mutex_lock(&h->lock);
    history_file_retry(&h->file);
    if (write_queue(h)) {
        code = forget_old(h, now_s, keep_s);
        if (code == SQLITE_OK)
            history_file_succeeded(&h->file);
        else
            (void) history_file_failed(&h->file, "written", code);
    }
    pthread_mutex_unlock(&h->lock);
}

/* ------------------------------------------------------------------ opening, telling */

struct history *
history_open(const char *folder, size_t memory)
{
    struct history *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    list_init(&h->queue);
    h->memory = memory / 4; /* the rest is a database in memory, when it has to be */
    pthread_mutex_init(&h->lock, NULL);
    if (history_file_open(&h->file, folder, memory / 2))
        return h;
    pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

void
history_close(struct history *h)
{
    if (!h)
        return;
    (void) write_queue(h);
    while (!list_is_empty(&h->queue))
        drop_oldest(h);
    history_file_close(&h->file);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void
history_damaged(struct history *h)
{
    pthread_mutex_lock(&h->lock);
    h->damaged++;
    pthread_mutex_unlock(&h->lock);
}

bool
history_fault(struct history *h, char why[200])
{
    bool wrong = true;

    if (!lock_soon(h)) {
        snprintf(why, 200, "analytics: the disk does not answer");
        return true;
    }
    if (h->file.fault[0])
        snprintf(why, 200, "%.150s; %zu stretches of time wait, %zu are lost", h->file.fault,
                 h->queued, h->lost);
    else if (h->damaged)
        snprintf(why, 200, "%llu stretches of time on disk are damaged",
                 (unsigned long long) h->damaged);
    else
        wrong = false;
    pthread_mutex_unlock(&h->lock);
    return wrong;
}

size_t
history_memory(struct history *h)
{
    size_t bytes;

    if (!lock_soon(h))
        return 0;
    bytes = sizeof(*h) + h->queued_bytes + history_file_memory(&h->file);
    pthread_mutex_unlock(&h->lock);
    return bytes;
}
