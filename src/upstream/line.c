/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/line.c - places at a server that is at its limit, and who waits for one.
 *
 * A server with max_connections counts the connections of all workers, idle ones too.  Who finds it
 * at its limit stands in the server's line, first come, first served, whatever the worker: a
 * connection that becomes free is handed over, to another worker by a message with a duplicate of
 * its descriptor; one that is closed hands its place over.  Idle connections in other workers'
 * pools are called for.
 */
#include "upstream/conn.h"

#include "runtime/fiber.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What a message to another worker brings. */
struct delivery {
    struct message      message;
    struct line_waiter *waiter;
    struct server_conn *conn;
};

struct line_waiter
line_waiter_of(const struct server_want *want)
{
    return (struct line_waiter){
        .fiber = fiber_self(),
        .worker = loop_self()->number,
        .http = want->http,
    };
}

void
line_serve(struct line_waiter *w, struct server_conn *c)
{
    if (c)
        c->taken_us = loop_now_us();
    w->conn = c;
    w->served = true;
    fiber_resume(w->fiber);
}

static void
deliver(struct message *m)
{
    struct delivery *d = container_of(m, struct delivery, message);

    if (d->conn)
        pool_of(d->conn->server)->open++;
    line_serve(d->waiter, d->conn);
    free(d);
}

/* The first in line, taken out of it; NULL when there is none. */
static struct line_waiter *
next_in_line(struct server *s)
{
    struct line_waiter *w = NULL;
    struct list *first;

    if (atomic_load(&s->line.n) == 0)
        return NULL;
    pthread_mutex_lock(&s->line.lock);
    first = list_pop(&s->line.waiting);
    if (first) {
        w = list_entry(first, struct line_waiter, link);
        w->state = LINE_PROMISED;
        atomic_fetch_sub(&s->line.n, 1);
    }
    pthread_mutex_unlock(&s->line.lock);
    return w;
}

struct line_waiter *
line_next_here(struct server *s)
{
    struct line_waiter *found = NULL;

    if (atomic_load(&s->line.n) == 0)
        return NULL;
    pthread_mutex_lock(&s->line.lock);
    list_each (at, &s->line.waiting) {
        struct line_waiter *w = list_entry(at, struct line_waiter, link);

        if (w->worker != loop_self()->number || w->http == UPSTREAM_HTTP1)
            continue;
        list_remove(&w->link);
        w->state = LINE_PROMISED;
        atomic_fetch_sub(&s->line.n, 1);
        found = w;
        break;
    }
    pthread_mutex_unlock(&s->line.lock);
    return found;
}

bool
line_is_led_elsewhere(struct server *s)
{
    bool elsewhere;

    if (atomic_load(&s->line.n) == 0)
        return false;
    pthread_mutex_lock(&s->line.lock);
    elsewhere = !list_is_empty(&s->line.waiting) &&
                list_entry(s->line.waiting.next, struct line_waiter, link)->worker !=
                    loop_self()->number;
    pthread_mutex_unlock(&s->line.lock);
    return elsewhere;
}

/* A waiter of any worker gets the connection, or the place when c is NULL.  False: out of memory;
 * then it gets nothing, and the caller keeps what it has. */
static bool
hand_over(struct line_waiter *w, struct server_conn *c)
{
    struct delivery *d;

    if (w->worker == loop_self()->number) {
        line_serve(w, c);
        return true;
    }
    d = calloc(1, sizeof(*d));
    if (!d)
        return false;
    *d = (struct delivery){.message.run = deliver, .waiter = w, .conn = c};
    if (workers_send(w->worker, &d->message))
        return true;
    free(d);
    return false;
}

/* It goes back to where it was: first in line. */
static void
put_back(struct server *s, struct line_waiter *w)
{
    pthread_mutex_lock(&s->line.lock);
    w->state = LINE_WAITS;
    list_push(&s->line.waiting, &w->link);
    atomic_fetch_add(&s->line.n, 1);
    pthread_mutex_unlock(&s->line.lock);
}

/* ------------------------------------------------------------------ places */

/* Counts one more connection; false: the server is at its limit. */
bool
place_take(struct server *s)
{
    uint32_t limit = atomic_load(&s->limit), open = atomic_load(&s->target->connections);

    do {
        if (limit && open >= limit)
            return false;
    } while (!atomic_compare_exchange_weak(&s->target->connections, &open, open + 1));
    return true;
}

void
line_admit(struct server *s)
{
    struct line_waiter *w;

    while (atomic_load(&s->line.n) && place_take(s)) {
        w = next_in_line(s);
        if (w && hand_over(w, NULL))
            continue;
        atomic_fetch_sub(&s->target->connections, 1);
        if (w) {
            put_back(s, w);
            return;
        }
    }
}

void
place_free(struct server *s)
{
    atomic_fetch_sub(&s->target->connections, 1);
    line_admit(s);
}

/* ------------------------------------------------------------------ giving */

/* The same connection as a new record that another worker's loop can know: this loop may still have
 * events for the old one.  NULL: it cannot be had. */
static struct server_conn *
emigrate(struct server_conn *c)
{
    struct server_conn *copy = calloc(1, sizeof(*copy));
    int fd = copy ? fcntl(c->sock.fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0) {
        free(copy);
        return NULL;
    }
    sock_init(&copy->sock, fd);
    list_init(&copy->link);
    copy->server = c->server;
    copy->sock.sent = c->sock.sent;
    copy->requests = c->requests;
    copy->made_us = c->made_us;
    copy->terms = c->terms;
    copy->reused = true;
    server_hold(c->server);
    /* The place moves with it. */
    pool_of(c->server)->open--;
    c->sock.flags |= SOCK_SHARED;
    c->sock.release = conn_release;
    sock_close(&c->sock);
    return copy;
}

/* To the first in line, if there is one.  False: nobody wanted it, it is still the caller's. */
bool
line_give(struct server_conn *c)
{
    struct server *s = c->server;
    struct line_waiter *w = next_in_line(s);
    struct server_conn *moved;

    if (!w)
        return false;
    if (w->worker == loop_self()->number) {
        line_serve(w, c);
        return true;
    }
    if (c->sock.layer) {
        /* Its keys belong to this worker; its place does not. */
        conn_close_keeping_place(c);
        if (!hand_over(w, NULL)) {
            put_back(s, w);
            place_free(s);
        }
        return true;
    }
    moved = emigrate(c);
    if (!moved) {
        put_back(s, w);
        return false;
    }
    if (hand_over(w, moved))
        return true;
    put_back(s, w);
    close(moved->sock.fd);
    free(moved);
    server_release(s);
    guard_disconnect(s->upstream->guard);
    place_free(s);
    return true;
}

/* In the context of another worker: one of its idle connections is wanted. */
struct call {
    struct message message;
    struct server *server; /* a reference */
    bool           urgent; /* the caller's worker has none at all */
};

/* One that many share goes when nobody is on it; from a worker that has some to one that has none,
 * it goes in any case. */
static void
yield_shared(struct server_pool *pool, bool urgent)
{
    list_each (at, &pool->shared) {
        struct h2_link *link = list_entry(at, struct server_conn, link)->h2;

        if (!urgent && h2_link_busy(link))
            continue;
        h2_link_leave(link);
        return;
    }
}

static void
answer_call(struct message *m)
{
    struct call *call = container_of(m, struct call, message);
    struct server_conn *c = pool_take(call->server);

    /* Nobody wants it any more: its place is free for others. */
    if (c && !line_give(c))
        server_conn_close(c);
    if (!c && atomic_load(&call->server->line.n))
        yield_shared(pool_of(call->server), call->urgent);
    server_release(call->server);
    free(call);
}

static void
call_for_idle(struct server *s, bool shared)
{
    bool urgent = pool_of(s)->open == 0;

    for (unsigned w = 0; w < upstream_workers; w++) {
        struct call *call;

        if (w == loop_self()->number || (atomic_load(&s->pools[w].count) == 0 && !shared))
            continue;
        call = calloc(1, sizeof(*call));
        if (!call)
            return;
        *call = (struct call){.message.run = answer_call, .server = s, .urgent = urgent};
        server_hold(s);
        if (workers_send(w, &call->message))
            return;
        server_release(s);
        free(call);
    }
}

/* ------------------------------------------------------------------ standing in it */

/* False: the line is full. */
static bool
join_line(struct server *s, struct line_waiter *w, int64_t size)
{
    bool joined = false;

    pthread_mutex_lock(&s->line.lock);
    if (atomic_load(&s->line.n) < (uint64_t) size) {
        list_append(&s->line.waiting, &w->link);
        atomic_fetch_add(&s->line.n, 1);
        joined = true;
    }
    pthread_mutex_unlock(&s->line.lock);
    return joined;
}

/* True when it was still waiting, and does not any more. */
static bool
leave_line(struct server *s, struct line_waiter *w)
{
    bool waited;

    pthread_mutex_lock(&s->line.lock);
    waited = w->state == LINE_WAITS;
    if (waited) {
        list_remove(&w->link);
        atomic_fetch_sub(&s->line.n, 1);
    }
    pthread_mutex_unlock(&s->line.lock);
    return waited;
}

/* Until a place or a connection is there.  True: a place was taken, or *conn is there. */
bool
line_stand(struct server *s, const struct server_want *want, struct server_conn **conn,
              struct conn_result *result)
{
    const struct queue_config *queue = &want->config->queue;
    struct line_waiter w = line_waiter_of(want);
    uint64_t until_us = conn_sooner(loop_now_us() + queue->timeout_us, want->deadline_us);
    bool in_time = true;

    list_init(&w.link);
    if (!join_line(s, &w, queue->size)) {
        result->fault = CONN_QUEUE_FULL;
        return false;
    }
    result->waited = true;
    call_for_idle(s, want->http != UPSTREAM_HTTP1);
    /* A place may have become free before we stood in line. */
    if (place_take(s)) {
        if (leave_line(s, &w))
            return true;
        place_free(s);
    }
    if (!w.served)
        in_time = fiber_sleep_until(until_us) == OK;
    if (!w.served && leave_line(s, &w)) {
        result->fault = in_time ? CONN_QUEUE_TIMEOUT : CONN_FAILED;
        result->err = ERR_CANCELLED;
        return false;
    }
    /* Promised by another worker: the message is on its way. */
    while (!w.served)
        fiber_suspend();
    *conn = w.conn;
    return true;
}
