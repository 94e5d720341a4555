/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/esi.c - which documents are pages of fragments, and what their heads say.
 *
 *     - esi
 *     - esi: {always: true, timeout: 2s, on_error: "<!-- not available -->"}
 *
 * Servers are told of us by Surrogate-Capability, and say by Surrogate-Control which of their
 * documents are to be read (W3C note "Edge Architecture Specification" 1.0).  Validators, lengths
 * and ranges of such a document say nothing about the page that is made of it.
 */
#include "middleware/esi/esi.h"

#include "base/check.h"
#include "middleware/middleware.h"

#define SECOND_US INT64_C(1000000)

enum { OUR_FIELDS = 16 }; /* that we, and members of the chain behind us, add */

#define CAPABILITY "Surrogate-Capability"
#define CONTROL "Surrogate-Control"

/* ------------------------------------------------------------------ the request */

enum asking {
    ASK_AS_IT_IS, /* conditions and ranges stay: most that passes here is no page */
    ASK_FOR_NEW,  /* no 304 for what may be an older, unprocessed copy */
    ASK_FOR_ALL,  /* nor a part of it */
};

static bool
is_left_out(enum field_id id, enum asking asking)
{
    switch (id) {
    case FIELD_ACCEPT_ENCODING: return true;
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE: return asking >= ASK_FOR_NEW;
    case FIELD_RANGE:
    case FIELD_IF_RANGE: return asking == ASK_FOR_ALL;
    default: return false;
    }
}

/* A list of its own: those who stand before us find theirs as it was. */
static bool
make_fields(struct exchange *x, const struct fields *from, enum asking asking)
{
    struct fields *f = &x->request.fields;
    const struct field *others = fields_find(from, SLICE(CAPABILITY));
    struct slice capability = SLICE("maitred=\"ESI/1.0\"");
    bool good = true;

    fields_init(f, &x->arena, from->n + OUR_FIELDS, from->max + OUR_FIELDS);
    for (uint32_t i = 0; i < from->n && good; i++)
        if (!is_left_out(from->at[i].id, asking))
            good = fields_append(f, from->at[i].name, from->at[i].value, from->at[i].id);
    if (others && others->value.n)
        capability = arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(others->value),
                                  SLICE_ARG(capability));
    return good && slice_is_present(capability) &&
           fields_set(f, FIELD_ACCEPT_ENCODING, SLICE("identity")) &&
           fields_set_named(f, SLICE(CAPABILITY), capability);
}

/* ------------------------------------------------------------------ which documents */

/* content="ESI/1.0", among other words too. */
static bool
content_is_esi(struct slice directive)
{
    struct slice value = directive, name = slice_trim(slice_cut(&value, '='));

    return slice_eq_nocase(name, SLICE("content")) && slice_is_present(value) &&
           slice_search(value, SLICE("ESI/1.0")) != SLICE_NOT_FOUND;
}

static bool
says_esi(const struct response *r)
{
    for (const struct field *f = NULL; (f = fields_next(&r->fields, f, SLICE(CONTROL)));) {
        struct slice rest = f->value, directive;

        while (slice_next_element(&rest, &directive))
            if (content_is_esi(directive))
                return true;
    }
    return false;
}

static bool
is_of_type(const struct esi *e, const struct response *r)
{
    struct slice type = fields_value(&r->fields, FIELD_CONTENT_TYPE);
    const struct slice *types = e->types.at;

    if (!slice_is_present(type))
        return false;
    type = slice_trim(slice_cut(&type, ';'));
    for (size_t i = 0; i < e->types.n; i++)
        if (slice_eq_nocase(types[i], type))
            return true;
    return false;
}

static bool
is_page(const struct esi *e, const struct response *r)
{
    return (e->always || says_esi(r)) && is_of_type(e, r);
}

/* What came is a part of a page, or says that an older copy will do. */
static bool
is_half_a_page(const struct esi *e, const struct exchange *x)
{
    const struct response *r = &x->response;

    if (x->request.body || (r->status != 206 && r->status != 304))
        return false;
    if (r->status == 304)
        return says_esi(r);
    return is_page(e, r) || says_esi(r) ||
           (e->always && slice_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE),
                                             SLICE("multipart/byteranges")));
}

/* ------------------------------------------------------------------ the answer */

static void
clean_head(struct fields *f)
{
    static const enum field_id gone[] = {
        FIELD_CONTENT_LENGTH,
        FIELD_ETAG,
        FIELD_LAST_MODIFIED,
        FIELD_ACCEPT_RANGES,
    };
    static const struct slice named[] = {
        SLICE_INIT(CONTROL),
        SLICE_INIT("Content-MD5"),
        SLICE_INIT("Digest"),
        SLICE_INIT("Content-Digest"),
        SLICE_INIT("Repr-Digest"),
    };

    for (size_t i = 0; i < countof(gone); i++)
        fields_remove(f, gone[i]);
    for (size_t i = 0; i < countof(named); i++)
        fields_remove_named(f, named[i]);
}

static void
make_page(const struct esi *e, struct exchange *x)
{
    struct response *r = &x->response;
    struct slice coding = fields_value(&r->fields, FIELD_CONTENT_ENCODING);
    struct body *page;

    if (coding.n && !slice_eq_nocase(coding, SLICE("identity"))) {
        exchange_refuse(x, 502, REASON_ESI_MALFORMED, "the document is encoded with %.*s",
                        SLICE_ARG(coding));
        return;
    }
    clean_head(&r->fields);
    r->variants = NULL;
    if (!r->body || x->request.method == METHOD_HEAD)
        return;
    page = esi_page(e, x, r->body);
    if (page)
        r->body = page;
    else
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "esi");
}

static bool
ask(struct exchange *x, const struct fields *from, enum asking asking)
{
    if (!make_fields(x, from, asking))
        return false;
    exchange_next(x);
    return true;
}

static void
esi_handle(const struct middleware *self, struct exchange *x)
{
    const struct esi *e = self->config;
    struct fields as_they_came = x->request.fields;
    bool good;

    if (slice_is_present(x->request.upgrade)) {
        exchange_next(x);
        return;
    }
    good = ask(x, &as_they_came, e->always ? ASK_FOR_NEW : ASK_AS_IT_IS);
    if (good && is_half_a_page(e, x)) {
        exchange_drop_response(x);
        good = ask(x, &as_they_came, ASK_FOR_ALL);
    }
    x->request.fields = as_they_came;
    if (!good)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "esi");
    else if (is_page(e, &x->response) && !status_has_no_body(x->response.status))
        make_page(e, x);
}

static void
esi_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct esi *e = self->config;

    (void) x;
    text_printf(out, "reads %s of %zu types, up to %lld fragments",
                e->always ? "documents" : "documents whose Surrogate-Control says ESI/1.0",
                e->types.n, (long long) e->most);
}

/* ------------------------------------------------------------------ at load */

static bool
esi_link(void *config, const struct middleware_linker *l)
{
    struct esi *e = config;

    e->keeper = l->keeper;
    return true;
}

static const struct option esi_options[] = {
    {"always", &option_bool, offsetof(struct esi, always), .preset = "no",
     .doc = "Read every document of these types; else only those whose server says "
            "`Surrogate-Control: content=\"ESI/1.0\"`."},
    {"types", &option_string, offsetof(struct esi, types), .flags = OPTION_LIST,
     .preset = "[text/html, application/xhtml+xml, text/xml, application/xml, text/plain]",
     .doc = "Types of content that are read; all others pass as they are."},
    {"parallel", &option_int, offsetof(struct esi, parallel), .preset = "16", .min = 1, .max = 256,
     .doc = "How many fragments of a document are asked for at a time."},
    {"fragments", &option_int, offsetof(struct esi, most), .preset = "1000", .min = 1,
     .max = 100000,
     .doc = "How many fragments a page may have in all, those of its fragments included. With one "
            "more the page breaks off."},
    {"depth", &option_int, offsetof(struct esi, depth), .preset = "3", .min = 1, .max = 5,
     .doc = "How many fragments may stand inside of each other; a loop ends here."},
    {"ahead", &option_bytes, offsetof(struct esi, ahead), .preset = "256KiB", .min = 4096,
     .max = 64 * 1024 * 1024,
     .doc = "How much of a document is read ahead of what is sent, its fragments included. An "
            "`attempt` has to fit in."},
    {"fragment_bytes", &option_bytes, offsetof(struct esi, fragment_bytes), .preset = "10MiB",
     .min = 1, .max = INT64_MAX, .doc = "A longer fragment has failed."},
    {"page_bytes", &option_bytes, offsetof(struct esi, page_bytes), .preset = "100MiB", .min = 1,
     .max = INT64_MAX,
     .doc = "When the fragments of a page are longer together, those that are left have failed."},
    {"timeout", &option_duration, offsetof(struct esi, timeout_us), .preset = "10s", .min = 1000,
     .max = 600 * SECOND_US,
     .doc = "How long a fragment may take until it is there; `maxwait` can only shorten it."},
    {"credentials", &option_choice, offsetof(struct esi, credentials), .preset = "same_host",
     .choices = compose_credentials_names, .doc = COMPOSE_CREDENTIALS_DOC},
    {"on_error", &option_string, offsetof(struct esi, on_error),
     .doc = "What stands in the place of a failed fragment for which the document has no other "
            "answer; may be empty. Without it, the page breaks off."},
    {NULL},
};

const struct middleware_ops middleware_esi = {
    .options =
        {
            .name = "esi",
            .doc = "Puts pages together from fragments (Edge Side Includes 1.0). Each fragment is "
                   "asked for as if a client had, through routes and caches.",
            .size = sizeof(struct esi),
            .options = esi_options,
            .ops = &middleware_esi,
        },
    .handle = esi_handle,
    .explain = esi_explain,
    .link = esi_link,
};
