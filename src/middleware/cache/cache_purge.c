/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_purge.c - letting go of what is kept.
 *
 *     PURGE /page HTTP/1.1            the response of that URI, with all its variants
 *     Cache-Purge: prefix             all whose URI begins like that; `host`, `all`
 *     Cache-Tag: a, b                 all with one of these tags (Cache-Tag, Surrogate-Key)
 *     Cache-Groups: "a"               all in that group of this host (RFC 9875)
 *     Cache-Purge: soft               they become stale rather than go; `prefix, soft`
 *
 * What is misspelt, names nothing or contradicts itself is refused: it would let go of something
 * else than was meant, and say that all is well.
 *
 * Those may purge whom the option `purge` names.  An answer to an unsafe method purges what it
 * changed (RFC 9111 4.4), without anybody asking.
 */
#include "http/cache_tags.h"
#include "http/cache_target.h"
#include "http/uri.h"
#include "middleware/cache/caching.h"
#include "middleware/cache/stores.h"

/* Of Cache-Purge. */
enum { WORD_SOFT = 1, WORD_PREFIX = 2, WORD_HOST = 4, WORD_ALL = 8 };

#define WORDS_ADVICE "write `prefix`, `host` or `all`, and `soft` where stale is enough"

struct purging {
    struct visit *v;
    bool          soft;
};

/* Tags of the operator hold no control bytes: they never meet those of a kind. */
static uint64_t
tag_of_kind(char kind, uint64_t of, struct slice name)
{
    char bytes[CACHE_TAG_BYTES_MAX + sizeof(of) + 1];
    size_t n = name.n < CACHE_TAG_BYTES_MAX ? name.n : CACHE_TAG_BYTES_MAX;

    bytes[0] = kind;
    memcpy(bytes + 1, &of, sizeof(of));
    memcpy(bytes + 1 + sizeof(of), name.at, n);
    return store_tag_of(slice_of(bytes, 1 + sizeof(of) + n));
}

uint64_t
cache_purge_group(struct slice host, struct slice group)
{
    return tag_of_kind('\0', store_tag_of(host), group);
}

uint64_t
cache_purge_uri(struct slice uri)
{
    return tag_of_kind('\1', store_tag_of(uri), SLICE(""));
}

uint64_t
cache_purge_variants(struct store_key primary)
{
    return primary.high ^ primary.low;
}

/* With all its variants, if it has some. */
static void
purge_uri(struct purging *p, struct store_key primary)
{
    struct store *s = p->v->c->store;
    struct store_object *o = NULL;

    if (store_ask(s, primary, false, &o) == STORE_HIT && kept_of(o) &&
        kept_of(o)->kind == KEPT_VARY)
        store_purge_tag(s, cache_purge_variants(primary), p->soft);
    if (o)
        store_leave(o);
    store_purge_key(s, primary, p->soft);
}

/* ------------------------------------------------------------------ PURGE */

bool
cache_purge_wanted(const struct caching *c, const struct exchange *x)
{
    return c->purgers.n && x->request.method == METHOD_OTHER &&
           slice_eq(x->request.method_token, SLICE("PURGE"));
}

static bool
may_purge(const struct caching *c, const struct exchange *x)
{
    const struct network *n = c->purgers.at;

    for (size_t i = 0; i < c->purgers.n; i++)
        if (network_has(&n[i], &x->client_address))
            return true;
    return false;
}

static bool
purge_tag(void *context, struct slice tag)
{
    struct purging *p = context;

    store_purge_tag(p->v->c->store, store_tag_of(tag), p->soft);
    return true;
}

static bool
purge_group(void *context, struct slice group)
{
    struct purging *p = context;

    store_purge_tag(p->v->c->store, cache_purge_group(p->v->x->request.host, group), p->soft);
    return true;
}

/* A prefix goes with its host: "host/path". */
static bool
purge_prefix(struct purging *p, bool whole_host)
{
    struct slice host = p->v->x->request.host;
    struct slice prefix = whole_host ? arena_printf(&p->v->x->arena, "%.*s/", SLICE_ARG(host))
                                     : cache_find_uri(p->v);

    if (slice_is_present(prefix))
        store_purge_prefix(p->v->c->store, prefix, p->soft);
    return slice_is_present(prefix);
}

/* What was purged, for who asked. */
static const char *
let_go(struct purging *p, unsigned words)
{
    const struct fields *f = &p->v->x->request.fields;
    struct store *s = p->v->c->store;

    if (cache_tags_each(f, purge_tag, p) + cache_groups_each(f, purge_group, p))
        return "tags";
    if (words & WORD_ALL) {
        store_purge_all(s, p->soft);
        return "all";
    }
    if (words & WORD_HOST)
        return purge_prefix(p, true) ? "host" : NULL;
    if (words & WORD_PREFIX)
        return purge_prefix(p, false) ? "prefix" : NULL;
    purge_uri(p, p->v->primary);
    return "uri";
}

/* 0: it is none. */
static unsigned
word_of(struct slice s)
{
    static const struct {
        struct slice name;
        unsigned     word;
    } words[] = {
        {SLICE_INIT("soft"), WORD_SOFT},
        {SLICE_INIT("prefix"), WORD_PREFIX},
        {SLICE_INIT("host"), WORD_HOST},
        {SLICE_INIT("all"), WORD_ALL},
    };

    for (size_t i = 0; i < countof(words); i++)
        if (slice_eq_nocase(s, words[i].name))
            return words[i].word;
    return 0;
}

/* The words of Cache-Purge; false: *unknown is none of them. */
static bool
read_words(const struct fields *f, unsigned *words, struct slice *unknown)
{
    const struct field *found = NULL;
    struct slice rest, element;
    unsigned word;

    *words = 0;
    while ((found = fields_next(f, found, SLICE("Cache-Purge"))))
        for (rest = found->value; slice_next_element(&rest, &element); *words |= word)
            if (!(word = word_of(element))) {
                *unknown = element;
                return false;
            }
    return true;
}

static bool
see_label(void *context, struct slice label)
{
    (void) context;
    (void) label;
    return true;
}

/* What is wrong, and what would be right; NULL: nothing. */
static const char *
fault_of(const struct fields *f, unsigned words)
{
    bool tagged = fields_find(f, SLICE("Cache-Tag")) || fields_find(f, SLICE("Surrogate-Key"));
    bool grouped = fields_find(f, SLICE("Cache-Groups"));
    size_t tags = cache_tags_each(f, see_label, NULL),
           groups = cache_groups_each(f, see_label, NULL);
    unsigned reach = words & (WORD_PREFIX | WORD_HOST | WORD_ALL);

    if (!words && fields_find(f, SLICE("Cache-Purge")))
        return "Cache-Purge is empty: " WORDS_ADVICE;
    if (reach & (reach - 1))
        return "Cache-Purge says more than one of `prefix`, `host` and `all`: send one of them";
    if (tagged && tags == 0)
        return "Cache-Tag and Surrogate-Key name no tag: write them as in `Cache-Tag: red, blue`";
    if (grouped && groups == 0)
        return "Cache-Groups is no list of strings: write `Cache-Groups: \"news\"`, with the "
               "quotes";
    /* Those behind the last that is looked at would stay. */
    if (tags == CACHE_TAGS_MAX || groups == CACHE_TAGS_MAX)
        return "these are too many tags or groups for one request: send several, of 255 at most";
    if (reach && (tagged || grouped))
        return "tags and groups have a reach of their own: leave `prefix`, `host` and `all` out "
               "of Cache-Purge, or send no tags and groups";
    return NULL;
}

/* It is for an operator: he is told more than that it is a bad request. */
static void
refuse(struct exchange *x, struct slice sentence)
{
    exchange_fault(x, REASON_BAD_REQUEST, OK, "PURGE: %.*s", SLICE_ARG(sentence));
    exchange_respond(x, 400, SLICE("text/plain; charset=utf-8"),
                     arena_printf(&x->arena, "%.*s\n", SLICE_ARG(sentence)));
}

/* False after answering 400. */
static bool
is_understood(struct exchange *x, unsigned *words)
{
    struct slice unknown;
    const char *fault;

    if (!read_words(&x->request.fields, words, &unknown)) {
        refuse(x, arena_printf(&x->arena, "Cache-Purge has no word `%.*s`: " WORDS_ADVICE,
                               SLICE_ARG(unknown)));
        return false;
    }
    fault = fault_of(&x->request.fields, *words);
    if (fault)
        refuse(x, slice_str(fault));
    return !fault;
}

void
cache_purge(struct visit *v)
{
    struct exchange *x = v->x;
    struct purging p = {.v = v};
    const char *what;
    unsigned words;

    if (!may_purge(v->c, x)) {
        exchange_refuse(x, 403, REASON_NOT_ALLOWED, "PURGE from %.*s",
                        SLICE_ARG(x->client_ip));
        return;
    }
    if (!is_understood(x, &words))
        return;
    p.soft = words & WORD_SOFT;
    what = let_go(&p, words);
    if (!what) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "PURGE");
        return;
    }
    caching_counts(v->c)->purged++;
    exchange_respond(x, 200, SLICE("application/json"),
                     arena_printf(&x->arena, "{\"purged\":\"%s\",\"soft\":%s}\n", what,
                                  p.soft ? "true" : "false"));
}

/* ------------------------------------------------------------------ unsafe methods */

static struct cache_origin
origin_of(const struct exchange *x)
{
    return (struct cache_origin){x->scheme, x->request.host, x->request.port};
}

/* The same host's: others could be made to forget by anybody (RFC 9111 4.4). */
static void
purge_reference(struct purging *p, struct slice reference)
{
    struct visit *v = p->v;
    struct cache_origin origin = origin_of(v->x);
    struct slice uri =
        reference.n ? cache_target_resolve(&origin, &v->x->request.target, reference, &v->x->arena)
                    : (struct slice){NULL, 0};
    size_t at = slice_find(uri, '?');

    if (!slice_is_present(uri))
        return;
    if (at == SLICE_NOT_FOUND)
        purge_uri(p, cache_find_key(v, uri, (struct slice){NULL, 0}));
    else
        purge_uri(p, cache_find_key(v, slice_of(uri.at, at), slice_from(uri, at + 1)));
}

void
cache_purge_after(struct visit *v)
{
    /* Hard: nobody may be given it as stale either, who wrote least of all. */
    struct purging p = {.v = v};
    const struct response *r = &v->x->response;
    const struct field *content = fields_get(&r->fields, FIELD_CONTENT_LOCATION);

    if (!cache_invalidates(v->x->request.method, r->status))
        return;
    purge_uri(&p, v->primary);
    purge_reference(&p, fields_value(&r->fields, FIELD_LOCATION));
    if (content)
        purge_reference(&p, content->value);
    cache_groups_invalid_each(&r->fields, purge_group, &p);
}

/* --------------------------------------------------------------- an operator, without a request */

/* "host/path?query" of a URL, or of the same without a scheme. */
static enum err
read_uri(struct slice url, bool scheme_needed, struct arena *arena, struct slice *uri)
{
    struct slice scheme, name, rest;
    struct authority a;
    enum err e;

    if (!target_split_absolute(url, &scheme, &name, &rest)) {
        size_t slash = slice_find(url, '/');

        if (scheme_needed)
            return ERR_MALFORMED;
        name = slash == SLICE_NOT_FOUND ? url : slice_of(url.at, slash);
        rest = slice_from(url, name.n);
    }
    e = authority_parse(name, arena, &a);
    if (e != OK || slice_find(rest, '#') != SLICE_NOT_FOUND)
        return e != OK ? e : ERR_MALFORMED;
    *uri = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(a.host),
                        rest.n && rest.at[0] == '/' ? "" : "/", SLICE_ARG(rest));
    return slice_is_present(*uri) ? OK : ERR_NO_MEMORY;
}

static enum err
purge_by_uri(struct store *s, enum cache_purge_kind kind, struct slice what, bool soft)
{
    struct arena arena;
    struct slice uri;
    enum err e;

    arena_init(&arena, NULL, 0, 4 * what.n + 1024);
    e = read_uri(what, kind == CACHE_PURGE_URL, &arena, &uri);
    if (e == OK && kind == CACHE_PURGE_HOST && slice_find(uri, '/') != uri.n - 1)
        e = ERR_MALFORMED;
    if (e == OK && kind == CACHE_PURGE_URL)
        store_purge_tag(s, cache_purge_uri(uri), soft);
    else if (e == OK)
        store_purge_prefix(s, uri, soft);
    arena_free(&arena);
    return e;
}

enum err
cache_stores_purge(struct slice name, enum cache_purge_kind kind, struct slice what, bool soft)
{
    struct store *s = store_find(name);
    enum err e = OK;

    if (!s)
        return ERR_NOT_FOUND;
    switch (kind) {
    case CACHE_PURGE_URL:
    case CACHE_PURGE_PREFIX:
    case CACHE_PURGE_HOST: e = purge_by_uri(s, kind, what, soft); break;
    case CACHE_PURGE_TAG: store_purge_tag(s, store_tag_of(what), soft); break;
    case CACHE_PURGE_ALL: store_purge_all(s, soft); break;
    }
    store_drop(s);
    return e;
}
