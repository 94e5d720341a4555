/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/state_texts.c - the texts of revisions, each kept once, and small.
 *
 * A thousand reloads of the same file make a thousand revisions of one text, and a configuration of
 * ten thousand routes shrinks to a fifteenth.  zlib's checksum also finds what SQLite would not
 * notice: pages that are well-formed but not what was written.
 */
#include "base/map.h"
#include "control/state.h"

#include <stdlib.h>
#include <zlib.h>

enum { FAST = 1 };

/* bytes 0: kept as it is. */
struct packed {
    struct slice content;
    uint64_t     bytes;
    void        *memory;
};

static struct packed
pack(struct slice text)
{
    struct packed p = {.content = text};
    uLongf n = compressBound(text.n);

    p.memory = text.n ? malloc(n) : NULL;
    if (p.memory && compress2(p.memory, &n, (const Bytef *) text.at, text.n, FAST) == Z_OK &&
        n < text.n) {
        p.content = slice_of(p.memory, n);
        p.bytes = text.n;
    }
    return p;
}

static int64_t
find(const struct packed *p, int64_t digest)
{
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "SELECT id FROM body"
                                          " WHERE digest = ?1 AND bytes = ?2 AND text = ?3");
    int64_t id = 0;

    if (!s)
        return 0;
    sqlite3_bind_int64(s, 1, digest);
    sqlite3_bind_int64(s, 2, (int64_t) p->bytes);
    database_bind(s, 3, p->content);
    if (database_row(d, s))
        id = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return id;
}

static int64_t
insert(const struct packed *p, int64_t digest)
{
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "INSERT INTO body(digest, bytes, text)"
                                          " VALUES(?1, ?2, ?3)");

    if (!s)
        return 0;
    sqlite3_bind_int64(s, 1, digest);
    sqlite3_bind_int64(s, 2, (int64_t) p->bytes);
    database_bind(s, 3, p->content);
    return database_finish(d, s) ? sqlite3_last_insert_rowid(d->handle) : 0;
}

int64_t
state_keep_text(struct slice text)
{
    int64_t digest = (int64_t) hash_stable(text), id;
    struct packed p = pack(text);

    id = find(&p, digest);
    if (!id && !state_database.found[0])
        id = insert(&p, digest);
    free(p.memory);
    return id;
}

/* The row's text as it was before it was packed. */
static bool
unpack(sqlite3_stmt *s, struct arena *arena, struct slice *out)
{
    uint64_t bytes = (uint64_t) sqlite3_column_int64(s, 0);
    uLongf n = bytes;
    char *text;

    if (!bytes) {
        *out = database_text(s, 1, arena);
        return out->at != NULL;
    }
    text = bytes < STATE_TEXT_MAX ? arena_alloc(arena, bytes + 1) : NULL;
    if (!text || uncompress((Bytef *) text, &n, sqlite3_column_blob(s, 1),
                            (uLong) sqlite3_column_bytes(s, 1)) != Z_OK ||
        n != bytes)
        return false;
    text[n] = '\0';
    *out = slice_of(text, n);
    return true;
}

bool
state_read_text(int64_t id, struct arena *arena, struct slice *out)
{
    struct database *d = &state_database;
    sqlite3_stmt *s = database_prepare(d, "SELECT bytes, text FROM body WHERE id = ?1");
    bool good;

    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, id);
    good = database_row(d, s) && unpack(s, arena, out);
    sqlite3_finalize(s);
    if (!good && !d->found[0])
        database_note(d, "a revision in %s cannot be read: it is damaged", d->path);
    return good;
}
