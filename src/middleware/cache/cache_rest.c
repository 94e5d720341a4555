/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_rest.c - the rest of a response whose fetch has died, for one of those who
 * shared it.
 *
 * The origin is asked for what is missing, and only if it is still the same thing: a strong
 * validator says so (RFC 9110 13.1.5).  Without one the answer breaks off.
 */
#include "exchange/child.h"
#include "http/condition.h"
#include "http/range.h"
#include "middleware/cache/caching.h"

struct cache_rest {
    struct exchange *child;
    uint64_t         skip; /* bytes that the reader has, when the whole came again */
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

struct cache_rest *
cache_rest(struct exchange *x, const struct caching *c, const struct middleware *self,
           uint64_t offset)
{
    struct cache_version version;
    struct cache_rest *r = cache_version_of(&x->response.fields, &version)
                               ? arena_new(&x->arena, struct cache_rest)
                               : NULL;
    struct exchange *child;

    if (!r || !(r->child = child = exchange_child(x, &c->keeper)))
        return NULL;
    if (cache_version_ask(&version, child,
                          arena_printf(&child->arena, "bytes=%llu-",
                                       (unsigned long long) offset))) {
        exchange_child_run_behind(child, self);
        if (is_the_rest(r, &version, offset))
            return r;
    }
    exchange_child_end(child);
    return NULL;
}

enum err
cache_rest_next(struct cache_rest *r, struct slice *chunk)
{
    enum err e;

    do {
        size_t skipped;

        e = body_next(r->child->response.body, chunk);
        if (e != OK)
            return e;
        skipped = chunk->n < r->skip ? chunk->n : (size_t) r->skip;
        r->skip -= skipped;
        *chunk = slice_from(*chunk, skipped);
    } while (chunk->n == 0);
    return OK;
}

void
cache_rest_end(struct cache_rest *r)
{
    exchange_child_end(r->child);
}
