/* SPDX-License-Identifier: Apache-2.0 */
/* control/revisions.c - every configuration that was served. */
#include "control/revisions.h"

#include "base/check.h"
#include "base/clock.h"
#include "control/state.h"
#include "observe/log.h"

#include <stdio.h>

const char *const revision_causes[] = {
    [REVISION_START] = "start",
    [REVISION_RELOAD] = "reload",
    [REVISION_CHANGE] = "change",
    [REVISION_ROLLBACK] = "rollback",
    NULL,
};

enum { WORDS_MAX = 4096 }; /* bytes of who and comment */

static void
say(bool wrong, const char *sentence)
{
    if (wrong)
        log_error("%s", sentence);
    else
        log_info("%s", sentence);
}

static const char *const steps[] = {
    "ALTER TABLE revision ADD COLUMN source TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX revision_source ON revision(source, number)",
    "ALTER TABLE body ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
};

static const struct database_layout layout = {
    .application = 0x6d747264, /* "mtrd" */
    .version = 3,
    .steps = steps,
    .schema = "CREATE TABLE body(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL,"
              " bytes INTEGER NOT NULL DEFAULT 0, text BLOB NOT NULL);"
              "CREATE INDEX body_digest ON body(digest);"
              "CREATE TABLE revision(number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
              " cause INTEGER NOT NULL, who TEXT NOT NULL, comment TEXT NOT NULL,"
              " patch INTEGER NOT NULL REFERENCES body(id),"
              " text INTEGER NOT NULL REFERENCES body(id),"
              " origin INTEGER NOT NULL, hash INTEGER NOT NULL,"
              " source TEXT NOT NULL DEFAULT '');"
              "CREATE INDEX revision_source ON revision(source, number);"
              "CREATE TABLE audit(number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
              " who TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL,"
              " target TEXT NOT NULL, outcome TEXT NOT NULL);",
    .say = say,
};

struct database state_database;
/* Why the last revision could not be kept: smaller things may find room where it did not. */
static char unkept[DATABASE_FAULT_MAX + 40];

/* ------------------------------------------------------------------ life */

bool
revisions_open(const char *folder)
{
    revisions_close();
    unkept[0] = '\0';
    return folder && database_open(&state_database, folder, "revisions.db", &layout);
}

void
revisions_close(void)
{
    if (state_database.path[0])
        database_close(&state_database);
}

struct slice
revisions_fault(void)
{
    struct slice fault = database_fault(&state_database);

    if (!state_database.fault[0] && unkept[0])
        return slice_str(unkept);
    if (!slice_is_present(fault) && !state_database.path[0])
        fault = SLICE("there is no state directory: changes are forgotten when the process ends "
                      "(set `admin: {state: ...}`)");
    return fault;
}

/* Something that says what is there already. */
static void
try_to_write(void *arg)
{
    struct database *d = &state_database;

    *(bool *) arg = database_begin(d) && database_end(d, database_do(d, "PRAGMA application_id = "
                                                                        "0x6d747264"));
}

bool
revisions_usable(void)
{
    bool good = state_database.path[0] && !state_database.fault[0];

    if (!good) /* it may be better by now */
        database_work(&state_database, try_to_write, &good);
    return good;
}

/* ------------------------------------------------------------------ adding */

static bool
insert(const struct revision *r, int64_t patch, int64_t text)
{
    struct database *d = &state_database;
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000);
    sqlite3_stmt *s = database_prepare(
        d, "INSERT INTO revision(number, at, cause, who, comment, patch, text, origin, hash,"
           " source) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");

    if (!s)
        return false;
    if (r->number)
        sqlite3_bind_int64(s, 1, r->number);
    sqlite3_bind_int64(s, 2, r->at_s ? r->at_s : now_s);
    sqlite3_bind_int(s, 3, r->cause);
    database_bind(s, 4, slice_first(r->who, WORDS_MAX));
    database_bind(s, 5, slice_first(r->comment, WORDS_MAX));
    sqlite3_bind_int64(s, 6, patch);
    sqlite3_bind_int64(s, 7, text);
    sqlite3_bind_int64(s, 8, (int64_t) r->origin);
    sqlite3_bind_int64(s, 9, (int64_t) r->hash);
    database_bind(s, 10, slice_first(r->source, WORDS_MAX));
    return database_finish(d, s);
}

struct adding {
    const struct revision *revision;
    int64_t                number;
};

static void
add(void *arg)
{
    struct adding *a = arg;
    const struct revision *r = a->revision;
    int64_t patch, text, number;

    if (!database_begin(&state_database))
        return;
    patch = state_keep_text(r->patch);
    text = patch ? state_keep_text(r->text) : 0;
    number = text && insert(r, patch, text) ? sqlite3_last_insert_rowid(state_database.handle) : 0;
    if (database_end(&state_database, number != 0))
        a->number = number;
}

int64_t
revisions_add(const struct revision *r)
{
    struct adding a = {r, 0};

    CHECK(r->cause >= 0 && r->cause <= REVISION_ROLLBACK);
    database_work(&state_database, add, &a);
    unkept[0] = '\0';
    if (!a.number && state_database.path[0])
        snprintf(unkept, sizeof(unkept), "the last change could not be kept: %s",
                 state_database.fault);
    return a.number;
}

/* ------------------------------------------------------------------ reading */

/* The columns before the texts. */
#define COLUMNS "number, at, cause, who, comment, origin, hash, source"

static bool
take_row(sqlite3_stmt *s, struct arena *arena, struct revision *out)
{
    *out = (struct revision){
        .number = sqlite3_column_int64(s, 0),
        .at_s = sqlite3_column_int64(s, 1),
        .cause = sqlite3_column_int(s, 2),
        .who = database_text(s, 3, arena),
        .comment = database_text(s, 4, arena),
        .origin = (uint64_t) sqlite3_column_int64(s, 5),
        .hash = (uint64_t) sqlite3_column_int64(s, 6),
        .source = database_text(s, 7, arena),
    };
    if (out->cause < 0 || out->cause > REVISION_ROLLBACK)
        out->cause = REVISION_CHANGE;
    return out->who.at && out->comment.at && out->source.at;
}

struct getting {
    int64_t          number; /* 0: the newest of the source */
    struct slice     source;
    struct revision *out;
    struct arena    *arena;
    bool             found;
};

static void
get(void *arg)
{
    struct getting *g = arg;
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(
        d, "SELECT " COLUMNS ", patch, text"
           " FROM revision WHERE CASE ?1 WHEN 0 THEN source = ?2 ELSE number = ?1 END"
           " ORDER BY number DESC LIMIT 1");

    if (!s)
        return;
    sqlite3_bind_int64(s, 1, g->number);
    database_bind(s, 2, g->source);
    if (database_row(d, s))
        g->found = take_row(s, g->arena, g->out) &&
                   state_read_text(sqlite3_column_int64(s, 8), g->arena, &g->out->patch) &&
                   state_read_text(sqlite3_column_int64(s, 9), g->arena, &g->out->text);
    sqlite3_finalize(s);
}

bool
revisions_current(struct slice source, struct revision *out, struct arena *arena)
{
    struct getting g = {.source = source, .out = out, .arena = arena};

    database_work(&state_database, get, &g);
    return g.found;
}

bool
revisions_get(int64_t number, struct revision *out, struct arena *arena)
{
    struct getting g = {.number = number, .out = out, .arena = arena};

    if (number > 0)
        database_work(&state_database, get, &g);
    return g.found;
}

struct listing {
    struct slice     source;
    int64_t          before;
    size_t           most, n;
    struct arena    *arena;
    struct revision *list;
};

static void
list(void *arg)
{
    struct listing *l = arg;
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "SELECT " COLUMNS " FROM revision"
                                          " WHERE source = ?3 AND (?1 = 0 OR number < ?1)"
                                          " ORDER BY number DESC LIMIT ?2");

    if (!s)
        return;
    sqlite3_bind_int64(s, 1, l->before);
    sqlite3_bind_int64(s, 2, (int64_t) l->most);
    database_bind(s, 3, l->source);
    while (l->n < l->most && database_row(d, s) && take_row(s, l->arena, &l->list[l->n]))
        l->n++;
    sqlite3_finalize(s);
}

struct revision *
revisions_list(struct slice source, int64_t before, size_t most, struct arena *arena, size_t *n)
{
    struct listing l = {.source = source, .before = before, .arena = arena};

    l.most = most < STATE_LIST_MAX ? most : STATE_LIST_MAX;
    l.list = arena_calloc(arena, l.most + 1, sizeof(*l.list));
    if (l.list)
        database_work(&state_database, list, &l);
    *n = l.n;
    return l.list;
}

/* ------------------------------------------------------------------ forgetting */

struct trimming {
    struct slice source;
    int64_t      keep;
};

static void
trim(void *arg)
{
    const struct trimming *t = arg;
    struct database *d = &state_database;
    sqlite3_stmt *s;
    bool good;

    if (!database_begin(d))
        return;
    s = database_prepare(d, "DELETE FROM revision WHERE source = ?2 AND number <="
                            " (SELECT number FROM revision WHERE source = ?2"
                            " ORDER BY number DESC LIMIT 1 OFFSET ?1)");
    if (s) {
        sqlite3_bind_int64(s, 1, t->keep);
        database_bind(s, 2, t->source);
    }
    good = database_finish(d, s);
    if (good && sqlite3_changes(d->handle) > 0)
        good = database_do(d, "DELETE FROM body WHERE id NOT IN"
                              " (SELECT patch FROM revision UNION SELECT text FROM revision)");
    (void) database_end(d, good);
}

void
revisions_trim(struct slice source, size_t keep)
{
    struct trimming t = {source, keep > 0 ? (int64_t) keep : 1}; /* the one in force stays */

    database_work(&state_database, trim, &t);
}
