/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_fetch.c - asking the origin, and what its answer means.
 *
 * The origin is asked for the whole, or whether what is kept is still right; the client's own
 * conditions and ranges are put aside for that time, and answered from what is kept then.
 */
#include "base/check.h"
#include "base/text.h"
#include "http/cache_tags.h"
#include "http/cache_target.h"
#include "http/cache_vary.h"
#include "middleware/cache/caching.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum { HEAD_MAX = 64 * 1024, KEPT_FIELDS_MAX = 256, PASS_STATUS = 0 };

/* An answer, and what is found out about it. */
struct answer {
    struct cache_control said;
    struct cache_pair    pair;
    struct text          names; /* of Vary */
    uint64_t             tags[CACHE_TAGS_MAX];
    size_t               tags_n;
};

static void
leave(struct store_object **o)
{
    if (*o)
        store_leave(take(o));
}

static void
decline(struct visit *v)
{
    if (v->fresh) {
        store_decline(v->fresh);
        leave(&v->fresh);
    }
}

/* ------------------------------------------------------------------ what it says */

static void
read_answer(const struct visit *v, struct answer *a)
{
    const struct response *r = &v->x->response;

    cache_control_of_response(&r->fields, v->c->rules.targets, v->c->rules.targets_n, &a->said);
    a->pair = (struct cache_pair){.method = v->x->request.method,
                                  .status = r->status,
                                  .request = &v->x->request.fields,
                                  .response = &r->fields,
                                  .asked = &v->asked,
                                  .said = &a->said};
    a->tags[0] = cache_purge_variants(v->primary);
    a->tags[1] = cache_purge_uri(cache_find_uri(v));
    a->tags_n = 2;
}

static bool
add_tag(void *context, struct slice tag)
{
    struct answer *a = context;

    a->tags[a->tags_n++] = store_tag_of(tag);
    return a->tags_n < countof(a->tags);
}

struct group_context {
    struct answer *a;
    struct slice   host;
};

/* A group belongs to its origin (RFC 9875 2). */
static bool
add_group(void *context, struct slice group)
{
    struct group_context *g = context;

    g->a->tags[g->a->tags_n++] = cache_purge_group(g->host, group);
    return g->a->tags_n < countof(g->a->tags);
}

static void
read_tags(const struct visit *v, const struct fields *fields, struct answer *a)
{
    struct group_context g = {a, v->x->request.host};

    cache_tags_each(fields, add_tag, a);
    if (a->tags_n < countof(a->tags))
        cache_groups_each(fields, add_group, &g);
}

/* It is about this client alone, or over at once: others need not wait to find that out.  An error
 * may be gone a moment later. */
static bool
is_worth_remembering(enum cache_refusal why, unsigned status)
{
    if (status >= 400)
        return false;
    return why == CACHE_REFUSED_NO_STORE || why == CACHE_REFUSED_PRIVATE ||
           why == CACHE_REFUSED_SET_COOKIE || why == CACHE_REFUSED_VARY_STAR ||
           why == CACHE_REFUSED_NO_LIFETIME || why == CACHE_REFUSED_PATH ||
           why == CACHE_REFUSED_TYPE;
}

static enum cache_refusal
refusal_of(const struct visit *v, const struct answer *a)
{
    const struct response *r = &v->x->response;
    enum cache_refusal why =
        cache_refuses(&v->c->rules, &a->pair, v->times.answered_unix_s);

    if (why == CACHE_MAY_STORE && v->odd)
        why = CACHE_REFUSED_UNKEYED;
    if (why == CACHE_MAY_STORE && v->c->strict_paths)
        why = cache_target_refuses(&v->x->request.target, r->status,
                                   fields_value(&r->fields, FIELD_CONTENT_TYPE));
    return why;
}

/* ------------------------------------------------------------------ into the store */

static bool
publish(struct visit *v, struct store_object *o, struct kept *k, const struct fields *fields,
        const struct answer *a, struct slice text, int64_t length)
{
    struct store_facts facts = {.length = length,
                                .tags = a->tags,
                                .tags_n = a->tags_n,
                                .path = cache_find_uri(v)};
    struct text head;
    bool good;

    text_init(&head, HEAD_MAX);
    good = kept_write(k, fields, &a->said, text, &head) &&
           store_publish(o, text_slice(&head), &facts) == OK;
    text_free(&head);
    return good;
}

/* A head without a body. */
static void
publish_mark(struct visit *v, struct store_object *o, enum kept_kind kind, const struct answer *a,
             struct slice text, uint64_t generation)
{
    struct kept k = {.kind = (uint8_t) kind,
                     .cut = {.generation = generation},
                     .life = {.answered_us = loop_now_us(),
                              .answered_unix_s = v->times.answered_unix_s,
                              .fresh_s = (int64_t) (v->c->pass_us / 1000000)}};

    if (publish(v, o, &k, NULL, a, text, 0))
        store_finish(o);
    else
        store_decline(o);
}

static void
refuse(struct visit *v, const struct answer *a, enum cache_refusal why)
{
    v->told.detail = cache_refusal_name(why);
    if (!v->fresh)
        return;
    if (!is_worth_remembering(why, a->pair.status) || v->c->pass_us == 0) {
        decline(v);
        return;
    }
    publish_mark(v, v->fresh, KEPT_PASS, a, (struct slice){NULL, 0}, 0);
    leave(&v->fresh);
}

/* Others find the names at the URI's key, and this response at the one that follows from them.
 * False: nobody is to keep it. */
static bool
move_to_variant(struct visit *v, const struct answer *a)
{
    struct slice names = text_slice(&a->names);
    uint64_t generation = random_u64();
    struct store_object *o = NULL;

    if (slice_is_present(v->names) && slice_eq(v->names, names))
        return true;
    if (slice_is_present(v->names)) {
        /* It varies by something else now: all begins anew. */
        store_purge_key(v->c->store, v->primary, false);
        return false;
    }
    publish_mark(v, v->fresh, KEPT_VARY, a, names, generation);
    if (!cache_find_variant(v, names, generation) ||
        store_ask(v->c->store, v->key, true, &o) != STORE_MISS) {
        leave(&v->fresh);
        leave(&o);
        return false;
    }
    store_begin_with(o, v->fresh);
    leave(&v->fresh);
    v->fresh = o;
    return true;
}

/* It is for the store: does it get a place there? */
static bool
keep(struct visit *v, struct answer *a)
{
    struct response *r = &v->x->response;
    struct kept k = {
        .kind = KEPT_RESPONSE,
        .status = (uint16_t) r->status,
        .version = (uint8_t) r->version,
        .cut = v->cut};
    int64_t length = r->body ? r->body->length : 0;

    if (!cache_date(&r->fields, v->times.answered_unix_s))
        return false;
    read_tags(v, &r->fields, a);
    if (cache_vary_names(&r->fields, &a->names) == CACHE_VARY_NAMED && !move_to_variant(v, a))
        return false;
    cache_life_of(&v->c->rules, &a->pair, &v->times, &k.life);
    k.took_us = (uint32_t) (v->times.answered_us - v->times.asked_us);
    if (!publish(v, v->fresh, &k, &r->fields, a, (struct slice){NULL, 0}, length))
        return false;
    v->life = k.life;
    v->told.stored = true;
    return true;
}

static enum cache_fetched
take_answer(struct visit *v)
{
    char names[CACHE_VARY_NAMES_BYTES];
    struct answer a;
    enum cache_refusal why;

    read_answer(v, &a);
    text_fixed(&a.names, names, sizeof(names));
    why = refusal_of(v, &a);
    if (why != CACHE_MAY_STORE) {
        refuse(v, &a, why);
        return CACHE_FETCHED_PASS;
    }
    /* Nobody looked, or could wait: it may be the first of those that are for the store. */
    if (!v->fresh && !cache_find_place(v))
        return CACHE_FETCHED_PASS;
    if (keep(v, &a))
        return CACHE_FETCHED_NEW;
    decline(v);
    return CACHE_FETCHED_PASS;
}

enum cache_fetched
cache_fetch_take(struct visit *v)
{
    if (v->x->request.method != METHOD_GET || v->x->response.status < 200)
        return CACHE_FETCHED_PASS;
    return take_answer(v);
}

/* ------------------------------------------------------------------ a 304 */

/* False: it is about something else, or what is kept is not for the store any more. */
static bool
renew(struct visit *v, const struct fields *kept)
{
    const struct kept *old = kept_of(v->found);
    struct response *r = &v->x->response;
    struct answer a;
    struct fields fields;
    struct kept k = {.kind = KEPT_RESPONSE,
                     .status = old->status,
                     .version = old->version,
                     .took_us = old->took_us,
                     .cut = old->cut};
    struct text head;
    bool good;

    if (!cache_confirms(kept, &r->fields) || !cache_date(&r->fields, v->times.answered_unix_s))
        return false;
    fields_init(&fields, &v->x->arena, kept->n + r->fields.n, KEPT_FIELDS_MAX);
    read_answer(v, &a);
    if (!cache_update(kept, &r->fields, &a.said, &fields))
        return false;
    a.pair.response = &fields;
    a.pair.status = old->status;
    cache_control_of_response(&fields, v->c->rules.targets, v->c->rules.targets_n, &a.said);
    if (cache_control_says(&a.said, CACHE_NO_STORE | CACHE_PRIVATE))
        return false;
    cache_life_of(&v->c->rules, &a.pair, &v->times, &k.life);
    read_tags(v, &fields, &a);
    text_init(&head, HEAD_MAX);
    good = kept_write(&k, &fields, &a.said, (struct slice){NULL, 0}, &head);
    if (good) {
        struct store_facts facts = {store_length(v->found), a.tags, a.tags_n, cache_find_uri(v)};

        /* Without memory for the new head, the old one is still right; the next one asks again. */
        if (store_renew(v->fresh, v->found, text_slice(&head), &facts) != OK)
            leave(&v->fresh);
    }
    text_free(&head);
    v->life = k.life;
    return good;
}

/* ------------------------------------------------------------------ asking */

/* The fields of a request, put aside. */
struct aside {
    struct field *at;
    uint32_t      n;
    uint64_t      present;
};

static bool
put_aside(struct exchange *x, struct aside *a)
{
    const struct fields *f = &x->request.fields;

    *a = (struct aside){arena_alloc(&x->arena, f->n * sizeof(*f->at)), f->n, f->present};
    if (a->at)
        memcpy(a->at, f->at, f->n * sizeof(*f->at));
    return a->at != NULL;
}

static void
put_back(struct exchange *x, const struct aside *a)
{
    struct fields *f = &x->request.fields;

    memcpy(f->at, a->at, a->n * sizeof(*f->at));
    f->n = a->n;
    f->present = a->present;
}

static void
ask(struct visit *v, void (*run)(struct visit *v))
{
    v->times.asked_us = loop_now_us();
    run(v);
    v->times.answered_us = loop_now_us();
    v->times.answered_unix_s = (int64_t) (clock_wall_us() / 1000000);
    v->told.forward_status = v->x->response.status;
}

/* The whole; or first the first piece of it, where that tells of what the others are. */
static void
ask_in_pieces(struct visit *v, const struct fields *kept, void (*run)(struct visit *v))
{
    struct exchange *x = v->x;
    struct cache_version version;
    bool asks = v->piece_bytes && (!v->found || cache_version_of(kept, &version)) &&
                cache_pieces_ask(v);

    ask(v, run);
    if (!asks || (x->response.status != 206 && x->response.status != 416) ||
        (x->response.status == 206 && cache_pieces_take(v)))
        return;
    v->unfit = v->far && x->response.status == 206;
    if (v->unfit)
        return;
    exchange_drop_response(x);
    fields_remove(&x->request.fields, FIELD_RANGE);
    ask(v, run);
}

/* ------------------------------------------------------------------ not fit for pieces */

static struct store_key
unfit_key(const struct visit *v)
{
    static const char name[] = "unfit";

    return store_key_with(v->c->store, v->key, name, sizeof(name));
}

bool
cache_fetch_is_unfit(const struct visit *v)
{
    struct store_object *o = NULL;
    struct cache_life life;
    bool is = store_ask(v->c->store, unfit_key(v), false, &o) == STORE_HIT && kept_of(o);

    if (is) {
        kept_life(o, kept_of(o), &life);
        is = cache_ttl_s(&life, loop_now_us()) > 0;
    }
    leave(&o);
    return is;
}

/* For a while, so that nobody asks in vain again. */
static void
note_unfit(struct visit *v)
{
    struct store_object *o = NULL, *old = NULL;
    enum store_outcome found;
    struct answer a;

    if (v->c->pass_us == 0)
        return;
    found = store_ask(v->c->store, unfit_key(v), true, &o);
    if (found == STORE_HIT) {
        old = take(&o);
        found = store_refill(old, &o);
    }
    if (found == STORE_MISS) {
        read_answer(v, &a);
        publish_mark(v, o, KEPT_PASS, &a, (struct slice){NULL, 0}, 0);
    }
    leave(&old);
    leave(&o);
}

/* ------------------------------------------------------------------ what a 304 means */

static void
save_cookies(struct visit *v)
{
    const struct fields *f = &v->x->response.fields;
    const struct field *cookie = NULL;

    fields_init(&v->cookies, &v->x->arena, 0, KEPT_FIELDS_MAX);
    while ((cookie = fields_next(f, cookie, SLICE("Set-Cookie"))))
        fields_append(&v->cookies, cookie->name, cookie->value, cookie->id);
}

/* What is kept is still right.  While it is still arriving, it cannot get a new head: this client
 * is served from it, and the next one asks again.  False: the 304 is about something else. */
static bool
is_confirmed(struct visit *v, const struct fields *kept)
{
    if (store_is_complete(v->found))
        return renew(v, kept);
    return cache_confirms(kept, &v->x->response.fields);
}

static enum cache_fetched
renewed(struct visit *v)
{
    save_cookies(v);
    if (v->fresh && store_is_complete(v->fresh)) {
        leave(&v->found);
        v->found = take(&v->fresh);
    }
    decline(v);
    exchange_drop_response(v->x);
    caching_counts(v->c)->confirmed++;
    v->x->cached = CACHED_CONFIRMED;
    return CACHE_FETCHED_RENEWED;
}

static enum cache_fetched
excused(struct visit *v)
{
    decline(v);
    exchange_drop_response(v->x);
    caching_counts(v->c)->excused++;
    v->x->cached = CACHED_EXCUSED;
    return CACHE_FETCHED_EXCUSED;
}

/* With the conditions of what is kept, if there is something; CACHE_FETCHED_RENEWED, EXCUSED, or
 * PASS when it is to be taken as any answer. */
static enum cache_fetched
ask_whether(struct visit *v, struct fields *kept, void (*run)(struct visit *v))
{
    bool asks = cache_conditions_set(&v->x->request.fields, kept);
    unsigned status;

    ask_in_pieces(v, kept, run);
    status = v->x->response.status;
    if (asks && status == 304) {
        if (is_confirmed(v, kept))
            return renewed(v);
        /* It is about something that we do not have: the whole, then. */
        exchange_drop_response(v->x);
        cache_conditions_drop(&v->x->request.fields);
        ask(v, run);
        status = v->x->response.status;
    }
    if (cache_is_error(status) &&
        cache_may_excuse(&v->c->rules, &v->life, &v->asked, loop_now_us()))
        return excused(v);
    return CACHE_FETCHED_PASS;
}

enum cache_fetched
cache_fetch(struct visit *v, void (*run)(struct visit *v))
{
    enum cache_fetched fetched = CACHE_FETCHED_PASS;
    struct exchange *x = v->x;
    struct fields kept;
    struct aside aside;

    if (!v->fresh || !put_aside(x, &aside)) {
        decline(v);
        cache_find_moment(v);
        ask(v, run);
        return v->keep ? cache_fetch_take(v) : CACHE_FETCHED_PASS;
    }
    cache_conditions_drop(&x->request.fields);
    fields_init(&kept, &x->arena, 0, KEPT_FIELDS_MAX);
    if (v->found && kept_fields(kept_of(v->found), &kept))
        fetched = ask_whether(v, &kept, run);
    else
        ask_in_pieces(v, &kept, run);
    put_back(x, &aside);
    if (fetched != CACHE_FETCHED_PASS)
        return fetched;
    if (v->unfit) {
        note_unfit(v);
        decline(v);
        return CACHE_FETCHED_PIECE;
    }
    if (x->response.status >= 200) {
        fetched = take_answer(v);
        return fetched == CACHE_FETCHED_PASS && v->cut.total ? CACHE_FETCHED_PIECE : fetched;
    }
    if (x->response.status == 0) {
        /* The client has left: somebody else asks. */
        store_break(v->fresh);
        leave(&v->fresh);
    }
    decline(v);
    return CACHE_FETCHED_PASS;
}
