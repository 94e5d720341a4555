/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/database.c - a SQLite file, its troubles, and whose turn it is. */
#include "runtime/database.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ what is wrong */

void
database_note(struct database *d, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(d->found, sizeof(d->found), format, args);
    va_end(args);
}

/* SQLite's own sentences are for programmers; the frequent ones are said for operators. */
static void
note_code(struct database *d, int code)
{
    int system = d->handle ? sqlite3_system_errno(d->handle) : 0;
    const char *why = system ? strerror(system) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: database_note(d, "%s is locked by another process", d->path); break;
    case SQLITE_FULL: database_note(d, "%s cannot grow: the disk is full", d->path); break;
    case SQLITE_READONLY: database_note(d, "%s cannot be written: it is read-only", d->path); break;
    case SQLITE_CANTOPEN: database_note(d, "%s cannot be opened: %s", d->path, why); break;
    case SQLITE_IOERR: database_note(d, "%s cannot be read or written: %s", d->path, why); break;
    case SQLITE_NOMEM: database_note(d, "%s: out of memory", d->path); break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        d->damaged = true;
        database_note(d, "%s is damaged", d->path);
        break;
    default:
        database_note(d, "%s: %s", d->path,
                      d->handle ? sqlite3_errmsg(d->handle) : sqlite3_errstr(code));
    }
}

struct slice
database_fault(const struct database *d)
{
    const char *said = d->fault[0] ? d->fault : d->lost;

    return said[0] ? slice_str(said) : (struct slice){NULL, 0};
}

/* ------------------------------------------------------------------ statements */

sqlite3_stmt *
database_prepare(struct database *d, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->handle, sql, -1, &s, NULL);

    if (code != SQLITE_OK)
        note_code(d, code);
    return s;
}

void
database_bind(sqlite3_stmt *s, int at, struct slice text)
{
    sqlite3_bind_text64(s, at, text.n ? text.at : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

bool
database_row(struct database *d, sqlite3_stmt *s)
{
    int code = sqlite3_step(s);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        note_code(d, code);
    return code == SQLITE_ROW;
}

bool
database_finish(struct database *d, sqlite3_stmt *s)
{
    int code = SQLITE_ROW;

    if (!s)
        return false;
    while (code == SQLITE_ROW)
        code = sqlite3_step(s);
    if (code != SQLITE_DONE)
        note_code(d, code);
    sqlite3_finalize(s);
    return code == SQLITE_DONE;
}

bool
database_do(struct database *d, const char *sql)
{
    int code = sqlite3_exec(d->handle, sql, NULL, NULL, NULL);

    if (code != SQLITE_OK)
        note_code(d, code);
    return code == SQLITE_OK;
}

bool
database_begin(struct database *d)
{
    /* At once, not with the first change: then it is waited for what is locked. */
    return database_do(d, "BEGIN IMMEDIATE");
}

bool
database_end(struct database *d, bool good)
{
    if (good && database_do(d, "COMMIT"))
        return true;
    if (!sqlite3_get_autocommit(d->handle)) /* some errors have taken it back already */
        sqlite3_exec(d->handle, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

struct slice
database_text(sqlite3_stmt *s, int column, struct arena *arena)
{
    const void *at = sqlite3_column_blob(s, column);
    int n = sqlite3_column_bytes(s, column);

    return arena_copy(arena, slice_of(at ? at : "", n > 0 ? (size_t) n : 0));
}

static int64_t
ask_number(struct database *d, const char *sql)
{
    sqlite3_stmt *s = database_prepare(d, sql);
    int64_t n = s && database_row(d, s) ? sqlite3_column_int64(s, 0) : -1;

    sqlite3_finalize(s);
    return n;
}

/* ------------------------------------------------------------------ opening */

static void
let_go(struct database *d)
{
    sqlite3_close_v2(take(&d->handle));
    d->read_only = false;
}

/* SQLite would make it readable for everybody, and it keeps secrets.  One that exists is not opened
 * here: closing it again would drop the locks that this process has on it (POSIX). */
static bool
make_file(struct database *d, const char *folder)
{
    struct stat st;
    int fd;

    if (stat(d->path, &st) == 0) {
        if (st.st_mode & 077)
            (void) chmod(d->path, 0600);
        return true;
    }
    if (stat(folder, &st) != 0 && errno == ENOENT)
        (void) mkdir(folder, 0700);
    fd = open(d->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST) {
        database_note(d, "%s cannot be made: %s", d->path, strerror(errno));
        return false;
    }
    if (fd >= 0)
        close(fd);
    return true;
}

static bool
make_tables(struct database *d)
{
    char marks[100];

    snprintf(marks, sizeof(marks), "PRAGMA application_id = %d; PRAGMA user_version = %d",
             d->layout->application, d->layout->version);
    return database_do(d, d->layout->schema) && database_do(d, marks);
}

/* It is empty (*version is 0 then), or ours in a version that we know. */
static bool
is_ours(struct database *d, int64_t *version)
{
    int64_t tables = ask_number(d, "SELECT count(*) FROM sqlite_master");
    int64_t application = ask_number(d, "PRAGMA application_id");
    bool old;

    *version = tables == 0 ? 0 : ask_number(d, "PRAGMA user_version");
    if (d->found[0])
        return false;
    if (tables == 0)
        return true;
    if (application != d->layout->application) {
        database_note(d, "%s belongs to another program: move it away", d->path);
        return false;
    }
    old = d->layout->steps && !d->read_only && *version >= 1 && *version < d->layout->version;
    if (*version != d->layout->version && !old) {
        database_note(
            d, "%s was written by another version of maitred (its format is %lld, this one's %d)",
            d->path, (long long) *version, d->layout->version);
        return false;
    }
    return true;
}

/* Brings the tables to our version, unless another process has done so meanwhile. */
static bool
settle(struct database *d)
{
    char mark[60];
    int64_t version;

    if (!is_ours(d, &version))
        return false;
    if (version == 0)
        return make_tables(d);
    if (version == d->layout->version)
        return true;
    while (version < d->layout->version)
        if (!database_do(d, d->layout->steps[version++ - 1]))
            return false;
    snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", d->layout->version);
    return database_do(d, mark);
}

static bool
is_sound(struct database *d)
{
    sqlite3_stmt *s = database_prepare(d, "PRAGMA quick_check(1)");
    bool sound = s && database_row(d, s) &&
                 strcmp((const char *) sqlite3_column_text(s, 0), "ok") == 0;

    sqlite3_finalize(s);
    if (!sound && !d->found[0])
        note_code(d, SQLITE_CORRUPT);
    return sound;
}

static bool
prepare_writing(struct database *d)
{
    if (!database_do(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                        "PRAGMA journal_size_limit = 4194304") ||
        !database_begin(d))
        return false;
    return database_end(d, settle(d));
}

static bool
connect_to(struct database *d, const char *name, int flags)
{
    int code = sqlite3_open_v2(name, &d->handle, flags | SQLITE_OPEN_FULLMUTEX, NULL);
    struct stat st;
    int64_t version;

    if (code != SQLITE_OK) {
        note_code(d, code);
        return false;
    }
    if (stat(d->path, &st) == 0) {
        d->device = st.st_dev;
        d->inode = st.st_ino;
    }
    sqlite3_busy_timeout(d->handle, DATABASE_BUSY_MS);
    d->read_only = sqlite3_db_readonly(d->handle, "main") == 1;
    return is_sound(d) && is_ours(d, &version) && (d->read_only || prepare_writing(d));
}

/* In a folder that cannot be written WAL does not work.  When nothing waits in the log the file can
 * be read as it is: what was kept then still counts. */
static bool
connect_frozen(struct database *d)
{
    char name[3 * DATABASE_PATH_MAX + 32], wal[DATABASE_PATH_MAX + 8];
    struct text uri;
    struct stat st;

    snprintf(wal, sizeof(wal), "%s-wal", d->path);
    if (stat(wal, &st) == 0 && st.st_size > 0)
        return false;
    text_fixed(&uri, name, sizeof(name) - 1);
    text_literal(&uri, "file:");
    for (const char *c = d->path; *c; c++)
        if (*c == '%' || *c == '?' || *c == '#')
            text_printf(&uri, "%%%02X", (unsigned char) *c);
        else
            text_byte(&uri, *c);
    text_literal(&uri, "?immutable=1");
    name[uri.n] = '\0';
    d->found[0] = '\0';
    return connect_to(d, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}

static bool
connect_any(struct database *d)
{
    char folder[DATABASE_PATH_MAX];

    snprintf(folder, sizeof(folder), "%s", d->path);
    *strrchr(folder, '/') = '\0';
    if (!make_file(d, folder[0] ? folder : "/"))
        return false;
    if (connect_to(d, d->path, SQLITE_OPEN_READWRITE))
        return true;
    let_go(d);
    if (d->damaged || access(folder, W_OK) == 0 || access(d->path, R_OK) != 0)
        return false;
    if (connect_frozen(d))
        return true;
    let_go(d);
    return false;
}

/* ------------------------------------------------------------------ moving aside */

static void
move(const char *from, const char *suffix, const char *to)
{
    char old[DATABASE_PATH_MAX + 8], new[DATABASE_PATH_MAX + 72];

    snprintf(old, sizeof(old), "%s%s", from, suffix);
    snprintf(new, sizeof(new), "%s%s", to, suffix);
    (void) rename(old, new);
}

static bool
move_aside(struct database *d)
{
    char aside[DATABASE_PATH_MAX + 64], when[24];
    time_t now = (time_t) (clock_wall_us() / 1000000);
    struct tm tm;

    let_go(d);
    d->damaged = false;
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    snprintf(aside, sizeof(aside), "%s.corrupt-%s", d->path, when);
    for (int i = 1; access(aside, F_OK) == 0 && i < 100; i++)
        snprintf(aside, sizeof(aside), "%s.corrupt-%s.%d", d->path, when, i);
    if (rename(d->path, aside) != 0) {
        database_note(d, "%s is damaged, and cannot be moved aside: %s", d->path, strerror(errno));
        return false;
    }
    move(d->path, "-wal", aside);
    move(d->path, "-shm", aside);
    snprintf(d->moved, sizeof(d->moved), "%.150s was damaged: moved to %.190s, begun anew", d->path,
             aside);
    d->found[0] = '\0';
    return true;
}

/* Somebody has taken the file away, or put another one there. */
static bool
is_gone(const struct database *d)
{
    struct stat st;

    return stat(d->path, &st) != 0 || st.st_dev != d->device || st.st_ino != d->inode;
}

static bool
make_ready(struct database *d)
{
    if (d->handle && (d->read_only || is_gone(d)))
        let_go(d); /* it may be better by now */
    if (d->handle || connect_any(d))
        return true;
    return d->damaged && move_aside(d) && connect_any(d);
}

/* ------------------------------------------------------------------ work */

struct piece {
    struct database *database;
    void           (*work)(void *arg);
    void            *arg;
};

static void
run_piece(void *arg)
{
    struct piece *p = arg;
    struct database *d = p->database;

    d->found[0] = '\0';
    if (!make_ready(d))
        return;
    p->work(p->arg);
    if (d->damaged && move_aside(d) && connect_any(d))
        database_note(d, "%s was damaged, and is begun anew", d->path);
}

static bool
on_fiber(void)
{
    return loop_self() && fiber_self();
}

struct waiter {
    struct list   link;
    struct fiber *fiber;
    bool          next;
};

static void
wait_turn(struct database *d)
{
    struct waiter w = {.fiber = fiber_self()};

    if (!d->busy) {
        d->busy = true;
        return;
    }
    list_append(&d->waiting, &w.link);
    while (!w.next)
        fiber_suspend();
}

static void
give_turn(struct database *d)
{
    struct list *first = list_pop(&d->waiting);
    struct waiter *w;

    if (!first) {
        d->busy = false;
        return;
    }
    w = container_of(first, struct waiter, link);
    w->next = true;
    fiber_resume(w->fiber);
}

/* Said once, not with each piece of work that fails. */
static void
tell(struct database *d)
{
    if (d->moved[0]) {
        d->layout->say(true, d->moved);
        memcpy(d->lost, d->moved, sizeof(d->lost));
        d->moved[0] = '\0';
    }
    if (strcmp(d->found, d->fault) == 0)
        return;
    memcpy(d->fault, d->found, sizeof(d->fault));
    if (!d->fault[0])
        snprintf(d->found, sizeof(d->found), "%.300s is in order again", d->path);
    d->layout->say(d->fault[0] != '\0', d->found);
}

void
database_work(struct database *d, void (*work)(void *arg), void *arg)
{
    struct piece p = {d, work, arg};

    if (!d->path[0])
        return;
    if (!on_fiber()) {
        run_piece(&p);
        tell(d);
        return;
    }
    wait_turn(d);
    offload(run_piece, &p);
    tell(d);
    give_turn(d);
}

/* make_ready() has done it all. */
static void
only_open(void *arg)
{
    (void) arg;
}

bool
database_open(struct database *d, const char *folder, const char *name,
              const struct database_layout *layout)
{
    int n;

    memset(d, 0, sizeof(*d));
    list_init(&d->waiting);
    d->layout = layout;
    n = snprintf(d->path, sizeof(d->path) - 1, "%s/%s", folder, name);
    if (n < 0 || (size_t) n >= sizeof(d->path) - 1) {
        d->path[0] = '\0';
        snprintf(d->fault, sizeof(d->fault), "the path of the state directory is too long");
        layout->say(true, d->fault);
        return false;
    }
    database_work(d, only_open, NULL);
    return d->handle != NULL;
}

static void
close_piece(void *arg)
{
    let_go(((struct piece *) arg)->database);
}

void
database_close(struct database *d)
{
    struct piece p = {.database = d};

    CHECK(!d->busy);
    if (on_fiber())
        offload(close_piece, &p);
    else
        close_piece(&p);
    memset(d, 0, sizeof(*d));
    list_init(&d->waiting);
}
