/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_find.c - from a request to what is kept for it.
 *
 * What stands at the key of a URI is a response, or the names of the fields by which responses
 * differ (Vary): with the request's values for those comes a second key.  Who finds nothing is the
 * one to fetch it, and all others who ask meanwhile wait for the head that he gets: a response is
 * shared, names lead on to the second key, and what is not for the store sends everybody on his own
 * way.
 */
#include "base/check.h"
#include "base/text.h"
#include "exchange/route.h"
#include "http/cache_vary.h"
#include "middleware/cache/caching.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum { STEPS_MAX = 4, KEY_MAX = 16 * 1024, KEY_SHORT = 256 };

/* ------------------------------------------------------------------ keys */

/* What the server is asked for, as it is sent: two spellings of a path may be two things to it. */
static struct slice
path_of(const struct exchange *x)
{
    return x->request.forward_path ? x->request.target.path : x->request.target.raw_path;
}

struct slice
cache_find_uri(const struct visit *v)
{
    struct exchange *x = v->x;
    struct slice path = path_of(x), query = x->request.target.query;

    return arena_printf(&x->arena, "%.*s%.*s%s%.*s", SLICE_ARG(x->request.host), SLICE_ARG(path),
                        slice_is_present(query) ? "?" : "", SLICE_ARG(query));
}

bool
cache_find_host_is_odd(const struct exchange *x)
{
    struct slice sent = x->request.authority, host = x->request.host;

    return sent.n && !(slice_starts(sent, host) &&
                       (sent.n == host.n || sent.at[host.n] == ':'));
}

/* Scheme, host, port, path and query, in one go where they are short: each hash costs its
 * beginning and its end. */
static struct store_key
key_of_uri(const struct visit *v, struct slice path, struct slice query)
{
    const struct store *s = v->c->store;
    const struct exchange *x = v->x;
    bool secure = slice_eq(x->scheme, SLICE("https"));
    uint16_t port = x->request.port ? x->request.port : secure ? 443 : 80;
    struct slice host = x->request.host;
    struct origin {
        uint32_t host_n, path_n;
        uint16_t port;
        uint8_t  secure, query;
    } origin = {(uint32_t) host.n, (uint32_t) path.n, port, secure,
                slice_is_present(query)};
    struct store_key key;
    char short_one[KEY_SHORT];
    struct text t;

    text_fixed(&t, short_one, sizeof(short_one));
    text_put(&t, slice_of((const char *) &origin, sizeof(origin)));
    text_put(&t, host);
    text_put(&t, path);
    text_put(&t, query);
    if (!t.full)
        return store_key_of(s, t.at, t.n);
    key = store_key_of(s, host.at, host.n);
    key = store_key_with(s, key, &origin, sizeof(origin));
    key = store_key_with(s, key, path.at, path.n);
    return query.n ? store_key_with(s, key, query.at, query.n) : key;
}

/* It takes some of the requests for a URI and leaves others to other routes: what it fetches may be
 * something else, and for others. */
static bool
is_choosy(const struct route *r)
{
    return r->headers.n || r->cookies.n || r->clients.n || r->listener.n || r->when;
}

struct store_key
cache_find_key(const struct visit *v, struct slice path, struct slice query)
{
    const struct route *r = v->x->route;
    struct store_key key = key_of_uri(v, path, query);

    return r && is_choosy(r) ? store_key_with(v->c->store, key, r->name.at, r->name.n) : key;
}

bool
cache_find_begin(struct visit *v)
{
    const struct caching *c = v->c;

    if (c->key) {
        struct slice key = template_render(c->key, v->x);

        if (!slice_is_present(key))
            return false;
        v->primary = store_key_of(c->store, key.at, key.n);
        v->told.key = c->tell_key ? key : (struct slice){NULL, 0};
    } else {
        v->primary = cache_find_key(v, path_of(v->x), v->x->request.target.query);
        v->told.key = c->tell_key ? cache_find_uri(v) : (struct slice){NULL, 0};
    }
    v->key = v->primary;
    return true;
}

bool
cache_find_variant(struct visit *v, struct slice names, uint64_t generation)
{
    struct text key;

    bool good;

    v->names = arena_copy(&v->x->arena, names);
    text_init(&key, KEY_MAX);
    /* Variants whose names are gone are never found again, whatever becomes of the names. */
    text_put(&key, slice_of((const char *) &generation, sizeof(generation)));
    cache_vary_key(v->names, &v->x->request.fields, &key);
    good = slice_is_present(v->names) && !key.full;
    if (good)
        v->key = store_key_with(v->c->store, v->primary, key.at, key.n);
    else
        v->keep = v->fill = false; /* there is no place that is its own */
    text_free(&key);
    return good;
}

/* ------------------------------------------------------------------ looking */

static void
leave(struct store_object **o)
{
    if (*o)
        store_leave(take(o));
}

static enum cache_found
gone_or(enum cache_found other)
{
    return fiber_self()->cancelled == OK ? other : CACHE_GONE;
}

/* Its head is there.  CACHE_FOUND: it is a response; CACHE_NOTHING: v->key says where to look
 * next. */
static enum cache_found
look_at(struct visit *v, struct store_object *o)
{
    const struct kept *k = kept_of(o);

    if (!k)
        return CACHE_PASS;
    kept_life(o, k, &v->life);
    switch (k->kind) {
    case KEPT_RESPONSE:
        v->found = o;
        store_hold(o);
        return CACHE_FOUND;
    case KEPT_VARY:
        return cache_find_variant(v, kept_text(k), k->cut.generation) ? CACHE_NOTHING : CACHE_PASS;
    default:
        return CACHE_PASS;
    }
}

/* It is ours to fetch anew. */
static bool
find_turn(struct visit *v, struct store_object *o)
{
    if (store_refill(o, &v->fresh) == STORE_MISS)
        return true;
    leave(&v->fresh);
    return false;
}

static bool
is_over(struct visit *v, struct store_object *o)
{
    const struct kept *k = kept_of(o);

    return k && k->kind == KEPT_PASS && cache_ttl_s(&v->life, loop_now_us()) <= 0;
}

/* Somebody fetches it: what he gets is for us too, if it is for the store, and was asked for after
 * the last purge before we came.  A purge while we wait is about what others ask for later. */
static enum cache_found
join(struct visit *v, struct store_object *o)
{
    bool measured = store_is_measured(o), soft = store_is_soft(o);
    enum err e = store_wait_head(o, loop_now_us() + v->c->wait_us);

    /* It broke off: somebody has to begin again, maybe we. */
    if (e == ERR_RESET)
        return CACHE_NOTHING;
    if (e != OK)
        return gone_or(CACHE_PASS);
    if (!measured && store_is_purged(o))
        return CACHE_NOTHING;
    /* What is just read from the disk may be old, like all that was kept; and so is what was purged
     * softly. */
    v->told.collapsed = !soft && !store_is_from_disk(o);
    return look_at(v, o);
}

enum cache_found
cache_find(struct visit *v)
{
    for (unsigned step = 0; step < STEPS_MAX; step++) {
        struct store_object *o = NULL;
        enum cache_found found;

        switch (store_ask(v->c->store, v->key, v->fill, &o)) {
        case STORE_MISS:
            v->fresh = o;
            return CACHE_NOTHING;
        case STORE_NONE:
            return CACHE_NOTHING;
        case STORE_FILLING:
            found = join(v, o);
            break;
        default:
            found = look_at(v, o);
            if (found == CACHE_PASS && is_over(v, o) && find_turn(v, o))
                found = CACHE_NOTHING;
        }
        leave(&o);
        if (found != CACHE_NOTHING || v->fresh)
            return found;
    }
    return CACHE_PASS;
}

enum cache_found
cache_find_anew(struct visit *v)
{
    enum cache_found found;

    switch (store_refill(v->found, &v->fresh)) {
    case STORE_MISS:
        return CACHE_NOTHING;
    case STORE_FILLING:
        leave(&v->found);
        found = join(v, v->fresh);
        leave(&v->fresh);
        return found == CACHE_NOTHING ? CACHE_PASS : found;
    default:
        return CACHE_NOTHING;
    }
}

void
cache_find_moment(struct visit *v)
{
    if (v->keep)
        v->moment = store_moment(v->c->store, v->key);
}

bool
cache_find_place(struct visit *v)
{
    struct store_object *o = NULL;

    if (!v->keep)
        return false;
    switch (store_ask(v->c->store, v->key, true, &o)) {
    case STORE_MISS:
        v->fresh = take(&o);
        break;
    case STORE_HIT:
        (void) find_turn(v, o);
        break;
    default:
        break;
    }
    leave(&o);
    if (v->fresh && !store_begin_at(v->fresh, &v->moment)) {
        store_break(v->fresh);
        leave(&v->fresh);
    }
    return v->fresh != NULL;
}
