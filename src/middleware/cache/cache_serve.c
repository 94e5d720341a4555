/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_serve.c - an answer from the store, complete or while it is still
 * arriving.
 */
#include "base/check.h"
#include "base/text.h"
#include "exchange/answer.h"
#include "exchange/trace.h"
#include "http/date.h"
#include "middleware/cache/caching.h"
#include "runtime/loop.h"

enum { FIELDS_MAX = 256, STATUS_MAX = 1024 };

#define WHOLE UINT64_MAX /* of unknown length */

/* ------------------------------------------------------------------ bytes of an object */

/* Lies in the exchange's arena; one at a time is open. */
struct shelf {
    struct representation representation;
    struct exchange      *x;
    struct store_object  *object;
    struct cache_filling *filling;
    struct cache_rest    *rest;
    struct cache_pieces  *pieces;   /* NULL: the object has it all */
    const struct caching *c;
    const struct middleware *self;
    struct body           body;
    uint64_t              at, left;
    uint64_t              first_bytes; /* of the piece in the object, if there are pieces */
    bool                  released; /* no more bodies will be opened */
    bool                  open;
    bool                  outdated; /* the origin has another version of it by now */
};

static void
end(struct shelf *s)
{
    if (!s->released || s->open)
        return;
    if (s->filling)
        cache_filling_end(s->filling);
    if (s->pieces)
        cache_pieces_end(s->pieces);
    store_leave(s->object);
}

/* The store has no more of it: whoever fetches it has the rest, others fetch it for themselves. */
static enum err
next_elsewhere(struct shelf *s, struct slice *chunk)
{
    bool is_filling = s->filling && (!s->pieces || s->at < s->first_bytes);

    if (is_filling)
        return cache_filling_next(s->filling, s->at, chunk);
    if (!s->rest)
        s->rest = cache_rest(s->x, s->c, s->self, s->at, s->object, !s->pieces);
    return s->rest ? cache_rest_next(s->rest, chunk) : ERR_RESET;
}

static enum err
next_chunk(struct shelf *s, struct slice *chunk)
{
    enum err e;

    if (s->rest)
        return cache_rest_next(s->rest, chunk);
    e = s->pieces ? cache_pieces_next(s->pieces, s->at, chunk)
                  : store_read(s->object, s->at,
                               loop_now_us() + s->x->timeouts->response_us, chunk);
    return e == ERR_RESET ? next_elsewhere(s, chunk) : e;
}

static enum err
shelf_next(struct body *b, struct slice *chunk)
{
    struct shelf *s = container_of(b, struct shelf, body);
    enum err e;

    if (s->left == 0)
        return ERR_END;
    e = next_chunk(s, chunk);
    if (e != OK) {
        if (e != ERR_END)
            exchange_fault(s->x, REASON_RESPONSE_INCOMPLETE, e, "while the cache was being filled");
        return e;
    }
    if (chunk->n > s->left)
        chunk->n = (size_t) s->left;
    s->at += chunk->n;
    if (s->left != WHOLE)
        s->left -= chunk->n;
    b->ended = s->left == 0;
    if (s->rest) {
        b->lasting = false;
        b->given = NULL;
    }
    if (s->pieces)
        b->ready = cache_pieces_ready(s->pieces, s->at);
    return OK;
}

static void
shelf_close(struct body *b)
{
    struct shelf *s = container_of(b, struct shelf, body);

    /* It stands where this part ended: the next one begins elsewhere. */
    if (s->rest)
        cache_rest_end(take(&s->rest));
    s->open = false;
    end(s);
}

/* Here an answer can still be another one. */
static bool
open_pieces(struct shelf *s, uint64_t offset, uint64_t length)
{
    enum err e = cache_pieces_open(s->pieces, offset, offset + length);

    if (e == ERR_RESET)
        s->rest = cache_rest(s->x, s->c, s->self, offset, s->object, false);
    if (e == OK || s->rest)
        return true;
    s->outdated = e == ERR_REFUSED;
    exchange_fault(s->x, REASON_RESPONSE_INCOMPLETE, e, "a piece cannot be had from the origin");
    return false;
}

static struct body *
shelf_open(struct representation *r, struct exchange *x, uint64_t offset, uint64_t length)
{
    static const struct body_ops ops = {.next = shelf_next, .close = shelf_close};
    struct shelf *s = container_of(r, struct shelf, representation);

    (void) x;
    if (s->pieces && !open_pieces(s, offset, length))
        return NULL;
    /* The end of something large: it comes directly rather than last. */
    if (!s->pieces && cache_fill_is_far(s->object, offset, s->c->far_bytes))
        s->rest = cache_rest(s->x, s->c, s->self, offset, s->object, false);
    s->body = (struct body){.ops = &ops,
                            .length = length == WHOLE ? BODY_LENGTH_UNKNOWN : (int64_t) length,
                            .ready = s->pieces ? cache_pieces_ready(s->pieces, offset)
                                               : store_is_complete(s->object)};
    /* Pieces are left when they have been read. */
    s->body.lasting = !s->pieces && s->body.ready;
    s->body.given = s->body.lasting ? store_given(s->object) : NULL;
    s->at = offset;
    s->left = length;
    s->open = true;
    return &s->body;
}

static void
shelf_release(struct representation *r)
{
    struct shelf *s = container_of(r, struct shelf, representation);

    s->released = true;
    end(s);
}

static const struct representation_ops shelf_ops = {.open = shelf_open, .release = shelf_release};

/* ------------------------------------------------------------------ what the cache says of it */

void
cache_serve_status(struct visit *v)
{
    struct exchange *x = v->x;
    char room[STATUS_MAX];
    struct field *f;
    struct text t;
    struct slice text;

    if (!v->c->tell && !x->trace)
        return;
    text_fixed(&t, room, sizeof(room));
    v->told.name = SLICE("maitred");
    cache_status_write(&v->told, &t);
    exchange_note(x, NULL, "cache", "%.*s", SLICE_ARG(text_slice(&t)));
    if (!v->c->tell || t.full)
        return;
    f = fields_get(&x->response.fields, FIELD_CACHE_STATUS);
    /* The caches before us were nearer to the origin: they come first (RFC 9211 2). */
    text = f ? arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(f->value),
                            SLICE_ARG(text_slice(&t)))
             : arena_copy(&x->arena, text_slice(&t));
    if (slice_is_present(text))
        fields_set(&x->response.fields, FIELD_CACHE_STATUS, text);
}

static void
note(struct visit *v, const struct kept *k, struct store_object *o)
{
    struct caching_counts *n = caching_counts(v->c);
    bool hit = v->told.forward == CACHE_FORWARD_NONE;

    v->told.hit = hit && !v->told.collapsed;
    v->told.has_ttl = true;
    v->told.ttl_s = cache_ttl_s(&v->life, loop_now_us());
    if (v->told.collapsed && v->told.forward == CACHE_FORWARD_NONE)
        v->told.forward = CACHE_FORWARD_MISS;
    n->hits += v->told.hit;
    n->shared += v->told.collapsed;
    n->stale += v->told.hit && v->told.ttl_s < 0;
    if (v->told.hit || v->told.collapsed) {
        int64_t length = kept_length(o, k);

        n->saved_us += k->took_us;
        v->x->saved_us = k->took_us;
        v->x->cached = v->told.collapsed      ? CACHED_SHARED
                       : v->told.ttl_s < 0 ? CACHED_STALE
                                              : CACHED_HIT;
        n->hit_bytes += length > 0 ? (uint64_t) length : 0;
    }
}

/* ------------------------------------------------------------------ answering */

/* Not negative. */
static struct slice
number(struct exchange *x, int64_t value)
{
    enum { DIGITS_MAX = 20 };
    char *digits = arena_alloc(&x->arena, DIGITS_MAX);

    return slice_of(digits, digits ? text_format_u64(digits, (uint64_t) value) : 0);
}

/* Who fetched it gets the fields as they came, those among them that are for nobody else. */
static bool
set_head(struct visit *v, const struct kept *k)
{
    struct exchange *x = v->x;
    struct response *r = &x->response;
    int64_t age = cache_age_s(&v->life, loop_now_us());

    if (!v->told.stored) {
        exchange_drop_response(x);
        r->status = k->status;
        r->version = k->version;
        fields_init(&r->fields, &x->arena, k->fields_n + 6, FIELDS_MAX);
        if (!kept_fields(k, &r->fields))
            return false;
    }
    fields_remove(&r->fields, FIELD_CONTENT_LENGTH);
    for (uint32_t i = 0; i < v->cookies.n; i++)
        fields_append(&r->fields, v->cookies.at[i].name, v->cookies.at[i].value,
                      v->cookies.at[i].id);
    if (!v->told.stored || age > 0)
        fields_set(&r->fields, FIELD_AGE, number(x, age));
    return true;
}

/* If-Modified-Since is compared with Date where there is no Last-Modified (RFC 9111 4.3.2). */
static void
set_validators(const struct fields *f, struct validators *v)
{
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000);

    validators_from(f, now_s, v);
    if (!v->has_modified && !v->etag.n)
        v->has_modified = http_date_parse(fields_value(f, FIELD_DATE), now_s, &v->modified_s);
}

static void
refuse_answer(struct visit *v, struct store_object *o, struct cache_filling *filling)
{
    if (filling)
        cache_filling_end(filling);
    store_leave(o);
    exchange_refuse(v->x, 503, REASON_OUT_OF_MEMORY, "an answer of the cache");
}

/* Its length is known. */
static void
answer(struct visit *v, struct shelf *s)
{
    struct exchange *x = v->x;

    if (exchange_answer_compares(x))
        set_validators(&x->response.fields, &s->representation.validators);
    x->response.variants = s->pieces ? NULL : cache_forms(v, s->object);
    exchange_answer(x, &s->representation);
}

bool
cache_serve(struct visit *v, struct store_object *o, struct cache_filling *filling)
{
    struct exchange *x = v->x;
    struct shelf *s = arena_new(&x->arena, struct shelf);
    const struct kept *k = kept_of(o);
    int64_t length = kept_length(o, k);

    if (!s || !set_head(v, k)) {
        refuse_answer(v, o, filling);
        return true;
    }
    note(v, k, o);
    *s = (struct shelf){.x = x, .object = o, .filling = filling, .c = v->c, .self = v->self};
    s->representation.ops = &shelf_ops;
    s->first_bytes = k->cut.piece_bytes;
    if (k->cut.total && !(s->pieces = cache_pieces(v, o, &k->cut))) {
        refuse_answer(v, o, filling);
        return true;
    }
    if (length >= 0) {
        s->representation.length = (uint64_t) length;
        answer(v, s);
        /* Behind it: 412 and 416 begin with fields of their own. */
        cache_serve_status(v);
        /* The shelf lies in the exchange's arena. */
        return !s->outdated;
    }
    cache_serve_status(v);
    if (x->request.method != METHOD_HEAD)
        x->response.body = shelf_open(&s->representation, x, 0, WHOLE);
    shelf_release(&s->representation);
    return true;
}
