/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/fault.c - makes trouble on purpose, to see what clients make of it.
 *
 *     - fault: {delay: {share: 10%, for: 2s}, abort: {share: 1%, status: 503}}
 *     - fault: {abort: {reset: true}, when: "header('x-chaos') == '1'"}
 *     - fault: {rate: 10KiB/s}
 *
 * Lots are drawn for each fault by itself: one request may be delayed and then refused.  A delayed
 * request is a fiber that sleeps; a client that goes away wakes it.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/middleware.h"
#include "middleware/share.h"
#include "runtime/fiber.h"

#define SECOND_US INT64_C(1000000)

enum { PIECES_PER_SECOND = 10, DEFAULT_STATUS = 503 };

struct delay {
    uint64_t share; /* millionths, like those below */
    uint64_t for_us;
};

struct abortion {
    uint64_t share;
    int64_t  status; /* 0: none given */
    bool     reset;
};

struct slowdown {
    uint64_t share;
    uint64_t bytes_per_s;
};

struct fault {
    struct delay    *delay; /* each may be NULL, but not all */
    struct abortion *abort;
    struct slowdown *rate;
    struct expr     *when;
};

/* ------------------------------------------------------------------ a slow body */

/* Small pieces of what the inner body gives, none before its time. */
struct slow {
    struct body  body;
    struct body *inner;
    struct slice rest; /* of the inner body's chunk */
    uint64_t     bytes_per_s, from_us, given;
};

static enum err
slow_next(struct body *b, struct slice *chunk)
{
    struct slow *s = container_of(b, struct slow, body);
    uint64_t piece = s->bytes_per_s / PIECES_PER_SECOND;
    enum err err = OK;

    if (s->rest.n == 0)
        err = body_next(s->inner, &s->rest);
    if (err == ERR_END)
        b->trailers = s->inner->trailers;
    if (err == OK)
        err = fiber_sleep_until(s->from_us + s->given * (uint64_t) SECOND_US / s->bytes_per_s);
    if (err != OK)
        return err;
    *chunk = slice_first(s->rest, piece ? piece : 1);
    s->rest = slice_from(s->rest, chunk->n);
    s->given += chunk->n;
    b->ended = s->inner->ended && s->rest.n == 0;
    return OK;
}

static void
slow_close(struct body *b)
{
    body_close(take(&container_of(b, struct slow, body)->inner));
}

static const struct body_ops slow_ops = {.next = slow_next, .close = slow_close};

static void
slow_down(const struct slowdown *rate, struct exchange *x)
{
    struct slow *s;

    if (!x->response.body || x->response.tunnel || !share_takes(rate->share))
        return;
    s = arena_new(&x->arena, struct slow);
    if (!s)
        return; /* it is a fault only if it works */
    *s = (struct slow){
        .body = {.ops = &slow_ops, .length = x->response.body->length},
        .inner = x->response.body,
        .bytes_per_s = rate->bytes_per_s,
        .from_us = loop_now_us(),
    };
    x->response.body = &s->body;
}

/* ------------------------------------------------------------------ per request */

/* Whoever is cancelled has no client any more: the edge ends such a connection with a reset. */
static void
abort_exchange(const struct abortion *a, struct exchange *x)
{
    if (!a->reset) {
        exchange_refuse(x, (unsigned) a->status, REASON_FAULT_INJECTED, NULL);
        return;
    }
    exchange_fault(x, REASON_FAULT_INJECTED, ERR_CANCELLED, "fault.abort.reset");
    fiber_cancel(fiber_self(), ERR_CANCELLED);
}

static void
fault_handle(const struct middleware *self, struct exchange *x)
{
    const struct fault *f = self->config;

    if (f->when && !expr_test(f->when, x)) {
        exchange_next(x);
        return;
    }
    if (f->delay && share_takes(f->delay->share) &&
        fiber_sleep_until(loop_now_us() + f->delay->for_us) != OK)
        return; /* the client is gone */
    if (f->abort && share_takes(f->abort->share)) {
        abort_exchange(f->abort, x);
        return;
    }
    exchange_next(x);
    if (f->rate)
        slow_down(f->rate, x);
}

static double
percent(uint64_t millionths)
{
    return (double) millionths / 1e4;
}

static void
fault_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct fault *f = self->config;
    const char *between = "";

    if (f->when && !expr_test(f->when, x)) {
        text_literal(out, "nothing: `when` is false");
        return;
    }
    if (f->delay) {
        text_printf(out, "delays %.4g%% by %.3g s", percent(f->delay->share),
                    (double) f->delay->for_us / 1e6);
        between = ", ";
    }
    if (f->abort) {
        text_printf(out, "%s%s %.4g%%", between, f->abort->reset ? "resets" : "refuses",
                    percent(f->abort->share));
        if (!f->abort->reset)
            text_printf(out, " with %u", (unsigned) f->abort->status);
        between = ", ";
    }
    if (f->rate)
        text_printf(out, "%ssends %.4g%% at %llu bytes a second", between,
                    percent(f->rate->share), (unsigned long long) f->rate->bytes_per_s);
}

/* ------------------------------------------------------------------ options */

/* `10KiB/s`: a size, and the second that everybody means. */
static bool
speed_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    struct config_node size = *node;

    if (node->kind == CONFIG_SCALAR && slice_ends(node->text, SLICE("/s")))
        size.text.n -= 2;
    return option_bytes.parse(b, o, &size, out);
}

static void
speed_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":[\"integer\",\"string\"]}");
}

static const struct option_kind option_speed = {
    .name = "speed",
    .syntax = "`10KiB/s`, `1MiB/s`",
    .size = sizeof(uint64_t),
    .parse = speed_parse,
    .schema = speed_schema,
};

#define SHARE(type)                                                                               \
    {"share", &option_percent, offsetof(struct type, share), .preset = "100%",                    \
     .doc = "Of the requests, by lot."}

static const struct option delay_options[] = {
    SHARE(delay),
    {"for", &option_duration, offsetof(struct delay, for_us), .flags = OPTION_REQUIRED,
     .min = 1000, .max = 3600 * SECOND_US, .doc = "How long, before anything else is done."},
    {NULL},
};

static const struct option_object delay_object = {
    .name = "fault_delay",
    .doc = "Lets requests wait.",
    .size = sizeof(struct delay),
    .options = delay_options,
    .shorthand = "for",
};

static const struct option abort_options[] = {
    SHARE(abortion),
    {"status", &option_int, offsetof(struct abortion, status), .min = 400, .max = 599,
     .doc = "The answer's status, 503 if not given; it has the reason `fault_injected`."},
    {"reset", &option_bool, offsetof(struct abortion, reset),
     .doc = "No answer at all: the connection (in HTTP/2, the stream) is reset."},
    {NULL},
};

static bool
abort_check(struct config_bind *b, void *object)
{
    struct abortion *a = object;

    if (a->reset && a->status)
        return config_bind_error(b, &a->status, "leave one of them out",
                                 "after a reset nobody sees a status");
    if (!a->status)
        a->status = DEFAULT_STATUS;
    return true;
}

static const struct option_object abort_object = {
    .name = "fault_abort",
    .doc = "Ends requests, without asking a server.",
    .size = sizeof(struct abortion),
    .options = abort_options,
    .shorthand = "status",
    .check = abort_check,
};

static const struct option rate_options[] = {
    SHARE(slowdown),
    {"to", &option_speed, offsetof(struct slowdown, bytes_per_s), .flags = OPTION_REQUIRED,
     .min = 1, .max = INT64_C(1) << 40, .doc = "Bytes of the answer's body in a second."},
    {NULL},
};

static const struct option_object rate_object = {
    .name = "fault_rate",
    .doc = "Slows answers down.",
    .size = sizeof(struct slowdown),
    .options = rate_options,
    .shorthand = "to",
};

static const struct option fault_options[] = {
    {"delay", &option_objects, offsetof(struct fault, delay), .object = &delay_object,
     .flags = OPTION_POINTER, .doc = "Lets requests wait."},
    {"abort", &option_objects, offsetof(struct fault, abort), .object = &abort_object,
     .flags = OPTION_POINTER, .doc = "Ends requests with an error or a reset."},
    {"rate", &option_objects, offsetof(struct fault, rate), .object = &rate_object,
     .flags = OPTION_POINTER, .doc = "Slows answers down."},
    {"when", &option_request_expr, offsetof(struct fault, when),
     .doc = "Only when this expression is true."},
    {NULL},
};

static bool
fault_check(struct config_bind *b, void *object)
{
    const struct fault *f = object;

    return f->delay || f->abort || f->rate ||
           config_bind_error(b, f, "say `delay`, `abort` or `rate`", "no fault is asked for");
}

const struct middleware_ops middleware_fault = {
    .options =
        {
            .name = "fault",
            .doc = "Injects faults, for tests of clients.",
            .size = sizeof(struct fault),
            .options = fault_options,
            .check = fault_check,
            .ops = &middleware_fault,
        },
    .handle = fault_handle,
    .explain = fault_explain,
};
