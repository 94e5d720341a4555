/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/mirror_copy.c - an exchange that nobody waits for.
 *
 * It has memory, client facts, time-outs and a fiber of its own, so that it shares nothing with the
 * original but the snapshot, which it keeps.  It ends by itself: after the mirror's time-out it is
 * cancelled, whatever it is at.
 */
#include "base/check.h"
#include "middleware/mirror.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

enum {
    ARENA_MAX = 1024 * 1024,
    FIELDS_MAX = 512,
    OUR_FIELDS = 8,                 /* that the relay adds */
    DISCARD_MAX = 16 * 1024 * 1024, /* of an answer, to keep its connection */
};

struct mirror_copy {
    struct exchange      x;
    struct client        client;
    struct text          body;
    const struct mirror *mirror;
    struct fiber        *fiber;
    struct timer         timer;
};

struct mirror_counts *
mirror_counts(const struct mirror *m)
{
    return &m->workers[loop_self()->number];
}

/* ------------------------------------------------------------------ copying */

/* What was absent stays so; false when out of memory. */
static bool
own(struct arena *arena, struct slice *s)
{
    if (slice_is_present(*s))
        *s = arena_copy(arena, *s);
    else
        return true;
    return slice_is_present(*s);
}

static bool
copy_fields(struct exchange *x, const struct fields *from)
{
    struct fields *f = &x->request.fields;
    bool good = true;

    fields_init(f, &x->arena, from->n + OUR_FIELDS, FIELDS_MAX);
    for (uint32_t i = 0; i < from->n && good; i++) {
        struct field field = from->at[i];

        good = own(&x->arena, &field.name) && own(&x->arena, &field.value) &&
               fields_append(f, field.name, field.value, field.id);
    }
    /* Whoever answers it can tell, and send no mail for it. */
    return good && fields_set_named(f, SLICE("X-Mirrored"), SLICE("1"));
}

static bool
copy_request(struct exchange *x, const struct exchange *from)
{
    struct arena *arena = &x->arena;
    struct request *q = &x->request;
    struct target *t = &q->target;

    *q = from->request;
    q->body = NULL;
    q->upgrade = (struct slice){NULL, 0};
    q->expect_continue = q->te_trailers = false;
    if (!copy_fields(x, &from->request.fields))
        return false;
    fields_remove(&q->fields, FIELD_EXPECT);
    return own(arena, &q->method_token) && own(arena, &q->host) && own(arena, &q->authority) &&
           own(arena, &t->raw) && own(arena, &t->scheme) && own(arena, &t->authority) &&
           own(arena, &t->raw_path) && own(arena, &t->path) && own(arena, &t->query);
}

static enum err
inform_nobody(struct exchange *x, unsigned status, const struct fields *fields)
{
    (void) x;
    (void) status;
    (void) fields;
    return OK;
}

static bool
copy_exchange(struct mirror_copy *c, const struct exchange *from)
{
    static const struct exchange_ops ops = {.inform = inform_nobody};
    struct exchange *x = &c->x;

    c->client = *from->client;
    c->client.tls = NULL; /* it goes with the client's connection */
    x->ops = &ops;
    x->client = &c->client;
    x->client_address = from->client_address;
    x->client_ip = from->client_ip;
    x->scheme = from->scheme;
    x->request_id = from->request_id;
    x->serial = from->serial;
    x->config = from->config;
    x->route = from->route;
    x->timeouts = &c->mirror->timeouts;
    x->chain = x->next = c->mirror->terminal;
    x->slots = arena_calloc(&x->arena, 1, sizeof(*x->slots));
    fields_init(&x->response.fields, &x->arena, 0, FIELDS_MAX);
    return x->slots && copy_request(x, from) && own(&x->arena, &x->client_ip) &&
           own(&x->arena, &x->scheme) && own(&x->arena, &x->request_id) &&
           own(&x->arena, &c->client.peer_text) && own(&x->arena, &c->client.listener);
}

static void
drop(struct mirror_copy *c)
{
    struct middleware_keeper keeper = c->mirror->keeper;

    exchange_drop_response(&c->x);
    body_close(take(&c->x.request.body));
    text_free(&c->body);
    arena_free(&c->x.arena);
    mirror_counts(c->mirror)->in_flight--;
    free(c);
    keeper.release(keeper.snapshot);
}

struct mirror_copy *
mirror_copy_new(const struct mirror *m, const struct exchange *x)
{
    struct mirror_counts *counts = mirror_counts(m);
    struct mirror_copy *c;

    if (counts->in_flight >= (uint64_t) m->most) {
        counts->too_many++;
        log_debug("not mirrored to=%.*s: %llu are in flight", SLICE_ARG(m->to),
                  (unsigned long long) counts->in_flight);
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        counts->no_memory++;
        return NULL;
    }
    c->mirror = m;
    m->keeper.hold(m->keeper.snapshot);
    counts->in_flight++;
    arena_init(&c->x.arena, NULL, 0, ARENA_MAX);
    text_init(&c->body, m->max_body);
    if (copy_exchange(c, x))
        return c;
    counts->no_memory++;
    drop(c);
    return NULL;
}

bool
mirror_copy_put(struct mirror_copy *c, struct slice chunk)
{
    struct mirror_counts *counts = mirror_counts(c->mirror);

    text_put(&c->body, chunk);
    if (!c->body.full)
        return true;
    counts->too_large++;
    log_debug("not mirrored to=%.*s: the body has more than %llu bytes", SLICE_ARG(c->mirror->to),
              (unsigned long long) c->mirror->max_body);
    drop(c);
    return false;
}

void
mirror_copy_break(struct mirror_copy *c)
{
    mirror_counts(c->mirror)->broken++;
    drop(c);
}

/* ------------------------------------------------------------------ its life */

static void
on_timeout(struct timer *t)
{
    fiber_cancel(container_of(t, struct mirror_copy, timer)->fiber, ERR_CANCELLED);
}

static bool
lend_body(struct mirror_copy *c)
{
    struct body *b;

    if (c->body.n == 0)
        return true;
    b = c->x.request.body = body_from_slice(&c->x.arena, text_slice(&c->body));
    if (b)
        b->ready = true; /* it goes with the head, and can be sent again */
    return b != NULL;
}

static void
note_end(struct mirror_copy *c)
{
    const struct exchange *x = &c->x;
    struct mirror_counts *counts = mirror_counts(c->mirror);
    bool answered = x->response.status && x->fault.reason == REASON_NONE;

    counts->answered += answered;
    counts->failed += !answered;
    if (!answered)
        log_debug("mirrored request failed to=%.*s server=%.*s reason=%s failed=%llu answered=%llu",
                  SLICE_ARG(c->mirror->to), SLICE_ARG(x->relay.server),
                  reason_code(x->fault.reason), (unsigned long long) counts->failed,
                  (unsigned long long) counts->answered);
}

static void
live(void *arg)
{
    struct mirror_copy *c = arg;
    struct exchange *x = &c->x;

    x->times.received_us = x->times.started_us = loop_now_us();
    c->timer.fire = on_timeout;
    timer_set(&loop_self()->timers, &c->timer, loop_now_us() + c->mirror->timeout_us);
    if (lend_body(c))
        exchange_next(x);
    if (x->response.body)
        (void) body_discard(x->response.body, DISCARD_MAX);
    timer_clear(&loop_self()->timers, &c->timer);
    note_end(c);
    drop(c);
}

void
mirror_copy_send(struct mirror_copy *c)
{
    c->fiber = fiber_start("mirror", live, c);
    if (c->fiber)
        return;
    mirror_counts(c->mirror)->no_memory++;
    drop(c);
}
