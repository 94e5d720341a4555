/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/history_file.c - the only file that opens analytics.db. */
#include "analytics/history_file.h"

#include "base/clock.h"
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    BUSY_MS = 250,       /* how long somebody else's lock is waited for */
    FORMAT = 1,          /* user_version */
    PAGE_BYTES = 4096,
    FILE_PAGES = 131072, /* 512 MiB */
};

/* WAL: readers (sqlite3 on the command line, a backup) do not lock us out.  NORMAL: a power cut may
 * take the last minutes, never the database. */
static const char setup[] = "PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = NORMAL;"
                            "PRAGMA cache_size = -1024;"
                            "PRAGMA temp_store = MEMORY;"
                            "PRAGMA journal_size_limit = 4194304;";

static const char schema[] = "CREATE TABLE IF NOT EXISTS period ("
                             "kind INTEGER NOT NULL, start INTEGER NOT NULL, part INTEGER NOT "
                             "NULL, tally BLOB NOT NULL, lists BLOB, UNIQUE (kind, start, part));"
                             "CREATE INDEX IF NOT EXISTS period_start ON period (start);"
                             "PRAGMA user_version = 1;";

static bool
is_broken(int code)
{
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static void
tell(struct history_file *f, const char *what, const char *why)
{
    bool known = f->fault[0] != 0;

    snprintf(f->fault, sizeof(f->fault), "analytics: %.80s cannot be %s: %.80s", f->path, what,
             why);
    if (!known)
        log_error("%s; what is counted waits in memory", f->fault);
}

void
history_file_succeeded(struct history_file *f)
{
    if (f->in_memory || !f->fault[0])
        return;
    f->fault[0] = 0;
    log_info("analytics: %s is written again", f->path);
}

/* ------------------------------------------------------------------ opening */

static int
read_format(sqlite3 *db, int *format)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL);

    if (code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        *format = sqlite3_column_int(s, 0);
    return sqlite3_finalize(s);
}

/* pages: its bound. */
static int
prepare_database(sqlite3 *db, size_t pages)
{
    char bound[64];
    int format = 0, code;

    sqlite3_busy_timeout(db, BUSY_MS);
    snprintf(bound, sizeof(bound), "PRAGMA max_page_count = %zu", pages);
    code = read_format(db, &format);
    if (code == SQLITE_OK && format > FORMAT)
        return SQLITE_MISMATCH;
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, setup, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, bound, NULL, NULL, NULL);
    if (code == SQLITE_OK && format < FORMAT)
        code = sqlite3_exec(db, schema, NULL, NULL, NULL);
    return code & 0xFF;
}

static int
open_database(const char *path, size_t pages, sqlite3 **db)
{
    int code = sqlite3_open_v2(path, db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               NULL);

    if (code == SQLITE_OK)
        code = prepare_database(*db, pages);
    if (code != SQLITE_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return code & 0xFF;
}

/* Addresses of clients are nobody else's business: made with mode 0600, which SQLite gives to its
 * other files too.  0 or an errno. */
static int
make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

/* The file, its log and its index become PATH.broken-SECONDS and so on. */
static void
move_aside(struct history_file *f)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    unsigned long long now_s = clock_wall_us() / 1000000;
    char from[PATH_MAX + 8], to[PATH_MAX + 48];

    log_error("analytics: %s is broken; it is now %s.broken-%llu, and a new one begins", f->path,
              f->path, now_s);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        snprintf(from, sizeof(from), "%s%s", f->path, parts[i]);
        snprintf(to, sizeof(to), "%s.broken-%llu%s", f->path, now_s, parts[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            log_error("analytics: cannot rename %s: %s", from, strerror(errno));
    }
}

static bool
open_file(struct history_file *f, sqlite3 **db)
{
    int error = make_file(f->path), code;

    if (error) {
        tell(f, "opened", strerror(error));
        return false;
    }
    code = open_database(f->path, FILE_PAGES, db);
    if (is_broken(code)) {
        move_aside(f);
        error = make_file(f->path);
        code = open_database(f->path, FILE_PAGES, db);
    }
    if (code == SQLITE_OK)
        return true;
    tell(f, "opened",
         code == SQLITE_MISMATCH ? "a later version of maitred made it" : sqlite3_errstr(code));
    return false;
}

static bool
stand_in(struct history_file *f)
{
    f->in_memory = true;
    return open_database(":memory:", f->memory / PAGE_BYTES, &f->db) == SQLITE_OK;
}

bool
history_file_open(struct history_file *f, const char *folder, size_t memory)
{
    *f = (struct history_file){.memory = memory};
    if (!folder)
        return stand_in(f);
    if ((size_t) snprintf(f->path, sizeof(f->path), "%s/analytics.db", folder) >=
        sizeof(f->path) - 48) {
        log_error("analytics: the name of the folder is too long: %s", folder);
        f->path[0] = 0;
        return stand_in(f);
    }
    return open_file(f, &f->db) || stand_in(f);
}

void
history_file_close(struct history_file *f)
{
    sqlite3_close(f->db);
    f->db = NULL;
}

/* ------------------------------------------------------------------ trouble, and its end */

static bool
copy_row(sqlite3_stmt *from, sqlite3_stmt *to)
{
    for (int i = 0; i < sqlite3_column_count(from); i++)
        sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
    return sqlite3_step(to) == SQLITE_DONE && sqlite3_reset(to) == SQLITE_OK;
}

static bool
copy_rows(sqlite3 *from, sqlite3 *to)
{
    sqlite3_stmt *read = NULL, *write = NULL;
    bool good = sqlite3_prepare_v2(from, "SELECT kind, start, part, tally, lists FROM period", -1,
                                   &read, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(to,
                                   "INSERT OR IGNORE INTO period (kind, start, part, tally, lists)"
                                   " VALUES (?1, ?2, ?3, ?4, ?5)",
                                   -1, &write, NULL) == SQLITE_OK;

    while (good && sqlite3_step(read) == SQLITE_ROW)
        good = copy_row(read, write);
    sqlite3_finalize(read);
    sqlite3_finalize(write);
    return good;
}

void
history_file_retry(struct history_file *f)
{
    sqlite3 *db = NULL;

    if (!f->in_memory || !f->path[0] || !open_file(f, &db))
        return;
    if (!copy_rows(f->db, db)) {
        tell(f, "written", sqlite3_errmsg(db));
        sqlite3_close(db);
        return;
    }
    sqlite3_close(f->db);
    f->db = db;
    f->in_memory = false;
    history_file_succeeded(f);
}

bool
history_file_failed(struct history_file *f, const char *what, int code)
{
    tell(f, what, sqlite3_errstr(code));
    if (!is_broken(code) || f->in_memory)
        return false;
    sqlite3_close(f->db);
    f->db = NULL;
    move_aside(f);
    if (open_file(f, &f->db)) {
        f->fault[0] = 0;
        return true;
    }
    return stand_in(f);
}

/* ------------------------------------------------------------------ statements */

int
history_file_prepare(struct history_file *f, const char *statement, sqlite3_stmt **s)
{
    *s = NULL;
    return f->db ? sqlite3_prepare_v2(f->db, statement, -1, s, NULL) & 0xFF : SQLITE_NOMEM;
}

int
history_file_run(sqlite3_stmt *s)
{
    while (sqlite3_step(s) == SQLITE_ROW)
        ;
    return sqlite3_finalize(s) & 0xFF;
}

sqlite3_stmt *
history_file_query(struct history_file *f, const char *statement)
{
    sqlite3_stmt *s;
    int code = history_file_prepare(f, statement, &s);

    if (code != SQLITE_OK)
        (void) history_file_failed(f, "read", code);
    return s;
}

int
history_file_exec(struct history_file *f, const char *statement)
{
    if (!f->db || sqlite3_exec(f->db, statement, NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    return sqlite3_changes(f->db);
}

void
history_file_end(struct history_file *f, sqlite3_stmt *s)
{
    int code = sqlite3_finalize(s) & 0xFF;

    if (is_broken(code))
        (void) history_file_failed(f, "read", code);
}

size_t
history_file_memory(struct history_file *f)
{
    int now = 0, most = 0;

    if (f->db)
        sqlite3_db_status(f->db, SQLITE_DBSTATUS_CACHE_USED, &now, &most, 0);
    return (size_t) now;
}
