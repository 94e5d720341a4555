/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/trace_ring.c - finished traces: a ring on each worker for readers, a queue for the
 * exporter.
 *
 * Both are the worker's own.  Readers send a function round and get references.
 */
#include "exchange/trace_ring.h"

#include "base/check.h"
#include "exchange/flight.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

/* The newest `n` things, or the oldest: whatever the room is at the moment. */
struct ring {
    struct trace **at;
    size_t         room, n, first;
};

static _Thread_local struct ring kept, waiting;
static _Thread_local uint64_t dropped;

/* ------------------------------------------------------------------ rings */

static struct trace *
ring_pop(struct ring *r)
{
    struct trace *t = r->at[r->first];

    CHECK(r->n > 0);
    r->first = (r->first + 1) % r->room;
    r->n--;
    return t;
}

/* The configuration has changed: the newest that fit stay.  False: no memory, or no room wanted. */
static bool
ring_resize(struct ring *r, size_t room)
{
    struct trace **at;
    size_t n = 0;

    if (r->room == room)
        return room != 0;
    while (r->n > room)
        trace_release(ring_pop(r));
    at = room ? malloc(room * sizeof(*at)) : NULL;
    if (room && !at)
        return false;
    while (r->n)
        at[n++] = ring_pop(r);
    free(r->at);
    *r = (struct ring){at, room, n, 0};
    return room != 0;
}

static void
ring_append(struct ring *r, struct trace *t)
{
    CHECK(r->n < r->room);
    r->at[(r->first + r->n++) % r->room] = t;
}

static void
export_later(struct trace *t)
{
    if (!t->sampled || !t->queue)
        return;
    if (ring_resize(&waiting, t->queue) && waiting.n < waiting.room)
        ring_append(&waiting, trace_hold(t));
    else
        dropped++;
}

void
trace_keep(struct trace *t)
{
    export_later(t);
    if (!ring_resize(&kept, t->keep)) {
        trace_release(t);
        return;
    }
    if (kept.n == kept.room)
        trace_release(ring_pop(&kept));
    ring_append(&kept, t);
}

void
trace_exit(void)
{
    (void) ring_resize(&kept, 0);
    (void) ring_resize(&waiting, 0);
}

/* ------------------------------------------------------------------ what readers get */

/* References of all workers. */
struct harvest {
    pthread_mutex_t           lock; /* of the list */
    const struct trace_query *query;
    struct slice              id; /* present: only the one with it */
    struct trace            **at;
    size_t                    n, room;
    uint64_t                  dropped;
};

/* Takes the reference. */
static bool
reap(struct harvest *h, struct trace *t)
{
    if (h->n == h->room) {
        size_t room = h->room ? h->room * 2 : 64;
        struct trace **grown = realloc(h->at, room * sizeof(*grown));

        if (!grown) {
            trace_release(t);
            return false;
        }
        h->at = grown;
        h->room = room;
    }
    h->at[h->n++] = t;
    return true;
}

static bool
has_status(unsigned status, unsigned wanted)
{
    return wanted == 0 || status == wanted || (wanted < 10 && status / 100 == wanted);
}

static bool
is_named(const struct trace *t, struct slice request_id, struct slice id)
{
    return slice_eq_nocase(slice_of(t->id_text, sizeof(t->id_text)), id) ||
           (request_id.n && slice_eq(request_id, id));
}

static bool
is_asked_for(const struct harvest *h, const struct trace *t)
{
    const struct trace_query *q = h->query;

    if (slice_is_present(h->id))
        return is_named(t, t->request_id, h->id);
    return has_status(t->status, q->status) &&
           (!slice_is_present(q->route) || slice_eq(t->route, q->route));
}

static bool
reap_flying(void *arg, struct exchange *x)
{
    struct harvest *h = arg;
    struct trace *t;

    if (!x->trace || (slice_is_present(h->id) && !is_named(x->trace, x->request_id, h->id)))
        return true;
    t = trace_copy(x);
    if (!t)
        return false;
    if (is_asked_for(h, t))
        return reap(h, t);
    trace_release(t);
    return true;
}

/* On each worker; the newest first, so that no more than were asked for are taken. */
static void
reap_worker(void *arg)
{
    struct harvest *h = arg;
    size_t most = h->query->most ? h->query->most : SIZE_MAX;

    pthread_mutex_lock(&h->lock);
    if (h->query->in_flight)
        flight_visit(reap_flying, h);
    for (size_t i = kept.n; i-- > 0 && most > 0;) {
        struct trace *t = kept.at[(kept.first + i) % kept.room];

        if (!is_asked_for(h, t))
            continue;
        most--;
        if (!reap(h, trace_hold(t)))
            break;
    }
    pthread_mutex_unlock(&h->lock);
}

static int
newest_first(const void *one, const void *two)
{
    const struct trace *const *a = one, *const *b = two;

    return ((*a)->began_us < (*b)->began_us) - ((*a)->began_us > (*b)->began_us);
}

static void
reap_all(struct harvest *h)
{
    (void) workers_meet(reap_worker, h);
    if (h->n)
        qsort(h->at, h->n, sizeof(struct trace *), newest_first);
}

void
trace_each(const struct trace_query *query, void (*visit)(void *arg, struct trace *t), void *arg)
{
    struct harvest h = {.lock = PTHREAD_MUTEX_INITIALIZER, .query = query};

    reap_all(&h);
    for (size_t i = 0; i < h.n; i++) {
        if (!query->most || i < query->most)
            visit(arg, h.at[i]);
        trace_release(h.at[i]);
    }
    free(h.at);
}

struct trace *
trace_find(struct slice id)
{
    static const struct trace_query all = {.in_flight = true};
    struct harvest h = {.lock = PTHREAD_MUTEX_INITIALIZER, .query = &all, .id = id};
    struct trace *found;

    if (id.n == 0)
        return NULL;
    reap_all(&h);
    found = h.n ? h.at[h.n - 1] : NULL;
    for (size_t i = 0; i + 1 < h.n; i++)
        trace_release(h.at[i]);
    free(h.at);
    return found;
}

/* ------------------------------------------------------------------ for the exporter */

static void
take_worker(void *arg)
{
    struct harvest *h = arg;

    pthread_mutex_lock(&h->lock);
    h->dropped += dropped;
    dropped = 0;
    while (waiting.n)
        if (!reap(h, ring_pop(&waiting)))
            h->dropped++;
    pthread_mutex_unlock(&h->lock);
}

struct trace **
trace_take(size_t *n, uint64_t *lost)
{
    struct harvest h = {.lock = PTHREAD_MUTEX_INITIALIZER};

    (void) workers_meet(take_worker, &h);
    *n = h.n;
    *lost = h.dropped;
    return h.at;
}
