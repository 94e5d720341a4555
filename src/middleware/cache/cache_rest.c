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

static bool
ask_for(struct exchange *c, struct slice etag, uint64_t offset)
{
    struct fields *f = &c->request.fields;

    cache_conditions_drop(f);
    c->request.method = METHOD_GET;
    c->request.method_token = SLICE("GET");
    return fields_set(f, FIELD_RANGE,
                      arena_printf(&c->arena, "bytes=%llu-", (unsigned long long) offset)) &&
           fields_set(f, FIELD_IF_RANGE, arena_copy(&c->arena, etag));
}

/* It is the same thing, from the offset on or from its start. */
static bool
is_the_rest(struct cache_rest *r, struct slice etag, uint64_t offset)
{
    const struct response *a = &r->child->response;
    struct range_content range;

    if (!etag_equals_strongly(fields_value(&a->fields, FIELD_ETAG), etag) || !a->body)
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
    struct slice etag = fields_value(&x->response.fields, FIELD_ETAG);
    struct cache_rest *r = etag.n && !slice_starts(etag, SLICE("W/"))
                               ? arena_new(&x->arena, struct cache_rest)
                               : NULL;

    if (!r || !(r->child = exchange_child(x, &c->keeper)))
        return NULL;
    if (ask_for(r->child, etag, offset)) {
        exchange_child_run_behind(r->child, self);
        if (is_the_rest(r, etag, offset))
            return r;
    }
    exchange_child_end(r->child);
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
