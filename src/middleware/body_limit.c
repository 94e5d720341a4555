/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/body_limit.c - refuses requests whose body is too large.
 *
 *     - body_limit: 10MiB
 *
 * A Content-Length above the limit is refused before a server hears of the request.  A body without
 * one is counted as it passes: at the first byte too many it breaks off, the server's side is
 * abandoned like any request whose client went away, and the client gets 413.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/middleware.h"

struct body_limit {
    uint64_t max_bytes;
};

/* A body that ends with ERR_LIMIT where the wrapped one goes on past the limit. */
struct counted {
    struct body              body;
    struct body             *inner;
    struct exchange         *x;
    const struct body_limit *limit;
    uint64_t                 left;
    bool                     exceeded;
};

static struct counted *
counted_of(struct body *b)
{
    return container_of(b, struct counted, body);
}

static enum err
exceed(struct counted *c)
{
    c->exceeded = true;
    exchange_fault(c->x, REASON_BODY_TOO_LARGE, ERR_LIMIT, NULL);
    c->x->fault.limit = &c->limit->max_bytes;
    c->x->fault.limit_name = "body_limit";
    c->x->close_client = true; /* what the client still sends is nobody's */
    return ERR_LIMIT;
}

/* Trailers are there when the inner body has ended, not before. */
static enum err
passed_on(struct counted *c, enum err err)
{
    if (err == ERR_END)
        c->body.trailers = c->inner->trailers;
    return err;
}

static enum err
counted_next(struct body *b, struct slice *chunk)
{
    struct counted *c = counted_of(b);
    enum err err;

    if (c->exceeded)
        return ERR_LIMIT;
    err = body_next(c->inner, chunk);
    if (err != OK)
        return passed_on(c, err);
    if (chunk->n > c->left)
        return exceed(c);
    c->left -= chunk->n;
    return OK;
}

static void
counted_close(struct body *b)
{
    body_close(take(&counted_of(b)->inner));
}

static const struct body_ops counted_ops = {.next = counted_next, .close = counted_close};

/* NULL when out of memory. */
static struct counted *
count(struct body *inner, struct exchange *x, const struct body_limit *limit)
{
    struct counted *c = arena_new(&x->arena, struct counted);

    if (!c)
        return NULL;
    c->body.ops = &counted_ops;
    c->body.length = inner->length;
    c->inner = inner;
    c->x = x;
    c->limit = limit;
    c->left = limit->max_bytes;
    return c;
}

static void
refuse(const struct body_limit *limit, struct exchange *x)
{
    exchange_refuse_limit(x, 413, REASON_BODY_TOO_LARGE, &limit->max_bytes, "body_limit");
    x->close_client = true; /* cheaper for both than reading the body only to drop it */
}

/* A body of unknown length. */
static void
handle_counted(const struct body_limit *limit, struct exchange *x)
{
    struct counted *c = count(x->request.body, x, limit);

    if (!c) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "body_limit: out of memory");
        return;
    }
    x->request.body = &c->body;
    exchange_next(x);
    /* Whatever came of it: a server that has seen half a request has not answered this one. */
    if (c->exceeded && !x->started && !x->response.tunnel)
        refuse(limit, x);
}

static void
body_limit_handle(const struct middleware *self, struct exchange *x)
{
    const struct body_limit *limit = self->config;
    const struct body *body = x->request.body;

    if (body && body->length > 0 && (uint64_t) body->length > limit->max_bytes)
        refuse(limit, x);
    else if (body && body->length == BODY_LENGTH_UNKNOWN)
        handle_counted(limit, x);
    else
        exchange_next(x); /* no body, or one whose length the framing holds it to */
}

static void
body_limit_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct body_limit *limit = self->config;

    (void) x;
    text_printf(out, "refuses a body of more than %llu bytes",
                (unsigned long long) limit->max_bytes);
}

static const struct option body_limit_options[] = {
    {"max", &option_bytes, offsetof(struct body_limit, max_bytes), .flags = OPTION_REQUIRED,
     .doc = "The largest body, in bytes. A request with a larger one is answered 413 and its "
            "connection is closed; 0 takes requests without a body only."},
    {NULL},
};

const struct middleware_ops middleware_body_limit = {
    .options =
        {
            .name = "body_limit",
            .doc = "Refuses requests whose body is too large.",
            .size = sizeof(struct body_limit),
            .options = body_limit_options,
            .shorthand = "max",
            .ops = &middleware_body_limit,
        },
    .handle = body_limit_handle,
    .explain = body_limit_explain,
};
