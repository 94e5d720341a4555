/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/grpc_web.c - browsers talk to gRPC servers.
 *
 *     - grpc_web
 *
 * Scripts in browsers can neither see trailers nor choose HTTP/2.  So gRPC-Web (gRPC's
 * PROTOCOL-WEB.md) puts the trailers behind the last message, as one more frame of the body, and
 * has a form in base64 for those who can only read text.  Requests that say so by their
 * Content-Type become gRPC on their way in, and their answers gRPC-Web on their way out, message by
 * message as they come; all others pass as they are.
 */
#include "base/check.h"
#include "exchange/grpc.h"
#include "middleware/grpc_text.h"
#include "middleware/middleware.h"

enum {
    BYTES_MAX = 6 * 1024, /* of a body that are translated at a time */
    LETTERS_MAX = GRPC_TEXT_LETTERS(BYTES_MAX),
    FRAME_HEAD = 5, /* flags, and the length in four bytes */
    FRAME_IS_TRAILERS = 0x80,
    TRAILERS_MAX = 64 * 1024,
};

/* ------------------------------------------------------------------ the request */

/* A body in base64, as the bytes that it stands for. */
struct decoded {
    struct body              body;
    struct body             *inner;
    struct slice             letters; /* of the inner body's chunk, not read yet */
    struct grpc_text_decoder decoder;
    bool                     malformed;
    char                     bytes[BYTES_MAX];
};

static enum err
pull_letters(struct decoded *d)
{
    enum err e = body_next(d->inner, &d->letters);

    if (e != ERR_END)
        return e;
    d->body.trailers = d->inner->trailers;
    d->malformed = !grpc_text_is_complete(&d->decoder);
    return d->malformed ? ERR_MALFORMED : ERR_END;
}

static enum err
decoded_next(struct body *b, struct slice *chunk)
{
    struct decoded *d = container_of(b, struct decoded, body);
    size_t n = 0;

    while (n == 0 && !d->malformed) {
        enum err e = d->letters.n ? OK : pull_letters(d);

        if (e != OK)
            return e;
        d->malformed = !grpc_text_decode(&d->decoder, &d->letters, d->bytes, sizeof(d->bytes), &n);
    }
    if (d->malformed)
        return ERR_MALFORMED;
    *chunk = slice_of(d->bytes, n);
    b->ready = d->letters.n || d->inner->ready;
    return OK;
}

static void
decoded_close(struct body *b)
{
    body_close(take(&container_of(b, struct decoded, body)->inner));
}

static const struct body_ops decoded_ops = {.next = decoded_next, .close = decoded_close};

/* False when out of memory. */
static bool
decode_body(struct exchange *x)
{
    struct decoded *d;

    if (!x->request.body)
        return true;
    d = arena_new(&x->arena, struct decoded);
    if (!d)
        return false;
    d->body = (struct body){
        .ops = &decoded_ops,
        .length = BODY_LENGTH_UNKNOWN,
        .ready = x->request.body->ready,
    };
    d->inner = x->request.body;
    x->request.body = &d->body;
    fields_remove(&x->request.fields, FIELD_CONTENT_LENGTH);
    return true;
}

/* ------------------------------------------------------------------ the last frame */

/* As lines of HTTP/1, but for the one that ends a head. */
static void
put_trailers(struct text *out, const struct fields *f)
{
    for (uint32_t i = 0; f && i < f->n; i++) {
        for (size_t c = 0; c < f->at[i].name.n; c++)
            text_byte(out, ascii_lower(f->at[i].name.at[c]));
        text_literal(out, ": ");
        text_put(out, f->at[i].value);
        text_literal(out, "\r\n");
    }
    if (!f || !fields_find(f, SLICE("grpc-status")))
        text_literal(out, "grpc-status: 2\r\ngrpc-message: the server ended without a status\r\n");
}

/* NULL when out of memory. */
static char *
make_frame(struct arena *arena, const struct fields *trailers, size_t *n)
{
    struct text lines;
    char *frame;

    text_init(&lines, TRAILERS_MAX);
    put_trailers(&lines, trailers);
    *n = FRAME_HEAD + lines.n;
    frame = lines.full ? NULL : arena_alloc(arena, *n);
    if (frame) {
        frame[0] = (char) FRAME_IS_TRAILERS;
        for (int i = 0; i < 4; i++)
            frame[1 + i] = (char) (lines.n >> (24 - 8 * i));
        memcpy(frame + FRAME_HEAD, lines.at, lines.n);
    }
    text_free(&lines);
    return frame;
}

/* ------------------------------------------------------------------ the answer */

struct answer {
    struct body   body;
    struct body  *inner;   /* NULL: the server's answer was only a head */
    struct arena *arena;
    struct fields status;  /* what stood in such a head and belongs behind it */
    struct slice  bytes;   /* not given out yet */
    bool          last;    /* they are the last frame */
    char         *letters; /* LETTERS_MAX of them; NULL: the answer is not text */
};

static enum err
pull_bytes(struct answer *a)
{
    enum err e = a->inner ? body_next(a->inner, &a->bytes) : ERR_END;
    const struct fields *trailers = a->inner ? a->inner->trailers : NULL;
    const char *frame;
    size_t n;

    if (e != ERR_END)
        return e;
    frame = make_frame(a->arena, a->status.n ? &a->status : trailers, &n);
    if (!frame)
        return ERR_NO_MEMORY;
    a->bytes = slice_of(frame, n);
    a->last = true;
    return OK;
}

/* Each piece is a run of letters of its own: what has come does not wait for what may follow. */
static struct slice
give_letters(struct answer *a)
{
    struct slice piece = slice_first(a->bytes, BYTES_MAX);

    grpc_text_encode(piece, a->letters);
    a->bytes = slice_from(a->bytes, piece.n);
    return slice_of(a->letters, GRPC_TEXT_LETTERS(piece.n));
}

static enum err
answer_next(struct body *b, struct slice *chunk)
{
    struct answer *a = container_of(b, struct answer, body);

    if (a->bytes.n == 0) {
        enum err e = a->last ? ERR_END : pull_bytes(a);

        if (e != OK)
            return e;
    }
    if (a->letters) {
        *chunk = give_letters(a);
    } else {
        *chunk = a->bytes;
        a->bytes.n = 0;
    }
    b->ended = a->last && a->bytes.n == 0;
    b->ready = a->bytes.n || a->last || !a->inner || a->inner->ready;
    return OK;
}

static void
answer_close(struct body *b)
{
    body_close(take(&container_of(b, struct answer, body)->inner));
}

static const struct body_ops answer_ops = {.next = answer_next, .close = answer_close};

/* A failed call is answered with a head alone, which has the status in it. */
static void
move_status(struct fields *head, struct fields *status)
{
    static const struct slice names[] = {
        SLICE_INIT("grpc-status"),
        SLICE_INIT("grpc-message"),
        SLICE_INIT("grpc-status-details-bin"),
    };

    for (size_t i = 0; i < countof(names); i++) {
        const struct field *f = fields_find(head, names[i]);

        if (!f)
            continue;
        fields_add_named(status, f->name, f->value);
        fields_remove_named(head, names[i]);
    }
}

/* False when out of memory. */
static bool
wrap_answer(struct exchange *x, bool text)
{
    struct response *r = &x->response;
    struct answer *a = arena_new(&x->arena, struct answer);

    if (!a || (text && !(a->letters = arena_alloc(&x->arena, LETTERS_MAX))))
        return false;
    a->body = (struct body){
        .ops = &answer_ops,
        .length = BODY_LENGTH_UNKNOWN,
        .ready = !r->body || r->body->ready,
    };
    a->inner = r->body;
    a->arena = &x->arena;
    fields_init(&a->status, &x->arena, 0, 3);
    move_status(&r->fields, &a->status);
    fields_remove(&r->fields, FIELD_CONTENT_LENGTH);
    fields_remove(&r->fields, FIELD_TRAILER);
    r->body = &a->body;
    return !a->status.overflow;
}

/* ------------------------------------------------------------------ both */

/* What the client wants to read: as its Accept says, else as it writes. */
static bool
wants_text(const struct exchange *x, enum grpc_kind writes)
{
    for (const struct field *f = NULL;
         (f = fields_next(&x->request.fields, f, SLICE("Accept")));) {
        struct slice rest = f->value, element;

        while (slice_next_element(&rest, &element)) {
            enum grpc_kind kind = grpc_kind(element, NULL);

            if (kind == GRPC_WEB || kind == GRPC_WEB_TEXT)
                return kind == GRPC_WEB_TEXT;
        }
    }
    return writes == GRPC_WEB_TEXT;
}

static bool
become_grpc(const struct middleware *self, struct exchange *x, enum grpc_kind kind,
            struct slice format)
{
    void **decoded = exchange_slot(x, self);
    struct slice type = arena_printf(&x->arena, "application/grpc%.*s", SLICE_ARG(format));

    /* Who stands before us may try again: the body is decoded by then. */
    if (kind == GRPC_WEB_TEXT && !*decoded) {
        if (!decode_body(x))
            return false;
        *decoded = x;
    }
    x->request.te_trailers = true;
    return slice_is_present(type) && fields_set(&x->request.fields, FIELD_CONTENT_TYPE, type);
}

static bool
become_web(struct exchange *x, bool text)
{
    struct slice format, type;

    /* A page, or nothing at all: as it is. */
    if (grpc_kind(fields_value(&x->response.fields, FIELD_CONTENT_TYPE), &format) != GRPC_PLAIN)
        return true;
    if (format.n == 0 || format.at[0] != '+')
        format = SLICE("+proto");
    type = arena_printf(&x->arena, "application/grpc-web%s%.*s", text ? "-text" : "",
                        SLICE_ARG(format));
    return slice_is_present(type) && fields_set(&x->response.fields, FIELD_CONTENT_TYPE, type) &&
           wrap_answer(x, text);
}

static void
grpc_web_handle(const struct middleware *self, struct exchange *x)
{
    struct slice type = fields_value(&x->request.fields, FIELD_CONTENT_TYPE), format;
    enum grpc_kind kind = grpc_kind(type, &format);
    bool good;

    if (kind != GRPC_WEB && kind != GRPC_WEB_TEXT) {
        exchange_next(x);
        return;
    }
    good = become_grpc(self, x, kind, format);
    if (good)
        exchange_next(x);
    /* As it was, for who stands before us. */
    fields_set(&x->request.fields, FIELD_CONTENT_TYPE, type);
    if (!good || !become_web(x, wants_text(x, kind)))
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "grpc_web");
}

static void
grpc_web_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    enum grpc_kind kind = grpc_asked(x);

    (void) self;
    if (kind == GRPC_WEB || kind == GRPC_WEB_TEXT)
        text_literal(out, "translates between gRPC-Web and gRPC");
    else
        text_literal(out, "nothing: the request is not gRPC-Web");
}

const struct middleware_ops middleware_grpc_web = {
    .options =
        {
            .name = "grpc_web",
            .doc =
                "Translates gRPC-Web, which scripts in browsers speak, to gRPC, and the answers "
                "back; other requests pass as they are. Leave to `headers` what is to be said of "
                "other origins (CORS).",
            .ops = &middleware_grpc_web,
        },
    .handle = grpc_web_handle,
    .explain = grpc_web_explain,
};
