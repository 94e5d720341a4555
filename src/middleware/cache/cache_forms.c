/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_forms.c - encoded forms beside a response: objects of their own in the
 * same store.
 *
 * The key of a form has in it which response it is a form of, down to the moment when that was
 * published: a newer response, or one that was purged, has no forms yet, and those of the old one
 * are found by nobody and go in their time.
 */
#include "base/check.h"
#include "exchange/variants.h"
#include "middleware/cache/caching.h"
#include "runtime/loop.h"

#include <stdlib.h>

#define WAIT_US UINT64_C(30000000)

/* The head of a form. */
struct form_head {
    uint32_t effort;
};

struct forms {
    struct variants      variants;
    struct store        *store;
    struct store_key     key;    /* of the response; with made_us, that of all its forms */
    uint64_t             made_us;
    struct store_object *object; /* the response: lent by who serves it, or held */
    struct store_object *claim;  /* held: nobody else works on forms */
};

static struct forms *
forms_of(struct variants *v)
{
    return container_of(v, struct forms, variants);
}

static struct store_key
key_of(const struct forms *f, struct slice coding)
{
    struct store_key key = store_key_with(f->store, f->key, &f->made_us, sizeof(f->made_us));

    return store_key_with(f->store, key, coding.at, coding.n);
}

/* ------------------------------------------------------------------ bytes of an object, here */

struct reader {
    struct body          body;
    struct store_object *object; /* a reference */
    uint64_t             at;
    bool                 owned;  /* malloc'd */
};

static enum err
reader_next(struct body *b, struct slice *chunk)
{
    struct reader *r = container_of(b, struct reader, body);
    enum err e = store_read(r->object, r->at, loop_now_us() + WAIT_US, chunk);

    if (e == OK)
        r->at += chunk->n;
    b->ended = b->length != BODY_LENGTH_UNKNOWN && r->at == (uint64_t) b->length;
    return e;
}

static void
reader_close(struct body *b)
{
    struct reader *r = container_of(b, struct reader, body);

    store_leave(r->object);
    if (r->owned)
        free(r);
}

static struct body *
reader_begin(struct reader *r, struct store_object *o)
{
    static const struct body_ops ops = {.next = reader_next, .close = reader_close};

    r->body.ops = &ops;
    r->body.length = store_length(o);
    r->body.ready = store_is_complete(o);
    r->object = o;
    return &r->body;
}

/* ------------------------------------------------------------------ one that is there */

static const struct form_head *
head_of(const struct store_object *o)
{
    struct slice head = store_head(o);

    return head.n == sizeof(struct form_head) ? (const void *) head.at : NULL;
}

static struct body *
forms_find(struct variants *v, struct exchange *x, struct slice coding, unsigned *effort)
{
    struct forms *f = forms_of(v);
    struct store_object *o = NULL;
    const struct form_head *head;
    struct reader *r;

    if (store_ask(f->store, key_of(f, coding), false, &o) != STORE_HIT) {
        if (o)
            store_leave(o);
        return NULL;
    }
    head = head_of(o);
    r = head && store_is_complete(o) ? arena_new(&x->arena, struct reader) : NULL;
    if (!r) {
        store_leave(o);
        return NULL;
    }
    *effort = head->effort;
    return reader_begin(r, o);
}

/* ------------------------------------------------------------------ one that is made */

/* To be filled by the caller; NULL: somebody does, or there is no memory. */
static struct store_object *
begin_form(struct forms *f, struct slice coding, unsigned effort, int64_t length)
{
    struct form_head head = {effort};
    struct store_facts facts = {.length = length, .fleeting = true};
    struct store_object *o = NULL, *fresh = NULL;

    switch (store_ask(f->store, key_of(f, coding), true, &o)) {
    case STORE_MISS:
        fresh = take(&o);
        break;
    case STORE_HIT:
        if (store_refill(o, &fresh) != STORE_MISS && fresh)
            store_leave(take(&fresh));
        break;
    default:
        break;
    }
    if (o)
        store_leave(o);
    if (!fresh)
        return NULL;
    if (store_publish(fresh, slice_of((const char *) &head, sizeof(head)), &facts) == OK)
        return fresh;
    store_break(fresh);
    store_leave(fresh);
    return NULL;
}

struct keeping {
    struct body          body;
    struct body         *inner;
    struct store_object *object; /* a reference; NULL: kept, or given up */
};

static void
keeping_end(struct keeping *k, bool complete)
{
    struct store_object *o = take(&k->object);

    if (!o)
        return;
    if (complete)
        store_finish(o);
    else
        store_break(o);
    store_leave(o);
}

static enum err
keeping_next(struct body *b, struct slice *chunk)
{
    struct keeping *k = container_of(b, struct keeping, body);
    enum err e = body_next(k->inner, chunk);

    b->ready = k->inner->ready;
    b->ended = k->inner->ended;
    b->trailers = k->inner->trailers;
    if (e == OK && k->object && store_append(k->object, *chunk) != OK)
        keeping_end(k, false);
    if (e != OK || b->ended)
        keeping_end(k, e == OK || e == ERR_END);
    return e;
}

static void
keeping_close(struct body *b)
{
    struct keeping *k = container_of(b, struct keeping, body);

    keeping_end(k, false);
    body_close(take(&k->inner));
}

static struct body *
forms_keep(struct variants *v, struct exchange *x, struct slice coding, unsigned effort,
           struct body *encoded)
{
    static const struct body_ops ops = {.next = keeping_next, .close = keeping_close};
    struct keeping *k = arena_new(&x->arena, struct keeping);
    struct store_object *o =
        k ? begin_form(forms_of(v), coding, effort, encoded->length) : NULL;

    if (!o)
        return encoded;
    k->body = *encoded;
    k->body.ops = &ops;
    k->inner = encoded;
    k->object = o;
    return &k->body;
}

/* ------------------------------------------------------------------ in the background */

static struct variants *
forms_hold(struct variants *v)
{
    const struct forms *from = forms_of(v);
    struct store_object *claim = NULL;
    struct forms *f;

    /* An object that is filled by one and never published keeps all others out. */
    if (store_ask(from->store, key_of(from, SLICE("claim")), true, &claim) != STORE_MISS) {
        if (claim)
            store_leave(claim);
        return NULL;
    }
    f = claim ? malloc(sizeof(*f)) : NULL;
    if (!f) {
        if (claim) {
            store_break(claim);
            store_leave(claim);
        }
        return NULL;
    }
    *f = *from;
    f->claim = claim;
    store_hold(f->object);
    return &f->variants;
}

static void
forms_release(struct variants *held)
{
    struct forms *f = forms_of(held);

    store_break(f->claim);
    store_leave(f->claim);
    store_leave(f->object);
    free(f);
}

static struct body *
forms_plain(struct variants *held)
{
    struct reader *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->owned = true;
    store_hold(forms_of(held)->object);
    return reader_begin(r, forms_of(held)->object);
}

/* The form that is there is not larger: it stays, and nobody tries again. */
static bool
stays(struct forms *f, struct slice coding, unsigned effort, size_t n)
{
    struct form_head head = {effort};
    struct store_object *o = NULL, *fresh = NULL;
    struct store_facts facts;
    bool smaller = store_ask(f->store, key_of(f, coding), false, &o) == STORE_HIT &&
                   store_is_complete(o) && (uint64_t) store_length(o) <= n;

    if (smaller && store_refill(o, &fresh) == STORE_MISS) {
        facts = (struct store_facts){.length = store_length(o)};
        (void) store_renew(fresh, o, slice_of((const char *) &head, sizeof(head)), &facts);
    }
    if (fresh)
        store_leave(fresh);
    if (o)
        store_leave(o);
    return smaller;
}

static void
forms_put(struct variants *held, struct slice coding, unsigned effort, struct slice bytes)
{
    struct store_object *o;

    if (stays(forms_of(held), coding, effort, bytes.n))
        return;
    o = begin_form(forms_of(held), coding, effort, (int64_t) bytes.n);
    if (!o)
        return;
    if (store_append(o, bytes) == OK)
        store_finish(o);
    else
        store_break(o);
    store_leave(o);
}

/* ------------------------------------------------------------------ of a response */

static const struct variants_ops forms_ops = {
    .find = forms_find,
    .keep = forms_keep,
    .hold = forms_hold,
    .release = forms_release,
    .plain = forms_plain,
    .put = forms_put,
};

struct variants *
cache_forms(struct visit *v, struct store_object *o)
{
    struct forms *f = arena_new(&v->x->arena, struct forms);

    if (!f)
        return NULL;
    f->variants.ops = &forms_ops;
    f->variants.hits = store_hits(o);
    f->store = v->c->store;
    f->key = v->key;
    f->made_us = store_made_us(o);
    f->object = o;
    return &f->variants;
}
