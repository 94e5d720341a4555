/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/grpc.c - statuses, deadlines, and answers that have no body. */
#include "exchange/grpc.h"

#include "base/check.h"

enum {
    TRAILERS = 2,
    PREFIX = 5,        /* of a message: flags, and its length in four bytes */
    CLOCKS_US = 100000 /* as far apart are our clock and a server's */
};

/* ------------------------------------------------------------------ who speaks it */

enum grpc_kind
grpc_kind(struct slice type, struct slice *format)
{
    /* The longer ones first. */
    static const struct {
        struct slice   name;
        enum grpc_kind kind;
    } kinds[] = {
        {SLICE_INIT("application/grpc-web-text"), GRPC_WEB_TEXT},
        {SLICE_INIT("application/grpc-web"), GRPC_WEB},
        {SLICE_INIT("application/grpc"), GRPC_PLAIN},
    };

    for (size_t i = 0; i < countof(kinds); i++) {
        struct slice rest = slice_from(type, kinds[i].name.n);

        if (!slice_starts_nocase(type, kinds[i].name))
            continue;
        if (rest.n && rest.at[0] != '+' && rest.at[0] != ';' && rest.at[0] != ' ')
            return GRPC_NONE;
        if (format)
            *format = rest;
        return kinds[i].kind;
    }
    return GRPC_NONE;
}

enum grpc_kind
grpc_asked(const struct exchange *x)
{
    const struct fields *f = &x->request.fields;

    return fields_has(f, FIELD_CONTENT_TYPE) ? grpc_kind(fields_value(f, FIELD_CONTENT_TYPE), NULL)
                                             : GRPC_NONE;
}

/* ------------------------------------------------------------------ deadlines */

/* Microseconds, rounded up; false when it is none. */
static bool
read_timeout(struct slice text, uint64_t *us)
{
    enum { DIGITS_MAX = 8 };
    static const struct {
        char     unit;
        uint64_t us;
    } units[] = {
        {'H', UINT64_C(3600000000)}, {'M', 60000000}, {'S', 1000000}, {'m', 1000}, {'u', 1},
    };
    uint64_t n;

    if (text.n < 2 || text.n > DIGITS_MAX + 1 ||
        !slice_to_u64(slice_first(text, text.n - 1), UINT32_MAX, &n))
        return false;
    if (text.at[text.n - 1] == 'n') {
        *us = (n + 999) / 1000;
        return true;
    }
    for (size_t i = 0; i < countof(units); i++) {
        if (text.at[text.n - 1] == units[i].unit) {
            *us = n * units[i].us;
            return true;
        }
    }
    return false;
}

uint64_t
grpc_deadline_us(const struct exchange *x)
{
    const struct field *f;
    uint64_t us;

    if (grpc_asked(x) == GRPC_NONE)
        return 0;
    f = fields_find(&x->request.fields, SLICE("grpc-timeout"));
    return f && read_timeout(f->value, &us) ? x->times.started_us + us : 0;
}

bool
grpc_is_late(const struct exchange *x)
{
    return x->fault.reason == REASON_TOTAL_TIMEOUT ||
           (x->deadline_us && clock_monotonic_us() >= x->deadline_us);
}

/* ------------------------------------------------------------------ statuses */

/* gRPC's doc/http-grpc-status-mapping.md */
static enum grpc_status
status_of(unsigned http_status)
{
    switch (http_status) {
    case 400: return GRPC_INTERNAL;
    case 401: return GRPC_UNAUTHENTICATED;
    case 403: return GRPC_PERMISSION_DENIED;
    case 404: return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return GRPC_UNAVAILABLE;
    default: return GRPC_UNKNOWN;
    }
}

/* False: they do not say, or nothing that is understood. */
static bool
read_status(const struct fields *fields, uint32_t *status)
{
    const struct field *f = fields->n ? fields_find(fields, SLICE("grpc-status")) : NULL;
    uint64_t n;

    if (!f || !slice_to_u64(f->value, INT32_MAX, &n))
        return false;
    *status = (uint32_t) n;
    return true;
}

static void
note_status(struct exchange *x, const struct fields *fields)
{
    uint32_t status;

    if (!fields || !read_status(fields, &status))
        return;
    x->has_grpc_status = true;
    x->grpc_status = status;
}

/* Its own clock tells the server too that the client's deadline has come. */
static bool
is_clients_deadline(const struct exchange *x)
{
    return x->deadline_us && clock_monotonic_us() + CLOCKS_US >= x->deadline_us;
}

bool
grpc_server_failed(const struct exchange *x, const struct fields *fields)
{
    uint32_t status;

    if (grpc_asked(x) == GRPC_NONE || !read_status(fields, &status))
        return false;
    switch (status) {
    case GRPC_UNKNOWN:
    case GRPC_INTERNAL:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS: return true;
    case GRPC_DEADLINE_EXCEEDED: return !is_clients_deadline(x);
    default: return false;
    }
}

/* Of the answer that is there, or of the trailers behind one.  The sentences are printable ASCII
 * without percent signs, so that they are percent-encoded as they stand. */
static void
put_status(struct fields *f, struct exchange *x, enum grpc_status status)
{
    static const struct slice digits[] = {
        [GRPC_UNKNOWN] = SLICE_INIT("2"),
        [GRPC_DEADLINE_EXCEEDED] = SLICE_INIT("4"),
        [GRPC_PERMISSION_DENIED] = SLICE_INIT("7"),
        [GRPC_UNIMPLEMENTED] = SLICE_INIT("12"),
        [GRPC_INTERNAL] = SLICE_INIT("13"),
        [GRPC_UNAVAILABLE] = SLICE_INIT("14"),
        [GRPC_UNAUTHENTICATED] = SLICE_INIT("16"),
    };

    fields_add_named(f, SLICE("grpc-status"), digits[status]);
    fields_add_named(f, SLICE("grpc-message"), slice_str(reason_sentence(x->fault.reason)));
    x->has_grpc_status = true;
    x->grpc_status = status;
}

void
grpc_refuse(struct exchange *x, unsigned status)
{
    struct slice asked = fields_value(&x->request.fields, FIELD_CONTENT_TYPE);

    exchange_respond(x, 200, (struct slice){NULL, 0}, (struct slice){NULL, 0});
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE,
               grpc_asked(x) == GRPC_PLAIN ? SLICE("application/grpc") : asked);
    put_status(&x->response.fields, x,
               grpc_is_late(x) ? GRPC_DEADLINE_EXCEEDED : status_of(status));
}

/* ------------------------------------------------------------------ answers that break off */

struct finished {
    struct body      body;
    struct body     *inner;
    struct exchange *x;
    unsigned         prefix; /* bytes of the next message's that have come */
    uint32_t         length; /* as far as it has come */
    uint64_t         left;   /* of the message */
    struct fields    trailers; /* ours */
};

/* Where messages begin and end. */
static void
follow(struct finished *f, struct slice chunk)
{
    while (chunk.n) {
        size_t n = f->left < chunk.n ? f->left : chunk.n;

        f->left -= n;
        chunk = slice_from(chunk, n);
        if (chunk.n == 0)
            return;
        if (f->prefix > 0)
            f->length = f->length << 8 | (uint8_t) chunk.at[0];
        chunk = slice_from(chunk, 1);
        if (++f->prefix == PREFIX) {
            f->left = f->length;
            f->prefix = f->length = 0;
        }
    }
}

static enum err
make_end(struct finished *f)
{
    enum reason reason = f->x->fault.reason;
    enum grpc_status status = grpc_is_late(f->x)                    ? GRPC_DEADLINE_EXCEEDED
                              : reason == REASON_RESPONSE_MALFORMED ? GRPC_INTERNAL
                                                                    : GRPC_UNAVAILABLE;

    f->body.trailers = &f->trailers;
    if (f->trailers.n)
        return ERR_END;
    fields_init(&f->trailers, &f->x->arena, TRAILERS, TRAILERS);
    put_status(&f->trailers, f->x, status);
    return f->trailers.overflow ? ERR_NO_MEMORY : ERR_END;
}

static enum err
finished_next(struct body *b, struct slice *chunk)
{
    struct finished *f = container_of(b, struct finished, body);
    enum err e = body_next(f->inner, chunk);

    b->ready = f->inner->ready;
    b->ended = f->inner->ended;
    b->trailers = f->inner->trailers;
    if (e == OK)
        follow(f, *chunk);
    if (e == ERR_END || b->ended)
        note_status(f->x, b->trailers);
    /* A client that has gone hears nothing any more, and one that has half a message would wait for
     * the rest of it, whatever the trailers say. */
    if (e == OK || e == ERR_END || e == ERR_CANCELLED || f->prefix || f->left)
        return e;
    return make_end(f);
}

static void
finished_close(struct body *b)
{
    body_close(take(&container_of(b, struct finished, body)->inner));
}

static const struct body_ops finished_ops = {.next = finished_next, .close = finished_close};

void
grpc_finish(struct exchange *x)
{
    struct body *inner = x->response.body;
    struct finished *f;

    if (grpc_asked(x) != GRPC_NONE)
        note_status(x, &x->response.fields); /* of an answer that is only a head */
    if (!inner || inner->length != BODY_LENGTH_UNKNOWN || grpc_asked(x) == GRPC_NONE ||
        grpc_kind(fields_value(&x->response.fields, FIELD_CONTENT_TYPE), NULL) != GRPC_PLAIN)
        return;
    f = arena_new(&x->arena, struct finished);
    if (!f)
        return; /* it may still go well */
    f->body = *inner;
    f->body.ops = &finished_ops;
    f->inner = inner;
    f->x = x;
    x->response.body = &f->body;
}
