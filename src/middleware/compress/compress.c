/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/compress.c - responses are compressed as the client can read them.
 *
 *     - compress
 *
 * What is small leaves in one piece with its length; the rest is encoded chunk by chunk, and a
 * stream is flushed before anybody waits, so that nothing is delayed.  A response that comes from a
 * cache is encoded once: the form is left there (exchange/variants.h).  Clients that have an
 * earlier response may get the next one as what is new in it (dictionary.h).
 */
#include "middleware/compress/compress.h"
#include "base/check.h"
#include "base/clock.h"
#include "exchange/grpc.h"
#include "exchange/variants.h"
#include "http/accept_encoding.h"
#include "middleware/compress/coded.h"
#include "middleware/compress/dictionary.h"
#include "middleware/middleware.h"
#include "runtime/loop.h"

enum {
    WHOLE_BYTES = 128 * 1024, /* shorter ones are encoded before their head leaves */
    HEAVY_DICTIONARY = 256 * 1024,
};

/* What the client said, before anybody changed it. */
struct wish {
    struct accept_encoding accept;
};

/* ------------------------------------------------------------------ the request */

static const struct wish *
wish_of(const struct middleware *self, struct exchange *x)
{
    void **slot = exchange_slot(x, self);

    if (!*slot) {
        struct wish *w = arena_alloc(&x->arena, sizeof(*w));

        if (w)
            accept_encoding_parse(&w->accept, &x->request.fields);
        *slot = w;
    }
    return *slot;
}

/* The plain form is asked for before others only by name. */
static unsigned
q_of_plain(const struct accept_encoding *a)
{
    for (unsigned i = 0; i < a->n; i++)
        if (slice_eq_nocase(a->at[i].coding, SLICE("identity")))
            return a->at[i].q;
    return 0;
}

/* CODING_COUNT: none. */
static enum coding_id
choose(const struct compress *c, const struct accept_encoding *a)
{
    const int *offered = c->codings.at;
    enum coding_id best = CODING_COUNT;
    unsigned best_q = q_of_plain(a);

    for (size_t i = 0; i < c->codings.n; i++) {
        unsigned q = accept_encoding_q(a, codings[offered[i]]->name);

        if (q > best_q || (q && q == best_q && best == CODING_COUNT)) {
            best = (enum coding_id) offered[i];
            best_q = q;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ may it be? */

static int64_t
length_of(const struct exchange *x)
{
    uint64_t length;

    if (x->response.body)
        return x->response.body->length;
    if (slice_to_u64(fields_value(&x->response.fields, FIELD_CONTENT_LENGTH), INT64_MAX, &length))
        return (int64_t) length;
    return BODY_LENGTH_UNKNOWN;
}

static bool
has_content(const struct exchange *x)
{
    const struct response *r = &x->response;

    if (r->status < 200 || status_has_no_body(r->status) || r->status == 206 || r->tunnel)
        return false;
    return x->request.method == METHOD_HEAD || (r->body && r->body->length != 0);
}

/* Plain, and nobody has forbidden to change that. */
static bool
may_be_encoded(const struct exchange *x)
{
    const struct fields *f = &x->response.fields;

    return !fields_get(f, FIELD_CONTENT_ENCODING) &&
           !fields_list_has(f, FIELD_CACHE_CONTROL, SLICE("no-transform")) &&
           !fields_list_has(&x->request.fields, FIELD_CACHE_CONTROL, SLICE("no-transform"));
}

static bool
is_worth_it(const struct compress *c, struct slice type)
{
    return compress_type_matches(&c->types, type) && grpc_kind(type, NULL) == GRPC_NONE;
}

/* Whoever asks, whatever he takes. */
static bool
is_compressible(const struct compress *c, const struct exchange *x)
{
    const struct fields *f = &x->response.fields;
    int64_t length = length_of(x);

    return has_content(x) && (length < 0 || (uint64_t) length >= c->min_bytes) &&
           !fields_get(f, FIELD_CONTENT_RANGE) &&
           is_worth_it(c, fields_value(f, FIELD_CONTENT_TYPE)) && may_be_encoded(x);
}

/* A part, or word that nothing is new, of what would be compressed.  Where the type is not told, as
 * mostly in a 304 and in a 206 of several parts, it may be. */
static bool
is_of_compressible(const struct compress *c, const struct exchange *x)
{
    struct slice type = fields_value(&x->response.fields, FIELD_CONTENT_TYPE);
    bool told = slice_is_present(type) && !slice_starts_nocase(type, SLICE("multipart/byteranges"));

    return (x->response.status == 206 || x->response.status == 304) &&
           (!told || is_worth_it(c, type)) && may_be_encoded(x);
}

/* What the form depends on.  A 206 and a 304 have the Vary that a 200 would have (RFC 9110 15.3.7,
 * 15.4.5).  False: out of memory. */
static bool
say_vary(const struct compress *c, struct exchange *x)
{
    return compress_vary(x, SLICE("Accept-Encoding")) &&
           (!slice_is_present(c->dictionary) || compress_vary(x, SLICE("Available-Dictionary")));
}

/* ------------------------------------------------------------------ encoding */

static size_t
draw_padding(const struct compress *c)
{
    uint64_t dice;

    if (c->padding_bytes == 0)
        return 0;
    random_bytes(&dice, sizeof(dice));
    return 1 + (size_t) (dice % c->padding_bytes);
}

static struct coded_setup
setup_of(const struct compress *c, const struct exchange *x, enum coding_id id)
{
    const struct coding *coding = codings[id];
    int level = (int) c->levels[id];
    int64_t length = x->response.body->length;

    return (struct coded_setup){
        .ops = coding->encoder(level),
        .coder = {.level = level, .length = length, .padding = draw_padding(c)},
        .eager = length == BODY_LENGTH_UNKNOWN || c->flush == FLUSH_ALWAYS,
        .heavy = level >= coding->heavy,
        .counts = coding_counts(id),
    };
}

/* NULL: out of memory, or of coders; then the plain form goes out. */
static struct body *
encoded(struct exchange *x, const struct coded_setup *setup)
{
    bool whole = !setup->eager && setup->coder.length <= WHOLE_BYTES;
    struct body *plain = x->response.body, *b;

    if (whole)
        x->response.body = coded_gather(&x->arena, plain, WHOLE_BYTES);
    b = coded_body(&x->arena, x->response.body, setup);
    if (!b || !whole)
        return b;
    coded_complete(b);
    if (b->length >= 0 && x->response.body != plain)
        coded_gathered_forget(x->response.body);
    return b;
}

/* A body that nobody could read for want of a field does not go out. */
static void
replace_body(struct exchange *x, struct body *b, struct slice coding)
{
    x->response.body = b;
    x->response.variants = NULL;
    if (!compress_recoded(x, coding))
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "compress: out of memory");
}

static void
release_dictionary(void *arg)
{
    dictionary_release(arg);
}

static bool
serve_by_dictionary(const struct compress *c, struct exchange *x, const struct dictionary *d)
{
    struct coded_setup setup = setup_of(c, x, CODING_ZSTD);
    struct body *b;

    setup.coder.dictionary = d->bytes;
    setup.coder.dictionary_id = d->id;
    setup.heavy = setup.heavy || d->bytes.n > HEAVY_DICTIONARY;
    setup.release = release_dictionary;
    setup.arg = (void *) d;
    b = encoded(x, &setup);
    if (!b)
        return false;
    replace_body(x, b, SLICE("dcz"));
    return true;
}

/* A form that is kept beside the response, if there is one. */
static struct body *
kept(const struct compress *c, struct exchange *x, const struct coding *coding)
{
    struct variants *v = x->response.variants;
    unsigned effort = 0;
    struct body *b = v->ops->find(v, x, coding->name, &effort);

    if (b && effort < COMPRESS_BEST_EFFORT && c->hot_hits && v->hits >= c->hot_hits &&
        x->response.body->length <= (int64_t) c->hot_max_bytes)
        compress_again(v, coding, c->hot_max_bytes);
    return b;
}

static void
serve_encoded(const struct compress *c, struct exchange *x, enum coding_id id)
{
    const struct coding *coding = codings[id];
    struct variants *v = c->padding_bytes ? NULL : x->response.variants;
    struct body *b = v ? kept(c, x, coding) : NULL;

    if (b) {
        body_close(x->response.body);
    } else {
        struct coded_setup setup = setup_of(c, x, id);

        b = encoded(x, &setup);
        if (!b)
            return;
        if (v)
            b = v->ops->keep(v, x, coding->name, (unsigned) c->levels[id], b);
    }
    replace_body(x, b, coding->name);
}

/* ------------------------------------------------------------------ dictionaries */

/* A star stands for anything.  What it stands for grows until the rest matches. */
static bool
path_matches(struct slice pattern, struct slice path)
{
    struct slice behind_star = {NULL, 0}, tried = path;

    while (path.n || pattern.n) {
        if (pattern.n && pattern.at[0] == '*') {
            behind_star = pattern = slice_from(pattern, 1);
            tried = path;
        } else if (pattern.n && path.n && pattern.at[0] == path.at[0]) {
            pattern = slice_from(pattern, 1);
            path = slice_from(path, 1);
        } else if (slice_is_present(behind_star) && tried.n) {
            pattern = behind_star;
            path = tried = slice_from(tried, 1);
        } else {
            return false;
        }
    }
    return true;
}

/* Where the next version will be found, as a URL pattern; absent: this one is no use for it. */
static struct slice
pattern_for(const struct compress *c, const struct exchange *x)
{
    struct slice path = x->request.target.path;

    if (slice_eq(c->dictionary, SLICE("self"))) {
        for (size_t i = 0; i < path.n; i++)
            if (!ascii_is_alpha(path.at[i]) && !ascii_is_digit(path.at[i]) &&
                !strchr("/-._~%", path.at[i]))
                return (struct slice){NULL, 0};
        return path;
    }
    return path_matches(c->dictionary, path) ? c->dictionary : (struct slice){NULL, 0};
}

static void
offer_dictionary(const struct compress *c, struct exchange *x)
{
    struct slice pattern, field;

    if (x->response.status != 200 || x->request.method != METHOD_GET ||
        x->response.body->length > (int64_t) c->dictionary_max_bytes ||
        fields_list_has(&x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store")) ||
        fields_find(&x->response.fields, SLICE("Use-As-Dictionary")))
        return;
    pattern = pattern_for(c, x);
    if (!slice_is_present(pattern))
        return;
    field = arena_printf(&x->arena, "match=\"%.*s\"", SLICE_ARG(pattern));
    if (slice_is_present(field) &&
        fields_add_named(&x->response.fields, SLICE("Use-As-Dictionary"), field))
        dictionary_keep(x, c->dictionary_max_bytes);
}

/* True when the response went out that way. */
static bool
try_dictionary(const struct compress *c, struct exchange *x, const struct wish *w)
{
    const struct dictionary *d = NULL;

    if (accept_encoding_q(&w->accept, SLICE("dcz")))
        d = dictionary_available(x);
    if (!d)
        return false;
    if (serve_by_dictionary(c, x, d))
        return true;
    dictionary_release(d);
    return false;
}

/* ------------------------------------------------------------------ the response */

/* A client that asks whether W/"x" is still good hears of W/"x", not of "x". */
static void
answer_not_modified(struct exchange *x)
{
    struct slice asked = fields_value(&x->request.fields, FIELD_IF_NONE_MATCH);
    struct slice etag = fields_value(&x->response.fields, FIELD_ETAG);
    size_t at = etag.n ? slice_search(asked, etag) : SLICE_NOT_FOUND;

    if (at == SLICE_NOT_FOUND || at < 2 || memcmp(asked.at + at - 2, "W/", 2) != 0)
        return;
    (void) compress_weaken_etag(x);
}

static void
compress_response(const struct compress *c, struct exchange *x, const struct wish *w)
{
    enum coding_id id;

    if (x->response.status == 304)
        answer_not_modified(x);
    if (is_of_compressible(c, x))
        (void) say_vary(c, x);
    if (!is_compressible(c, x) || !say_vary(c, x) || (c->when && !expr_test(c->when, x)))
        return;
    id = choose(c, &w->accept);
    if (x->request.method == METHOD_HEAD) {
        if (id != CODING_COUNT && compress_recoded(x, codings[id]->name))
            body_close(take(&x->response.body));
        return;
    }
    if (slice_is_present(c->dictionary)) {
        offer_dictionary(c, x);
        if (try_dictionary(c, x, w))
            return;
    }
    if (id != CODING_COUNT)
        serve_encoded(c, x, id);
}

static void
compress_handle(const struct middleware *self, struct exchange *x)
{
    const struct compress *c = self->config;
    const struct wish *w = wish_of(self, x);

    if (c->from_server == SERVER_IDENTITY)
        fields_remove(&x->request.fields, FIELD_ACCEPT_ENCODING);
    exchange_next(x);
    if (w)
        compress_response(c, x, w);
}

static void
compress_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct compress *c = self->config;
    struct accept_encoding accept;
    enum coding_id id;

    accept_encoding_parse(&accept, &x->request.fields);
    id = choose(c, &accept);
    if (id == CODING_COUNT)
        text_literal(out, "leaves responses as they are: the client takes no coding of ours");
    else
        text_printf(out, "compresses responses with %.*s, level %lld",
                    SLICE_ARG(codings[id]->name), (long long) c->levels[id]);
}

const struct middleware_ops middleware_compress = {
    .options =
        {
            .name = "compress",
            .doc = "Compresses responses as their clients can read them: zstd, brotli, gzip.",
            .size = sizeof(struct compress),
            .options = compress_options,
            .shorthand = "codings",
            .check = compress_check,
            .takes_defaults = true,
            .ops = &middleware_compress,
        },
    .handle = compress_handle,
    .explain = compress_explain,
};
