/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/database.h - a SQLite file, and what may happen to it.
 *
 * The file is in WAL mode and has mode 0600, as its folder has 0700 when it
 * is made here.  One that is damaged is moved aside (NAME.corrupt-TIME) and begun anew; one that is
 * locked is waited for, DATABASE_BUSY_MS; one that is full, read-only or somebody else's is left
 * alone.  All of that is told by database_fault() and the owner's say(), and tried again with the
 * next piece of work.
 *
 * Threads  a database belongs to one thread.  On fibers of a loop, work runs on the threads of
 *          offload(), one piece at a time, while its fiber waits; on a thread without a loop it
 *          runs at once.
 */
#ifndef RUNTIME_DATABASE_H
#define RUNTIME_DATABASE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/slice.h"

#include <sqlite3.h>
#include <sys/types.h>

enum { DATABASE_BUSY_MS = 2000, DATABASE_PATH_MAX = 1024, DATABASE_FAULT_MAX = 400 };

/* What makes a new file ours, so that nothing else is taken for it. */
struct database_layout {
    int         application; /* PRAGMA application_id */
    int         version;     /* of the schema: PRAGMA user_version */
    const char *schema;      /* statements that make the tables */
    /* The n-th makes version n + 2 of version n + 1; NULL: there is only one version. */
    const char *const *steps;
    /* For the log: what is wrong, once; and that it is in order again.  The owner's thread. */
    void      (*say)(bool wrong, const char *sentence);
};

struct database {
    sqlite3                      *handle; /* NULL: could not be opened, or not yet */
    const struct database_layout *layout;
    char        path[DATABASE_PATH_MAX]; /* empty: there is none */
    bool        read_only;
    dev_t       device;    /* which file it is: somebody may take it away */
    ino_t       inode;
    /* Found out by the work under way, on its thread: */
    bool damaged;
    char found[DATABASE_FAULT_MAX]; /* what is wrong */
    char moved[DATABASE_FAULT_MAX]; /* a file was moved aside */
    /* On the owner's thread: */
    char        fault[DATABASE_FAULT_MAX]; /* of the last piece of work */
    char        lost[DATABASE_FAULT_MAX];  /* what was moved aside: told until the end */
    bool        busy;
    struct list waiting; /* fibers whose work comes next */
};

/* False: what is wrong is told by database_fault(); later work tries again.  Waits. */
bool database_open(struct database *d, const char *folder, const char *name,
                   const struct database_layout *layout);
/* Nothing else may be under way. */
void database_close(struct database *d);
/* work(arg) with the file open; when that cannot be had it is not called.  Waits. */
void database_work(struct database *d, void (*work)(void *arg), void *arg);
/* One sentence; absent: nothing is wrong. */
struct slice database_fault(const struct database *d);

/* ------------------------------------------------------------------ within work */

/* What is wrong, one sentence. */
void database_note(struct database *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* NULL after noting the fault. */
sqlite3_stmt *database_prepare(struct database *d, const char *sql);
void database_bind(sqlite3_stmt *s, int at, struct slice text);
/* True: there is a row. False: there is none (any more), or a fault was noted. */
bool database_row(struct database *d, sqlite3_stmt *s);
/* Runs it to its end and lets go of it.  False after noting the fault. */
bool database_finish(struct database *d, sqlite3_stmt *s);
bool database_do(struct database *d, const char *sql);
/* All statements between the two, or none of them.  good: false takes them back. */
bool database_begin(struct database *d);
bool database_end(struct database *d, bool good);
/* A column as text; in the arena.  at is NULL when out of memory. */
struct slice database_text(sqlite3_stmt *s, int column, struct arena *arena);

#endif
