/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_rest.c - the rest of a response whose fetch has died, for one of those who
 * shared it.
 *
 * The origin is asked for what is missing, and only if it is still the same thing: a strong
 * validator says so (RFC 9110 13.1.5).  Without one it is asked for the whole, which has to begin
 * with the very bytes that the fetch had brought: what follows them belongs to them.
 */
#include "exchange/child.h"
#include "http/condition.h"
#include "http/range.h"
#include "middleware/cache/caching.h"
#include "runtime/loop.h"

enum { FIELDS_MAX = 256 };

struct cache_rest {
    struct exchange     *child;
    struct store_object *like; /* what the whole has to begin with; NULL: a validator vouches */
    uint64_t             at;   /* in the whole, if it came again */
    uint64_t             skip; /* bytes of it that the reader has, from there on */
};

/* ------------------------------------------------------------------ versions */

bool
cache_version_of(const struct fields *response, struct cache_version *version)
{
    struct validators v;

    validators_from(response, (int64_t) (clock_wall_us() / 1000000), &v);
    if (v.etag.n)
        *version = (struct cache_version){FIELD_ETAG, v.etag};
    else
        *version = (struct cache_version){FIELD_LAST_MODIFIED,
                                          fields_value(response, FIELD_LAST_MODIFIED)};
    return v.etag.n ? !slice_starts(v.etag, SLICE("W/"))
                    : v.has_modified && v.modified_is_strong;
}

bool
cache_version_is(const struct cache_version *version, const struct fields *response)
{
    struct slice value = fields_value(response, version->id);

    return version->id == FIELD_ETAG ? etag_equals_strongly(value, version->value)
                                     : slice_eq(value, version->value);
}

bool
cache_version_ask(const struct cache_version *version, struct exchange *x, struct slice range)
{
    struct fields *f = &x->request.fields;
    struct slice value = arena_copy(&x->arena, version->value);

    cache_conditions_drop(f);
    x->request.method = METHOD_GET;
    x->request.method_token = SLICE("GET");
    return slice_is_present(range) && slice_is_present(value) &&
           fields_set(f, FIELD_RANGE, range) && fields_set(f, FIELD_IF_RANGE, value);
}

/* ------------------------------------------------------------------ the rest */

/* It is the same thing, from the offset on or from its start. */
static bool
is_the_rest(struct cache_rest *r, const struct cache_version *version, uint64_t offset)
{
    const struct response *a = &r->child->response;
    struct range_content range;

    if (!cache_version_is(version, &a->fields) || !a->body)
        return false;
    if (a->status == 200)
        r->skip = offset;
    return a->status == 200 ||
           (a->status == 206 &&
            range_content_parse(fields_value(&a->fields, FIELD_CONTENT_RANGE), &range) &&
            range.range.length && range.range.offset == offset);
}

/* As far as its head tells. */
static bool
looks_like(const struct response *a, const struct store_object *o, const struct fields *kept)
{
    static const enum field_id same[] = {FIELD_CONTENT_TYPE, FIELD_CONTENT_ENCODING, FIELD_ETAG,
                                         FIELD_LAST_MODIFIED};

    const struct kept *k = kept_of(o);
    int64_t length = kept_length(o, k); /* has been promised */

    if (a->status != k->status || !a->body || (length >= 0 && a->body->length != length))
        return false;
    for (size_t i = 0; i < countof(same); i++)
        if (!slice_eq(fields_value(&a->fields, same[i]), fields_value(kept, same[i])))
            return false;
    return true;
}

/* True: what it says is the whole again, or the rest. */
static bool
ask(struct cache_rest *r, const struct middleware *self, const struct cache_version *version,
    uint64_t offset)
{
    struct exchange *child = r->child;
    struct slice range = arena_printf(&child->arena, "bytes=%llu-", (unsigned long long) offset);

    if (!cache_version_ask(version, child, range))
        return false;
    exchange_child_run_behind(child, self);
    return is_the_rest(r, version, offset);
}

static bool
ask_for_all(struct cache_rest *r, const struct middleware *self, const struct fields *kept,
            uint64_t offset)
{
    struct exchange *child = r->child;

    cache_conditions_drop(&child->request.fields);
    exchange_child_run_behind(child, self);
    r->skip = offset;
    return looks_like(&child->response, r->like, kept);
}

struct cache_rest *
cache_rest(struct exchange *x, const struct caching *c, const struct middleware *self,
           uint64_t offset, struct store_object *o, bool has_it)
{
    struct cache_rest *r = arena_new(&x->arena, struct cache_rest);
    struct cache_version version;
    struct fields kept;
    bool strong;

    fields_init(&kept, &x->arena, 0, FIELDS_MAX);
    if (!r || !kept_fields(kept_of(o), &kept))
        return NULL;
    strong = cache_version_of(&kept, &version);
    if ((!strong && !has_it) || !(r->child = exchange_child(x, &c->keeper)))
        return NULL;
    r->like = strong ? NULL : o;
    if (strong ? ask(r, self, &version, offset) : ask_for_all(r, self, &kept, offset))
        return r;
    exchange_child_end(r->child);
    return NULL;
}

/* These bytes stand there in what the fetch had brought. */
static bool
is_like(const struct cache_rest *r, struct slice bytes)
{
    uint64_t at = r->at;

    while (r->like && bytes.n) {
        struct slice there;
        size_t n;

        if (store_read(r->like, at, loop_now_us(), &there) != OK)
            return false;
        n = there.n < bytes.n ? there.n : bytes.n;
        if (memcmp(there.at, bytes.at, n) != 0)
            return false;
        bytes = slice_from(bytes, n);
        at += n;
    }
    return true;
}

enum err
cache_rest_next(struct cache_rest *r, struct slice *chunk)
{
    enum err e;

    do {
        size_t skipped;

        e = body_next(r->child->response.body, chunk);
        if (e == ERR_END && r->skip)
            return ERR_RESET; /* it was longer before */
        if (e != OK)
            return e;
        skipped = chunk->n < r->skip ? chunk->n : (size_t) r->skip;
        if (!is_like(r, slice_first(*chunk, skipped)))
            return ERR_RESET;
        r->skip -= skipped;
        r->at += skipped;
        *chunk = slice_from(*chunk, skipped);
    } while (chunk->n == 0);
    return OK;
}

void
cache_rest_end(struct cache_rest *r)
{
    exchange_child_end(r->child);
}
