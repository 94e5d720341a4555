/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_pieces.c - large responses in pieces (option `slice`).
 *
 * The origin is asked for the first piece, and its 206 tells length and version of the whole; that
 * piece is kept with the head.  The others are objects of their own, asked for when somebody reads
 * as far, one ahead, and shared by all who read there, as whole responses are.
 *
 * A piece belongs to one generation, a number drawn when the head was fetched, which is in the
 * piece's key: when the head goes (purged, evicted, replaced) its pieces are found no more, and
 * none of another version ever comes among them.  Each is asked for under the strong validator of
 * the head (If-Range) and kept only when it says that it has the same; when the origin has another
 * version, the head goes.  Who has not yet been sent a head then begins anew; who has, is cut off.
 */
#include "base/check.h"
#include "base/clock.h"
#include "exchange/child.h"
#include "http/range.h"
#include "middleware/cache/caching.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum { TRIES = 2 }; /* of one reader, for one piece */

/* ------------------------------------------------------------------ the first one */

static struct slice
range_text(struct arena *arena, struct range r)
{
    return arena_printf(arena, "bytes=%llu-%llu", (unsigned long long) r.offset,
                        (unsigned long long) (r.offset + r.length - 1));
}

bool
cache_pieces_ask(struct visit *v)
{
    struct exchange *x = v->x;
    struct slice range = range_text(&x->arena, (struct range){0, v->piece_bytes});

    return slice_is_present(range) && fields_set(&x->request.fields, FIELD_RANGE, range);
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* They describe the part. */
static void
drop_fields_of_part(struct fields *f)
{
    fields_remove(f, FIELD_CONTENT_RANGE);
    fields_remove(f, FIELD_CONTENT_LENGTH);
    fields_remove_named(f, SLICE("Content-Digest"));
    fields_remove_named(f, SLICE("Content-MD5"));
}

bool
cache_pieces_take(struct visit *v)
{
    struct response *r = &v->x->response;
    uint64_t piece = v->piece_bytes;
    struct range_content c;
    struct cache_version version;

    if (!range_content_parse(fields_value(&r->fields, FIELD_CONTENT_RANGE), &c) ||
        !c.has_length || c.range.offset || c.range.length != smaller(piece, c.length) || !r->body)
        return false;
    if (r->body->length != BODY_LENGTH_UNKNOWN && (uint64_t) r->body->length != c.range.length)
        return false;
    if (c.length > piece && (c.length > INT64_MAX || !cache_version_of(&r->fields, &version)))
        return false;
    drop_fields_of_part(&r->fields);
    r->status = 200;
    r->reason = (struct slice){NULL, 0};
    r->body->length = (int64_t) c.range.length;
    v->cut = c.length > piece ? (struct cache_cut){c.length, piece, random_u64()}
                              : (struct cache_cut){0};
    return true;
}

/* ------------------------------------------------------------------ one reader */

/* The head of a piece, as its store has it. */
struct piece_head {
    uint64_t offset, total;
};

struct cache_pieces {
    struct exchange         *x;
    const struct caching    *c;
    const struct middleware *self;
    struct store_key         primary, key; /* of the response */
    struct store_object     *first;        /* lent */
    struct cache_cut         cut;
    struct cache_version     version;
    struct slice             uri;
    uint64_t                 end;          /* of what will be read */
    uint64_t                 number;       /* of the piece that is being read */
    struct store_object     *at;           /* that piece, held; NULL: none */
    struct store_object     *ahead;        /* the one behind it, likewise */
};

static struct range
range_of(const struct cache_pieces *p, uint64_t number)
{
    uint64_t offset = number * p->cut.piece_bytes;

    return (struct range){offset, smaller(p->cut.piece_bytes, p->cut.total - offset)};
}

static void
leave(struct store_object **o)
{
    if (*o)
        store_leave(take(o));
}

struct cache_pieces *
cache_pieces(const struct visit *v, struct store_object *first, const struct cache_cut *cut)
{
    struct cache_pieces *p = arena_new(&v->x->arena, struct cache_pieces);

    if (!p || !cache_version_of(&v->x->response.fields, &p->version))
        return NULL;
    p->x = v->x;
    p->c = v->c;
    p->self = v->self;
    p->primary = v->primary;
    p->key = v->key;
    p->first = first;
    p->cut = *cut;
    p->uri = cache_find_uri(v);
    p->version.value = arena_copy(&v->x->arena, p->version.value);
    return slice_is_present(p->uri) && slice_is_present(p->version.value) ? p : NULL;
}

void
cache_pieces_end(struct cache_pieces *p)
{
    leave(&p->at);
    leave(&p->ahead);
}

/* ------------------------------------------------------------------ fetching one */

/* Ends by itself: the reader it was begun for may be gone by then. */
struct piece_fetch {
    const struct caching    *c;
    const struct middleware *self;
    struct exchange         *child;
    struct store_object     *object, *first; /* held */
    struct cache_version     version;        /* in the child's arena */
    struct range             range;
    uint64_t                 total, tags[2];
    struct slice             uri;            /* likewise */
};

enum verdict {
    VERDICT_PIECE,
    VERDICT_OTHER, /* the origin has another version by now, or none */
    VERDICT_FAILED,
};

static bool
is_that_range(const struct piece_fetch *f)
{
    const struct response *r = &f->child->response;
    struct range_content c;

    return range_content_parse(fields_value(&r->fields, FIELD_CONTENT_RANGE), &c) &&
           c.has_length && c.length == f->total && c.range.offset == f->range.offset &&
           c.range.length == f->range.length && r->body &&
           (r->body->length == BODY_LENGTH_UNKNOWN ||
            (uint64_t) r->body->length == f->range.length);
}

static enum verdict
judge(const struct piece_fetch *f)
{
    const struct response *r = &f->child->response;

    switch (r->status) {
    case 200:
    case 206:
        if (!cache_version_is(&f->version, &r->fields))
            return VERDICT_OTHER;
        return r->status == 206 && is_that_range(f) ? VERDICT_PIECE : VERDICT_FAILED;
    case 404:
    case 410:
    case 416:
        return VERDICT_OTHER;
    default:
        return VERDICT_FAILED;
    }
}

static void
keep(struct piece_fetch *f)
{
    struct piece_head head = {f->range.offset, f->total};
    struct store_facts facts = {
        .length = (int64_t) f->range.length, .tags = f->tags, .tags_n = 2, .path = f->uri};
    struct slice bytes = slice_of((const char *) &head, sizeof(head));

    if (store_publish(f->object, bytes, &facts) != OK)
        return;
    caching_counts(f->c)->pieces++;
    cache_fill_here(take(&f->child->response.body), f->object);
}

static void
fetch(void *arg)
{
    struct piece_fetch *f = arg;

    exchange_child_run_behind(f->child, f->self);
    switch (judge(f)) {
    case VERDICT_PIECE:
        keep(f);
        break;
    case VERDICT_OTHER:
        store_remove(f->first);
        store_decline(f->object);
        break;
    case VERDICT_FAILED:
        store_break(f->object);
        break;
    }
    store_leave(f->object);
    store_leave(f->first);
    exchange_child_end(f->child);
    free(f);
}

static bool
prepare(struct piece_fetch *f, const struct cache_pieces *p)
{
    struct exchange *child = f->child;

    f->version = (struct cache_version){p->version.id,
                                        arena_copy(&child->arena, p->version.value)};
    f->uri = arena_copy(&child->arena, p->uri);
    return slice_is_present(f->version.value) && slice_is_present(f->uri) &&
           cache_version_ask(&f->version, child, range_text(&child->arena, f->range));
}

/* Fills the object, in which it takes a reference; false: no memory. */
static bool
fetch_start(const struct cache_pieces *p, uint64_t number, struct store_object *o)
{
    struct piece_fetch *f = calloc(1, sizeof(*f));

    if (!f)
        return false;
    *f = (struct piece_fetch){.c = p->c,
                              .self = p->self,
                              .child = exchange_child(p->x, &p->c->keeper),
                              .object = o,
                              .first = p->first,
                              .range = range_of(p, number),
                              .total = p->cut.total,
                              .tags = {cache_purge_variants(p->primary),
                                       cache_purge_uri(p->uri)}};
    store_hold(f->object);
    store_hold(f->first);
    if (f->child && prepare(f, p) && cache_behind("cache piece", fetch, f))
        return true;
    store_leave(f->object);
    store_leave(f->first);
    if (f->child)
        exchange_child_end(f->child);
    free(f);
    return false;
}

/* ------------------------------------------------------------------ finding one */

/* That is there, or on its way; NULL: no memory for it. */
static struct store_object *
find(const struct cache_pieces *p, uint64_t number)
{
    uint64_t which[2] = {p->cut.generation, number};
    struct store_key key = store_key_with(p->c->store, p->key, which, sizeof(which));
    struct store_object *o = NULL;

    if (store_ask(p->c->store, key, true, &o) == STORE_MISS && !fetch_start(p, number, o)) {
        store_break(o);
        leave(&o);
    }
    return o;
}

static bool
is_piece(const struct cache_pieces *p, uint64_t number, const struct store_object *o)
{
    struct piece_head expected = {range_of(p, number).offset, p->cut.total};

    return slice_eq(store_head(o), slice_of((const char *) &expected, sizeof(expected))) &&
           store_length(o) == (int64_t) range_of(p, number).length;
}

static void
look_ahead(struct cache_pieces *p)
{
    uint64_t next = p->number + 1;

    leave(&p->ahead);
    if (next * p->cut.piece_bytes < p->end)
        p->ahead = find(p, next);
}

/* p->at is that piece, and its head is there. */
static enum err
turn_to(struct cache_pieces *p, uint64_t number)
{
    bool is_next = p->ahead && number == p->number + 1;
    struct store_object *o = is_next ? take(&p->ahead) : NULL;
    enum err e;

    leave(&p->at);
    if (number == 0) {
        o = p->first;
        store_hold(o);
    } else if (!o) {
        o = find(p, number);
    }
    p->number = number;
    if (!o)
        return ERR_RESET;
    look_ahead(p);
    e = store_wait_head(o, loop_now_us() + p->x->timeouts->response_us);
    if (e == OK && (number == 0 || is_piece(p, number, o))) {
        p->at = o;
        return OK;
    }
    store_leave(o);
    return e == OK ? ERR_RESET : e;
}

static bool
is_at(const struct cache_pieces *p, uint64_t number)
{
    return p->at && p->number == number;
}

/* The head of the response is not the one that is found any more. */
static bool
is_outdated(const struct cache_pieces *p)
{
    struct store_object *o = NULL;
    bool is;

    (void) store_ask(p->c->store, p->key, false, &o);
    is = o != p->first;
    leave(&o);
    return is;
}

/* ------------------------------------------------------------------ reading */

enum err
cache_pieces_open(struct cache_pieces *p, uint64_t offset, uint64_t end)
{
    uint64_t number = offset / p->cut.piece_bytes;
    enum err e = OK;

    p->end = end;
    for (unsigned try = 0; try < TRIES && !is_at(p, number); try++) {
        e = turn_to(p, number);
        /* Refused for want of memory, too. */
        if (e == ERR_REFUSED && !is_outdated(p))
            return ERR_RESET;
        if (e != OK && e != ERR_RESET)
            return e;
    }
    return e;
}

enum err
cache_pieces_next(struct cache_pieces *p, uint64_t offset, struct slice *chunk)
{
    uint64_t number = offset / p->cut.piece_bytes;
    enum err e = ERR_RESET;

    for (unsigned try = 0; try < TRIES; try++) {
        e = is_at(p, number) ? OK : turn_to(p, number);
        if (e == OK)
            e = store_read(p->at, offset - number * p->cut.piece_bytes,
                           loop_now_us() + p->x->timeouts->response_us, chunk);
        /* One that broke off is fetched again, for all who read it. */
        if (e != ERR_RESET || number == 0)
            break;
        leave(&p->at);
    }
    return e == ERR_END || e == ERR_REFUSED ? ERR_RESET : e;
}

bool
cache_pieces_ready(const struct cache_pieces *p, uint64_t offset)
{
    return is_at(p, offset / p->cut.piece_bytes) && store_is_complete(p->at);
}
