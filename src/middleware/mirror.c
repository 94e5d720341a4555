/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/mirror.c - sends copies of requests to another upstream, to see how it would do.
 *
 *     - mirror: {to: shadow, share: 10%, max_body: 64KiB}
 *
 * The original is neither delayed nor changed.  A body is copied while it passes, at the pace at
 * which somebody pulls it, and the copy goes out when all of it has passed; what is too large, or
 * breaks off, is not mirrored.  Nobody sees what the other upstream answers.
 *
 * What is copied is the request as it is at this place of the chain: behind the middleware that
 * refuses and rewrites, a mirror sees what the servers see.
 */
#include "middleware/mirror.h"

#include "base/check.h"
#include "middleware/middleware.h"
#include "middleware/share.h"
#include "observe/log.h"
#include "runtime/quiesce.h"

#define SECOND_US INT64_C(1000000)

/* ------------------------------------------------------------------ a body that passes */

struct tee {
    struct body         body;
    struct body        *inner;
    struct mirror_copy *copy; /* NULL: sent, or dropped */
    uint64_t            left; /* until the announced end; UINT64_MAX: nothing was announced */
};

static void
tee_chunk(struct tee *t, struct slice chunk)
{
    if (!mirror_copy_put(t->copy, chunk)) {
        t->copy = NULL;
        return;
    }
    if (t->left != UINT64_MAX)
        t->left -= chunk.n < t->left ? chunk.n : t->left;
    /* Who knows the length does not ask for the end. */
    if (t->left == 0 || t->inner->ended)
        mirror_copy_send(take(&t->copy));
}

static void
tee_break(struct tee *t)
{
    if (t->copy)
        mirror_copy_break(take(&t->copy));
}

static enum err
tee_next(struct body *b, struct slice *chunk)
{
    struct tee *t = container_of(b, struct tee, body);
    enum err err = body_next(t->inner, chunk);

    b->ready = t->inner->ready;
    b->ended = t->inner->ended;
    b->trailers = t->inner->trailers;
    if (!t->copy)
        return err;
    if (err == OK)
        tee_chunk(t, *chunk);
    else if (err == ERR_END)
        mirror_copy_send(take(&t->copy));
    else
        tee_break(t);
    return err;
}

static void
tee_close(struct body *b)
{
    struct tee *t = container_of(b, struct tee, body);

    tee_break(t);
    body_close(take(&t->inner));
}

static const struct body_ops tee_ops = {.next = tee_next, .close = tee_close};

/* ------------------------------------------------------------------ per request */

static bool
is_too_large(const struct mirror *m, const struct body *b)
{
    if (!b || b->length == BODY_LENGTH_UNKNOWN || (uint64_t) b->length <= m->max_body)
        return false;
    mirror_counts(m)->too_large++;
    log_debug("not mirrored to=%.*s: the body has %lld bytes", SLICE_ARG(m->to),
              (long long) b->length);
    return true;
}

static void
wrap_body(struct exchange *x, struct mirror_copy *copy)
{
    struct body *inner = x->request.body;
    struct tee *t = arena_new(&x->arena, struct tee);

    if (!t) {
        mirror_copy_break(copy);
        return;
    }
    t->body = *inner;
    t->body.ops = &tee_ops;
    t->inner = inner;
    t->copy = copy;
    t->left = inner->length == BODY_LENGTH_UNKNOWN ? UINT64_MAX : (uint64_t) inner->length;
    x->request.body = &t->body;
}

static void
mirror(const struct mirror *m, struct exchange *x)
{
    struct mirror_copy *copy;

    if (is_too_large(m, x->request.body) || !(copy = mirror_copy_new(m, x)))
        return;
    if (!x->request.body || x->request.body->length == 0)
        mirror_copy_send(copy);
    else
        wrap_body(x, copy);
}

/* A tunnel has no copy; a second try of the same exchange gets none. */
static void
mirror_handle(const struct middleware *self, struct exchange *x)
{
    const struct mirror *m = self->config;
    void **seen = exchange_slot(x, self);

    if (!*seen && !slice_is_present(x->request.upgrade) && share_takes(m->share))
        mirror(m, x);
    *seen = x;
    exchange_next(x);
}

static void
mirror_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct mirror *m = self->config;

    if (slice_is_present(x->request.upgrade))
        text_literal(out, "nothing: the connection becomes a tunnel");
    else
        text_printf(out, "copies %.4g%% to %.*s", (double) m->share / 1e4, SLICE_ARG(m->to));
}

/* ------------------------------------------------------------------ at load */

static bool
mirror_link(void *config, const struct middleware_linker *l)
{
    struct mirror *m = config;

    m->terminal = l->terminal(l, m->to, config_where(l->config, &m->to));
    m->keeper = l->keeper;
    return m->terminal != NULL;
}

static bool
mirror_check(struct config_bind *b, void *object)
{
    struct mirror *m = object;
    uint64_t us = m->timeout_us;

    m->timeouts = (struct exchange_timeouts){.connect_us = us,
                                             .response_us = us,
                                             .send_us = us,
                                             .body_us = us,
                                             .total_us = us,
                                             .tunnel_us = us};
    m->workers = arena_calloc(config_bind_arena(b), WORKERS_MAX, sizeof(*m->workers));
    return m->workers || config_bind_error(b, m, NULL, "out of memory");
}

static const struct option mirror_options[] = {
    {"to", &option_string, offsetof(struct mirror, to), .flags = OPTION_REQUIRED,
     .doc = "Who gets the copies: the name of an upstream, or a server such as "
            "`http://10.0.0.1:8080`. Its answers are dropped."},
    {"share", &option_percent, offsetof(struct mirror, share), .preset = "100%",
     .doc = "How many of the requests, drawn by lot."},
    {"max_body", &option_bytes, offsetof(struct mirror, max_body), .preset = "64KiB",
     .max = 16 * 1024 * 1024, .doc = "Requests with a larger body are not copied."},
    {"timeout", &option_duration, offsetof(struct mirror, timeout_us), .preset = "10s",
     .min = 1000, .max = 600 * SECOND_US, .doc = "How long a copy may take in all."},
    {"most", &option_int, offsetof(struct mirror, most), .preset = "100", .min = 1, .max = 100000,
     .doc = "How many copies of each worker are in flight; while there are so many, no more are "
            "made."},
    {NULL},
};

const struct middleware_ops middleware_mirror = {
    .options =
        {
            .name = "mirror",
            .doc = "Sends copies of requests to another upstream, and drops what it answers. The "
                   "copies have `X-Mirrored: 1`; the original is neither delayed nor changed.",
            .size = sizeof(struct mirror),
            .options = mirror_options,
            .shorthand = "to",
            .check = mirror_check,
            .ops = &middleware_mirror,
        },
    .handle = mirror_handle,
    .explain = mirror_explain,
    .link = mirror_link,
};
