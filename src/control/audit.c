/* SPDX-License-Identifier: Apache-2.0 */
/* control/audit.c - who changed what, through the API: the newest AUDIT_KEPT of it. */
#include "base/clock.h"
#include "control/revisions.h"
#include "control/state.h"

enum { AUDIT_KEPT = 10000, AUDIT_TEXT_MAX = 1024 };

struct adding {
    const struct audit_entry *entry;
    bool                      good;
};

static bool
insert(const struct audit_entry *e)
{
    const struct slice texts[] = {e->who, e->from, e->action, e->target, e->outcome};
    struct database *d = &state_database;
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000);
    sqlite3_stmt *s = database_prepare(
        d, "INSERT INTO audit(at, who, source, action, target, outcome)"
           " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");

    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, e->at_s ? e->at_s : now_s);
    for (int i = 0; i < (int) (sizeof(texts) / sizeof(texts[0])); i++)
        database_bind(s, 2 + i, slice_first(texts[i], AUDIT_TEXT_MAX));
    return database_finish(d, s);
}

static bool
drop_old(void)
{
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "DELETE FROM audit WHERE number <= ?1");

    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, sqlite3_last_insert_rowid(d->handle) - AUDIT_KEPT);
    return database_finish(d, s);
}

static void
add(void *arg)
{
    struct adding *a = arg;

    if (database_begin(&state_database))
        a->good = database_end(&state_database, insert(a->entry) && drop_old());
}

bool
audit_add(const struct audit_entry *e)
{
    struct adding a = {e, false};

    database_work(&state_database, add, &a);
    return a.good;
}

struct listing {
    int64_t             before;
    size_t              most, n;
    struct arena       *arena;
    struct audit_entry *list;
};

static bool
take_row(sqlite3_stmt *s, struct arena *arena, struct audit_entry *out)
{
    *out = (struct audit_entry){
        .number = sqlite3_column_int64(s, 0),
        .at_s = sqlite3_column_int64(s, 1),
        .who = database_text(s, 2, arena),
        .from = database_text(s, 3, arena),
        .action = database_text(s, 4, arena),
        .target = database_text(s, 5, arena),
        .outcome = database_text(s, 6, arena),
    };
    return out->who.at && out->from.at && out->action.at && out->target.at && out->outcome.at;
}

static void
list(void *arg)
{
    struct listing *l = arg;
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "SELECT number, at, who, source, action, target, outcome"
                                          " FROM audit WHERE ?1 = 0 OR number < ?1"
                                          " ORDER BY number DESC LIMIT ?2");

    if (!s)
        return;
    sqlite3_bind_int64(s, 1, l->before);
    sqlite3_bind_int64(s, 2, (int64_t) l->most);
    while (l->n < l->most && database_row(d, s) && take_row(s, l->arena, &l->list[l->n]))
        l->n++;
    sqlite3_finalize(s);
}

struct audit_entry *
audit_list(int64_t before, size_t most, struct arena *arena, size_t *n)
{
    struct listing l = {.before = before, .arena = arena};

    l.most = most < STATE_LIST_MAX ? most : STATE_LIST_MAX;
    l.list = arena_calloc(arena, l.most + 1, sizeof(*l.list));
    if (l.list)
        database_work(&state_database, list, &l);
    *n = l.n;
    return l.list;
}
