/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/history.h - minutes, hours and days on disk, in SQLite.
 *
 * One table: kind, start, part, tally, lists (blob.h).  A stretch of time may have several parts,
 * which are added when read: two processes write at once during an upgrade, and a clock may go
 * back; nobody ever has to change a row.
 *
 * Trouble  serving never waits for this.  Where the file cannot be opened, what is known stays in
 *          memory, within bounds, and the file is tried again each minute.  What cannot be written
 *          (locked, disk full, read-only) waits in a queue, within bounds,
 *           and can be asked for.  A file that is no
 *          database is moved aside.  What is wrong can be asked for (history_fault) and stands in
 *          the log once.
 * Threads  any; a lock inside, which is held for one statement at a time.  All calls may block.
 */
#ifndef ANALYTICS_HISTORY_H
#define ANALYTICS_HISTORY_H

#include "base/text.h"

enum history_kind { HISTORY_MINUTE, HISTORY_HOUR, HISTORY_DAY, HISTORY_KINDS };

/* How long each is, and how long what of it is kept; all in seconds. */
struct history_grain {
    int64_t length_s;
    int64_t lists_s; /* 0: as long as is configured */
    int64_t tally_s; /* likewise */
};

extern const struct history_grain history_grains[HISTORY_KINDS];

struct history_row {
    enum history_kind kind;
    int64_t           start_s, part;
};

struct history;

/* folder NULL: in memory.  memory: bound of what may wait, and of a database in memory.  Never
 * fails for the sake of a disk; NULL: out of memory. */
struct history *history_open(const char *folder, size_t memory);
void history_close(struct history *h); /* NULL is allowed */

/* Now, or later. */
void history_write(struct history *h, struct history_row row, struct slice tally,
                   struct slice lists);
/* Rows that lie in [from_s, to_s), by their start, the longer one first; with_lists: only those
 * that still have them.  At most `room`; how many. */
size_t history_rows(struct history *h, int64_t from_s, int64_t to_s, bool with_lists,
                    struct history_row *out, size_t room);
/* lists may be NULL.  False: it is gone, or cannot be read. */
bool history_read(struct history *h, struct history_row row, struct text *tally,
                  struct text *lists);
/* The starts of `kind` that were over at now_s (with a grace), of which there are shorter rows but
 * none of their own; how many. */
size_t history_unmerged(struct history *h, enum history_kind kind, int64_t now_s, int64_t *out,
                        size_t room);
/* Once a minute: forgets what is old, writes what waits, tries a file again. */
void history_tend(struct history *h, int64_t now_s, int64_t keep_s);

/* Once: a blob that makes no sense. */
void history_damaged(struct history *h);
/* False: nothing is wrong. */
bool history_fault(struct history *h, char why[200]);
/* Of the queue and of SQLite's own cache and database, where they are in memory. */
size_t history_memory(struct history *h);

#endif
