/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/history_file.h - the database itself: opened, lost, moved aside, found again.
 *
 * Private to history.c, under its lock.  There is always a database: where the file cannot be had,
 * one in memory stands in, and its rows move into the file when that can be had again.
 */
#ifndef ANALYTICS_HISTORY_FILE_H
#define ANALYTICS_HISTORY_FILE_H

#include "base/slice.h"

#include <limits.h>
#include <sqlite3.h>

struct history_file {
    sqlite3 *db;
    char     path[PATH_MAX]; /* empty: in memory, as wanted */
    bool     in_memory;
    size_t   memory;         /* bound of a database in memory */
    char     fault[200];     /* a sentence; empty: nothing is wrong */
};

/* folder NULL: in memory.  False: out of memory. */
bool history_file_open(struct history_file *f, const char *folder, size_t memory);
void history_file_close(struct history_file *f);
/* When a database in memory stands in: tries the file again. */
void history_file_retry(struct history_file *f);

/* Codes are primary ones; SQLITE_OK. */
int history_file_prepare(struct history_file *f, const char *statement, sqlite3_stmt **s);
/* Steps to the end and finalises. */
int history_file_run(sqlite3_stmt *s);
/* Both, without parameters; how many rows changed, -1: it failed. */
int history_file_exec(struct history_file *f, const char *statement);
/* For reading: NULL after history_file_failed(); history_file_end() finalises. */
sqlite3_stmt *history_file_query(struct history_file *f, const char *statement);
void history_file_end(struct history_file *f, sqlite3_stmt *s);

/* Notes and logs the fault; what is broken is moved aside.  True: there is another database now,
 * and it is worth trying again. */
bool history_file_failed(struct history_file *f, const char *what, int code);
void history_file_succeeded(struct history_file *f);

size_t history_file_memory(struct history_file *f);

#endif
