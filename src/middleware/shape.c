/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/shape.c - no faster than so many bytes a second.
 *
 *     - shape: 50KiB/s                                         each response by itself
 *     - shape: {rate: 1MiB/s, burst: 4MiB, per: client}        all that a client has under way
 *     - shape: {rate: 100MiB/s, per: route, of: both}
 *
 * Bodies pass in pieces of what leaves in a twentieth of a second, each at its time (shape.h).
 * Who shares a pace takes turns, piece by piece, whichever worker they are on.  The rate is that of
 * bodies: heads and the framing of HTTP, TLS and TCP come on top.
 */
#include "middleware/shape.h"

#include "base/check.h"
#include "base/map.h"
#include "exchange/exchange.h"
#include "middleware/middleware.h"
#include "middleware/speed.h"
#include "runtime/loop.h"

enum { PIECES_PER_SECOND = 20, PIECE_MIN = 512, PIECE_MAX = 256 * 1024 };
enum { SLACK_NS = 50000000 }; /* timers are late by a millisecond or two: that is made up for */

enum per { PER_EXCHANGE, PER_CLIENT, PER_ROUTE };
enum of { OF_RESPONSE, OF_REQUEST, OF_BOTH };
enum way { DOWN, UP, WAYS };

struct shape {
    uint64_t         bytes_per_s, burst;
    int              per; /* enum per */
    int              of;  /* enum of */
    struct pace_rate rate;
    size_t           piece;
    pace            *route; /* one for each way; the one thing here that is written */
};

struct shaped {
    struct body         body;
    struct body        *inner;
    const struct shape *shape;
    struct slice        rest; /* of the inner body's chunk */
    uint64_t            hash; /* of the client; 0: not by client */
    pace                own;
    pace               *shared; /* NULL: own, or the client's */
};

/* ------------------------------------------------------------------ as bytes pass */

static uint64_t
due_us(struct shaped *s, uint64_t n)
{
    const struct pace_rate *rate = &s->shape->rate;

    if (s->hash)
        return pace_take_of(s->hash, &s->own, rate, n, loop_now_us());
    return pace_take(s->shared ? s->shared : &s->own, rate, n, loop_now_us());
}

static enum err
wait_for_turn(struct shaped *s, uint64_t n)
{
    uint64_t at_us = due_us(s, n);

    return at_us <= loop_now_us() ? OK : fiber_sleep_until(at_us);
}

static enum err
next(struct body *b, struct slice *chunk)
{
    struct shaped *s = container_of(b, struct shaped, body);
    struct slice piece;
    enum err e = OK;

    b->ready = false;
    if (s->rest.n == 0)
        e = body_next(s->inner, &s->rest);
    b->trailers = s->inner->trailers;
    if (e != OK)
        return e;
    piece = slice_first(s->rest, s->shape->piece);
    e = wait_for_turn(s, piece.n);
    if (e != OK)
        return e;
    s->rest = slice_from(s->rest, piece.n);
    b->ended = s->inner->ended && s->rest.n == 0;
    *chunk = piece;
    return OK;
}

static void
close_body(struct body *b)
{
    body_close(take(&container_of(b, struct shaped, body)->inner));
}

static const struct body_ops shaped_ops = {.next = next, .close = close_body};

/* ------------------------------------------------------------------ per request */

/* Of IPv6 the network, which is what one subscriber has; not 0. */
static uint64_t
hash_of(const struct shape *shape, const union address *client, enum way way)
{
    struct {
        const void *shape;
        uint64_t    way;
        uint8_t     ip[16];
    } key = {.shape = shape, .way = way};
    union address from = *client;
    uint64_t hash;

    address_unmap(&from);
    if (from.any.sa_family == AF_INET6)
        memcpy(key.ip, &from.v6.sin6_addr, 8);
    else if (from.any.sa_family == AF_INET)
        memcpy(key.ip, &from.v4.sin_addr, 4);
    hash = hash_bytes(slice_of((const char *) &key, sizeof(key)));
    return hash ? hash : 1;
}

/* The body as it is when there is no memory for a slower one. */
static struct body *
slow_down(const struct shape *shape, struct exchange *x, struct body *inner, enum way way)
{
    struct shaped *s;

    if (!inner || inner->length == 0)
        return inner;
    s = arena_new(&x->arena, struct shaped);
    if (!s)
        return inner;
    s->body = (struct body){.ops = &shaped_ops, .length = inner->length};
    s->inner = inner;
    s->shape = shape;
    if (shape->per == PER_CLIENT)
        s->hash = hash_of(shape, &x->client_address, way);
    else if (shape->per == PER_ROUTE)
        s->shared = &shape->route[way];
    /* Nobody has used a pace of its own yet: the first piece will not wait. */
    s->body.ready = shape->per == PER_EXCHANGE && inner->ready;
    return &s->body;
}

static void
shape_handle(const struct middleware *self, struct exchange *x)
{
    const struct shape *shape = self->config;

    if (shape->of != OF_RESPONSE && !slice_is_present(x->request.upgrade))
        x->request.body = slow_down(shape, x, x->request.body, UP);
    exchange_next(x);
    if (shape->of != OF_REQUEST && !x->response.tunnel)
        x->response.body = slow_down(shape, x, x->response.body, DOWN);
}

static const char *const pers[] = {
    [PER_EXCHANGE] = "exchange", [PER_CLIENT] = "client", [PER_ROUTE] = "route", NULL};
static const char *const ofs[] = {
    [OF_RESPONSE] = "response", [OF_REQUEST] = "request", [OF_BOTH] = "both", NULL};

static void
shape_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct shape *shape = self->config;

    (void) x;
    text_printf(out, "at most %llu bytes a second per %s, of %s",
                (unsigned long long) shape->bytes_per_s, pers[shape->per],
                shape->of == OF_BOTH ? "both bodies" : ofs[shape->of]);
}

/* ------------------------------------------------------------------ at load */

static size_t
piece_of(uint64_t bytes_per_s)
{
    uint64_t piece = bytes_per_s / PIECES_PER_SECOND;

    return piece < PIECE_MIN ? PIECE_MIN : piece > PIECE_MAX ? PIECE_MAX : (size_t) piece;
}

static bool
shape_check(struct config_bind *b, void *object)
{
    struct shape *shape = object;
    /* In floating point: the product does not fit into 64 bits, and nothing here is exact. */
    double burst_ns = (double) shape->burst * 1e9 / (double) shape->bytes_per_s;

    shape->rate.bytes_per_s = shape->bytes_per_s;
    shape->rate.burst_ns = (uint64_t) burst_ns + SLACK_NS;
    shape->piece = piece_of(shape->bytes_per_s);
    shape->route = arena_calloc(config_bind_arena(b), WAYS, sizeof(*shape->route));
    return shape->route || config_bind_error(b, shape, NULL, "out of memory");
}

static const struct option shape_options[] = {
    {"rate", &speed_option, offsetof(struct shape, bytes_per_s), .flags = OPTION_REQUIRED,
     .min = 16, .max = INT64_C(1) << 40, .doc = "Bytes of bodies, in a second."},
    {"burst", &option_bytes, offsetof(struct shape, burst), .preset = "0",
     .max = INT64_C(1) << 32,
     .doc = "So many bytes may pass at once after a time of silence, besides what passes in 50 ms "
            "in any case."},
    {"per", &option_choice, offsetof(struct shape, per), .choices = pers, .preset = "exchange",
     .doc = "Who shares the rate: nobody, all exchanges of a client (an IPv4 address, an IPv6 "
            "network of 64 bits), or all that pass this entry of a `use:`. Workers share it too."},
    {"of", &option_choice, offsetof(struct shape, of), .choices = ofs, .preset = "response",
     .doc = "Which bodies; with `both`, each way has the rate for itself."},
    {NULL},
};

const struct middleware_ops middleware_shape = {
    .options =
        {
            .name = "shape",
            .doc = "Lets bodies pass no faster than so many bytes a second.",
            .size = sizeof(struct shape),
            .options = shape_options,
            .shorthand = "rate",
            .check = shape_check,
            .ops = &middleware_shape,
        },
    .handle = shape_handle,
    .explain = shape_explain,
};
