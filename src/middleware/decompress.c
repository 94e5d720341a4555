/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/decompress.c - bodies in the form that the other side can read.
 *
 *     - decompress
 *
 * Requests are decoded for servers that cannot, or encoded for servers that can; responses are
 * decoded for clients that cannot.  A few bytes may stand for gigabytes: what comes out is counted,
 * against a limit and against what went in, and the body breaks off before memory or a server
 * suffers (413).
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "http/accept_encoding.h"
#include "middleware/compress/coded.h"
#include "middleware/compress/compress.h"
#include "middleware/middleware.h"

enum requests { REQUESTS_DECODE, REQUESTS_ENCODE, REQUESTS_PASS };

enum {
    CODINGS_MAX = 3,         /* one upon the other */
    WHOLE_BYTES = 64 * 1024, /* what is here and no longer goes on with its length */
};

struct decompress {
    int                requests;
    int                coding; /* enum coding_id */
    struct option_list types;
    uint64_t           min_bytes;
    uint64_t           max_bytes;
    int64_t            max_ratio;
    bool               responses;
};

/* The presets of `compress`. */
static const int levels[CODING_COUNT] = {[CODING_ZSTD] = 3, [CODING_BR] = 4, [CODING_GZIP] = 4};

/* One exchange's requests and what became of them; in the middleware's slot. */
struct incoming {
    struct exchange         *x;
    const struct decompress *d;
    enum err                 failed;
};

/* ------------------------------------------------------------------ bodies */

static struct coded_setup
decoding(const struct decompress *d, const struct coding *coding)
{
    return (struct coded_setup){
        .ops = coding->decoder,
        .coder.length = BODY_LENGTH_UNKNOWN,
        .eager = true,
        .max_bytes = d->max_bytes,
        .max_ratio = (uint64_t) d->max_ratio,
    };
}

static struct body *
recode(struct exchange *x, struct body *inner, const struct coded_setup *setup)
{
    struct body *b = coded_body(&x->arena, inner, setup);

    if (b && inner->ready && inner->length >= 0 && inner->length <= WHOLE_BYTES)
        coded_complete(b);
    return b;
}

/* Several lines are one list (RFC 9110 5.3): it stands in one afterwards.  False: out of memory. */
static bool
join_codings(struct fields *f, struct arena *arena)
{
    struct slice all = fields_value(f, FIELD_CONTENT_ENCODING);
    const struct field *first = fields_next(f, NULL, SLICE("Content-Encoding")), *next = first;

    while (first && (next = fields_next(f, next, SLICE("Content-Encoding"))))
        all = arena_printf(arena, "%.*s, %.*s", SLICE_ARG(all), SLICE_ARG(next->value));
    if (!first || all.at == first->value.at)
        return true;
    return slice_is_present(all) && fields_set(f, FIELD_CONTENT_ENCODING, all);
}

/* ------------------------------------------------------------------ requests */

static void
note_failure(void *arg, enum err e)
{
    struct incoming *in = arg;

    in->failed = e;
    exchange_fault(in->x, e == ERR_LIMIT ? REASON_BODY_TOO_LARGE : REASON_BAD_REQUEST, e,
                   "decompress: %s", err_sentence(e));
    in->x->close_client = true; /* what the client still sends is nobody's */
}

static void
refuse_coding(struct exchange *x, struct slice coding)
{
    exchange_refuse(x, 415, REASON_UNSUPPORTED, "decompress: Content-Encoding %.*s",
                    SLICE_ARG(coding));
    /* RFC 9110 15.5.16: what would have been taken. */
    fields_add(&x->response.fields, FIELD_ACCEPT_ENCODING, SLICE("gzip, br, zstd"));
    x->close_client = true;
}

static void
forget_form(struct fields *f)
{
    fields_remove(f, FIELD_CONTENT_LENGTH);
    fields_remove_named(f, SLICE("Content-MD5"));
    fields_remove_named(f, SLICE("Content-Digest"));
}

/* False when it has been refused. */
static bool
decode_request(struct incoming *in)
{
    struct exchange *x = in->x;
    struct slice rest, name;

    if (!join_codings(&x->request.fields, &x->arena)) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "decompress: out of memory");
        return false;
    }
    rest = fields_value(&x->request.fields, FIELD_CONTENT_ENCODING);
    for (unsigned i = 0; slice_is_present(name = content_encoding_last(&rest)); i++) {
        const struct coding *coding = coding_named(name);
        struct coded_setup setup;
        struct body *b;

        if (!coding || i == CODINGS_MAX) {
            refuse_coding(x, name);
            return false;
        }
        setup = decoding(in->d, coding);
        setup.failed = note_failure;
        setup.arg = in;
        b = recode(x, x->request.body, &setup);
        if (!b) {
            exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "decompress: out of memory");
            return false;
        }
        x->request.body = b;
    }
    fields_remove(&x->request.fields, FIELD_CONTENT_ENCODING);
    forget_form(&x->request.fields);
    return true;
}

static void
encode_request(struct incoming *in)
{
    struct exchange *x = in->x;
    const struct decompress *d = in->d;
    const struct coding *coding = codings[d->coding];
    const struct body *inner = x->request.body;
    struct coded_setup setup = {
        .ops = coding->encoder(levels[d->coding]),
        .coder = {.level = levels[d->coding], .length = inner->length},
        .eager = inner->length == BODY_LENGTH_UNKNOWN,
    };
    struct body *b;

    if ((inner->length >= 0 && (uint64_t) inner->length < d->min_bytes) ||
        fields_get(&x->request.fields, FIELD_CONTENT_RANGE) ||
        !compress_type_matches(&d->types, fields_value(&x->request.fields, FIELD_CONTENT_TYPE)))
        return;
    b = recode(x, x->request.body, &setup);
    if (!b)
        return;
    x->request.body = b;
    forget_form(&x->request.fields);
    fields_set(&x->request.fields, FIELD_CONTENT_ENCODING, coding->name);
}

/* False when it has been refused. */
static bool
prepare_request(struct incoming *in)
{
    const struct request *r = &in->x->request;
    bool coded = fields_get(&r->fields, FIELD_CONTENT_ENCODING) != NULL;

    if (!r->body || r->body->length == 0 || r->upgrade.n)
        return true;
    if (in->d->requests == REQUESTS_DECODE && coded)
        return decode_request(in);
    if (in->d->requests == REQUESTS_ENCODE && !coded)
        encode_request(in);
    return true;
}

/* Whatever came of it: a server that has seen half a request has not answered this one. */
static void
refuse_failed(const struct incoming *in)
{
    struct exchange *x = in->x;

    if (x->started || x->response.tunnel)
        return;
    if (in->failed == ERR_LIMIT)
        exchange_refuse_limit(x, 413, REASON_BODY_TOO_LARGE, &in->d->max_bytes, "decompress.max");
    else if (in->failed == ERR_NO_MEMORY)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "decompress: out of memory");
    else
        exchange_refuse(x, 400, REASON_BAD_REQUEST, "decompress: the body is malformed");
    x->close_client = true;
}

/* ------------------------------------------------------------------ responses */

static void
note_bad_response(void *arg, enum err e)
{
    struct exchange *x = arg;

    exchange_fault(x, e == ERR_NO_MEMORY ? REASON_OUT_OF_MEMORY : REASON_RESPONSE_MALFORMED, e,
                   "decompress: %s", err_sentence(e));
}

/* What the client cannot read of a Content-Encoding comes off, last first; what is left, absent
 * when it is plain then.  NULL in *b: out of memory. */
static struct slice
decode_for(const struct decompress *d, struct exchange *x, const struct accept_encoding *accept,
           struct body **b)
{
    struct slice rest = fields_value(&x->response.fields, FIELD_CONTENT_ENCODING);

    for (unsigned i = 0; i < CODINGS_MAX; i++) {
        struct slice all = rest, name = content_encoding_last(&rest);
        const struct coding *coding = slice_is_present(name) ? coding_named(name) : NULL;
        struct coded_setup setup;

        if (!coding || accept_encoding_q(accept, name))
            return all;
        setup = decoding(d, coding);
        setup.failed = note_bad_response;
        setup.arg = x;
        if (*b && !(*b = recode(x, *b, &setup)))
            return all;
    }
    return rest;
}

/* Coded, or a 304 of what may be, since that need not say so; and nobody has forbidden to change
 * it.  Vary says of each such response what its form depends on (RFC 9110 15.3.7, 15.4.5). */
static bool
may_be_decoded(const struct exchange *x)
{
    const struct response *r = &x->response;

    return (r->status == 304 || fields_has(&r->fields, FIELD_CONTENT_ENCODING)) && !r->tunnel &&
           !fields_list_has(&r->fields, FIELD_CACHE_CONTROL, SLICE("no-transform"));
}

static bool
has_content(const struct response *r)
{
    return !status_has_no_body(r->status) && !(r->body && r->body->length == 0);
}

/* A part of a coded form, which nobody can decode, for a client that does not take that coding. */
static bool
is_unreadable_part(const struct exchange *x)
{
    const struct fields *f = &x->response.fields;
    const struct field *each = NULL;
    struct slice rest = {NULL, 0}, name;
    struct accept_encoding accept;

    if (x->response.status != 206 || !may_be_decoded(x))
        return false;
    while ((each = fields_next(f, each, SLICE("Content-Encoding"))))
        rest = each->value;
    name = content_encoding_last(&rest);
    accept_encoding_parse(&accept, &x->request.fields);
    return slice_is_present(name) && coding_named(name) && !accept_encoding_q(&accept, name);
}

static bool
can_be_repeated(const struct request *q)
{
    return q->method == METHOD_GET && (!q->body || q->body->length == 0);
}

/* The whole can be decoded; a server may always answer with that (RFC 9110 14.2). */
static void
ask_for_whole(struct exchange *x)
{
    exchange_drop_response(x);
    fields_remove(&x->request.fields, FIELD_RANGE);
    fields_remove_named(&x->request.fields, SLICE("If-Range"));
    exchange_next(x);
}

/* False: out of memory. */
static bool
decode_content(const struct decompress *d, struct exchange *x)
{
    struct response *r = &x->response;
    struct slice before = fields_value(&r->fields, FIELD_CONTENT_ENCODING), left;
    struct accept_encoding accept;
    struct body *b = r->body;

    accept_encoding_parse(&accept, &x->request.fields);
    left = decode_for(d, x, &accept, &b);
    if (r->body && b)
        r->body = b;
    return (!r->body || b) && (left.n == before.n || compress_recoded(x, left));
}

static void
decode_response(const struct decompress *d, struct exchange *x)
{
    struct response *r = &x->response;

    if (!may_be_decoded(x))
        return;
    if (!join_codings(&r->fields, &x->arena) || !compress_vary(x, SLICE("Accept-Encoding")) ||
        (has_content(r) && r->status != 206 && !decode_content(d, x)))
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "decompress: out of memory");
}

/* ------------------------------------------------------------------ both */

static void
decompress_handle(const struct middleware *self, struct exchange *x)
{
    const struct decompress *d = self->config;
    void **slot = exchange_slot(x, self);
    struct incoming *in = *slot;

    /* Who stands before us may try again: the body is decoded by then. */
    if (!in) {
        in = *slot = arena_new(&x->arena, struct incoming);
        if (!in) {
            exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "decompress: out of memory");
            return;
        }
        *in = (struct incoming){.x = x, .d = d};
        if (!prepare_request(in))
            return;
    }
    exchange_next(x);
    if (d->responses && can_be_repeated(&x->request) && is_unreadable_part(x))
        ask_for_whole(x);
    if (in->failed != OK)
        refuse_failed(in);
    else if (d->responses)
        decode_response(d, x);
}

static void
decompress_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    static const char *const words[] = {
        [REQUESTS_DECODE] = "decodes its body for the server",
        [REQUESTS_ENCODE] = "encodes its body for the server",
        [REQUESTS_PASS] = "passes its body on as it is",
    };
    const struct decompress *d = self->config;

    (void) x;
    text_printf(out, "%s%s", words[d->requests],
                d->responses ? ", and responses for clients that cannot" : "");
}

static const char *const request_words[] = {
    [REQUESTS_DECODE] = "decode", [REQUESTS_ENCODE] = "encode", [REQUESTS_PASS] = "pass", NULL};
static const char *const coding_words[] = {
    [CODING_ZSTD] = "zstd", [CODING_BR] = "br", [CODING_GZIP] = "gzip", [CODING_COUNT] = NULL};

static const struct option decompress_options[] = {
    {"requests", &option_choice, offsetof(struct decompress, requests), .preset = "decode",
     .choices = request_words,
     .doc = "What becomes of bodies of requests: `decode` those that are compressed, for servers "
            "that cannot; `encode` those that are not, towards servers that can; `pass` them."},
    {"coding", &option_choice, offsetof(struct decompress, coding), .preset = "gzip",
     .choices = coding_words, .doc = "How `requests: encode` encodes."},
    {"types", &option_string, offsetof(struct decompress, types), .flags = OPTION_LIST,
     .preset = COMPRESS_TYPES, .doc = "Types of bodies that `requests: encode` encodes."},
    {"min_length", &option_bytes, offsetof(struct decompress, min_bytes), .preset = "1KiB",
     .max = INT64_MAX, .doc = "Bodies that are known to be shorter are not encoded."},
    {"max", &option_bytes, offsetof(struct decompress, max_bytes), .preset = "64MiB", .min = 1,
     .max = INT64_MAX,
     .doc = "Longest body that may come out of decoding. A request with a longer one is answered "
            "413, a response breaks off."},
    {"ratio", &option_int, offsetof(struct decompress, max_ratio), .preset = "200", .min = 1,
     .max = 1000000,
     .doc = "How many times what went in may come out of decoding, once it is more than 1 MiB."},
    {"responses", &option_bool, offsetof(struct decompress, responses), .preset = "true",
     .doc = "Decode responses for clients that do not take their coding. Who asks for a part of "
            "one gets the whole, since a part cannot be decoded."},
    {NULL},
};

const struct middleware_ops middleware_decompress = {
    .options =
        {
            .name = "decompress",
            .doc = "Bodies in the form that servers and clients can read: zstd, brotli, gzip.",
            .size = sizeof(struct decompress),
            .options = decompress_options,
            .shorthand = "requests",
            .takes_defaults = true,
            .ops = &middleware_decompress,
        },
    .handle = decompress_handle,
    .explain = decompress_explain,
};
