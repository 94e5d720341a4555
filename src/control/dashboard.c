/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/dashboard.c - answers with the files of the dashboard.
 *
 * Each is there twice, plain and compressed beforehand; both live as long as the program, so
 * nothing is copied.  Conditions and ranges are exchange_answer()'s.
 */
#include "control/dashboard.h"
#include "exchange/answer.h"
#include "http/accept_encoding.h"

struct embedded {
    struct representation base;
    struct slice          bytes;
};

static struct body *
embedded_open(struct representation *r, struct exchange *x, uint64_t offset, uint64_t length)
{
    const struct embedded *e = (const struct embedded *) r;

    return body_from_slice(&x->arena, slice_first(slice_from(e->bytes, offset), length));
}

static void
embedded_release(struct representation *r)
{
    (void) r; /* part of the program */
}

static const struct representation_ops embedded_ops = {embedded_open, embedded_release};

static const struct dashboard_file *
file_at(struct slice path)
{
    for (const struct dashboard_file *f = dashboard_files; f->path; f++)
        if (slice_eq(path, slice_str(f->path)))
            return f;
    return NULL;
}

static bool
takes_gzip(const struct exchange *x)
{
    struct accept_encoding accepted;

    accept_encoding_parse(&accepted, &x->request.fields);
    return accept_encoding_q(&accepted, SLICE("gzip")) > 0;
}

/* Nobody may frame the page, guess types or learn where a link was followed. */
static void
put_fields(struct exchange *x, const struct dashboard_file *f, bool gzip)
{
    struct fields *fields = &x->response.fields;

    fields_set(fields, FIELD_CONTENT_TYPE, slice_str(f->type));
    fields_set(fields, FIELD_CACHE_CONTROL,
               f->lasting ? SLICE("public, max-age=31536000, immutable") : SLICE("no-cache"));
    fields_set(fields, FIELD_ETAG, slice_str(gzip ? f->gzip_etag : f->etag));
    fields_set(fields, FIELD_VARY, SLICE("Accept-Encoding"));
    if (gzip)
        fields_set(fields, FIELD_CONTENT_ENCODING, SLICE("gzip"));
    fields_set(fields, FIELD_CONTENT_SECURITY_POLICY, slice_str(dashboard_policy));
    fields_set_named(fields, SLICE("X-Content-Type-Options"), SLICE("nosniff"));
    fields_set_named(fields, SLICE("Referrer-Policy"), SLICE("no-referrer"));
    fields_set_named(fields, SLICE("Cross-Origin-Opener-Policy"), SLICE("same-origin"));
}

bool
dashboard_answer(struct api_call *c)
{
    struct exchange *x = c->x;
    const struct dashboard_file *f = file_at(x->request.target.path);
    struct embedded *e;
    bool gzip;

    if (!f || (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD))
        return false;
    e = arena_new(&x->arena, struct embedded);
    if (!e) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "dashboard");
        return true;
    }
    gzip = takes_gzip(x);
    e->bytes = gzip ? f->gzip : f->plain;
    e->base = (struct representation){.ops = &embedded_ops, .length = e->bytes.n};
    e->base.validators.etag = slice_str(gzip ? f->gzip_etag : f->etag);
    exchange_respond(x, 200, SLICE(""), SLICE(""));
    exchange_fault(x, REASON_RESPOND, OK, NULL);
    put_fields(x, f, gzip);
    exchange_answer(x, &e->base);
    return true;
}
