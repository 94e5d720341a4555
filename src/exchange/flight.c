/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/flight.c - who is in flight, what they are doing, and how one of them is ended. */
#include "exchange/flight.h"

#include "base/check.h"
#include "base/text.h"
#include "exchange/route.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

static _Thread_local struct list flying; /* of struct exchange; zero: not made yet */

static struct list *
flying_self(void)
{
    if (!flying.next)
        list_init(&flying);
    return &flying;
}

void
flight_enter(struct exchange *x)
{
    x->fiber = fiber_self();
    list_append(flying_self(), &x->flight);
}

void
flight_leave(struct exchange *x)
{
    if (!x->flight.next)
        return;
    list_remove(&x->flight);
    x->flight = (struct list){NULL, NULL};
    x->fiber = NULL;
}

void
flight_visit(bool (*visit)(void *arg, struct exchange *x), void *arg)
{
    list_each (link, flying_self())
        if (!visit(arg, list_entry(link, struct exchange, flight)))
            return;
}

/* ------------------------------------------------------------------ what it is doing */

/* With a server, from the moment when one was asked for to the head of its answer. */
static const char *
relay_state(const struct exchange *x)
{
    const struct exchange_times *t = &x->times;

    if (!t->queued_us || t->first_byte_us >= t->queued_us)
        return NULL;
    if (t->connected_us < t->queued_us)
        return "waiting for a connection to a server";
    return t->sent_us < t->connected_us ? "sending the request" : "waiting for the server";
}

void
flight_state(const struct exchange *x, struct text *out)
{
    const struct middleware *m = exchange_at_work(x);
    const char *relay = relay_state(x);

    if (x->started || (x->response.status && !m))
        text_literal(out, "sending");
    else if (relay)
        text_put(out, slice_str(relay));
    else if (m)
        text_printf(out, "middleware %s", m->ops->options.name);
    else
        text_literal(out, "reading");
}

/* ------------------------------------------------------------------ copies */

/* JavaScript's numbers hold no more bits. */
static uint64_t
id_of(const struct exchange *x)
{
    _Static_assert(WORKERS_MAX <= 128, "seven bits for the worker");
    return (x->serial << 7 | loop_self()->number) & ((UINT64_C(1) << 53) - 1);
}

/* Whole characters; what is not UTF-8 becomes a question mark. */
static void
cut_text(char *out, size_t room, struct slice s)
{
    size_t at = 0;

    while (s.n) {
        size_t n = (unsigned char) s.at[0] < 0x80 ? 1 : text_utf8_length(s);

        if (at + (n ? n : 1) >= room)
            break;
        if (n)
            memcpy(out + at, s.at, n);
        else
            out[at] = '?';
        n = n ? n : 1;
        at += n;
        s = slice_from(s, n);
    }
    out[at] = '\0';
}

static void
copy(const struct exchange *x, struct flight *f)
{
    struct text state;

    memset(f, 0, sizeof(*f));
    f->id = id_of(x);
#define TEXT(member, value) cut_text(f->member, sizeof(f->member), value)
    TEXT(request_id, x->request_id);
    TEXT(trace_id, x->trace_id);
    TEXT(method, x->request.method_token);
    TEXT(host, x->request.host);
    TEXT(target, x->request.target.raw);
    TEXT(client, x->client_ip);
    TEXT(route, x->route ? x->route->name : SLICE(""));
    TEXT(server, x->relay.server);
#undef TEXT
    text_fixed(&state, f->state, sizeof(f->state) - 1);
    flight_state(x, &state);
    f->status = x->response.status;
    f->version = x->request.version;
    f->age_us = loop_now_us() - x->times.received_us;
    f->request_bytes = x->request_bytes;
    f->response_bytes = x->response_bytes;
}

/* ------------------------------------------------------------------ all of them */

struct census {
    pthread_mutex_t lock; /* of what follows */
    struct flight  *at;
    size_t          n, room, most;
};

struct census_share {
    struct census *census;
    size_t         n; /* of this worker */
};

static bool
count_in(void *arg, struct exchange *x)
{
    struct census_share *share = arg;
    struct census *c = share->census;

    if (share->n++ == c->most)
        return false;
    if (c->n == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct flight *grown = realloc(c->at, room * sizeof(*grown));

        if (!grown)
            return false;
        c->at = grown;
        c->room = room;
    }
    copy(x, &c->at[c->n++]);
    return true;
}

static void
count_all(void *arg)
{
    struct census_share share = {.census = arg};

    pthread_mutex_lock(&share.census->lock);
    flight_visit(count_in, &share);
    pthread_mutex_unlock(&share.census->lock);
}

static int
by_age(const void *one, const void *two)
{
    const struct flight *a = one, *b = two;

    return (a->age_us < b->age_us) - (a->age_us > b->age_us);
}

struct flight *
flights(size_t most, size_t *n)
{
    struct census c = {.lock = PTHREAD_MUTEX_INITIALIZER, .most = most};

    *n = 0;
    (void) workers_meet(count_all, &c);
    if (c.n)
        qsort(c.at, c.n, sizeof(*c.at), by_age);
    *n = c.n < most ? c.n : most;
    return c.at;
}

/* ------------------------------------------------------------------ one of them */

struct search {
    uint64_t       id;
    struct slice   request_id; /* absent: by id */
    bool           cancel;
    struct flight *out;   /* NULL: not wanted */
    atomic_bool    found; /* one worker has it at most, but for a request id that is there twice */
};

static bool
is_it(void *arg, struct exchange *x)
{
    struct search *s = arg;

    if (slice_is_present(s->request_id) ? !slice_eq(s->request_id, x->request_id)
                                        : s->id != id_of(x))
        return true;
    if (atomic_exchange(&s->found, true))
        return false;
    if (s->out)
        copy(x, s->out);
    if (s->cancel) {
        exchange_fault(x, REASON_CANCELLED, ERR_CANCELLED, "by an operator");
        fiber_cancel(x->fiber, ERR_CANCELLED);
    }
    return false;
}

static void
search(void *arg)
{
    flight_visit(is_it, arg);
}

bool
flight_find(uint64_t id, struct slice request_id, struct flight *out)
{
    struct search s = {.id = id, .request_id = request_id, .out = out};

    return workers_meet(search, &s) && s.found;
}

bool
flight_cancel(uint64_t id, struct slice request_id)
{
    struct search s = {.id = id, .request_id = request_id, .cancel = true};

    return workers_meet(search, &s) && s.found;
}
