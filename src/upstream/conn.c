/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/conn.c - connections to a server: taken from the worker's pool, waited for, made.
 *
 * Few connections carry many clients: who finds the pool empty while connections of this worker are
 * busy waits a moment for one to come back (patience) before a new one is made.
 *
 * A server with max_connections counts those of all workers, idle ones too.  Who finds it at its
 * limit stands in the server's line, first come, first served, whatever the worker: a connection
 * that becomes free is handed over, to another worker by a message with a duplicate of its
 * descriptor; one that is closed hands its place over.  Idle connections in other workers' pools
 * are called for.
 */
#include "observe/log.h"
#include "runtime/fiber.h"
#include "upstream/guard.h"
#include "upstream/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PATIENCE_ROUNDS = 4, /* at most so many times, when others open connections already */
    LEARN_MIN_MS = 500,
    LEARN_HITS = 3,
};

/* ------------------------------------------------------------------ waiting */

enum waiting { WAITS, PROMISED, SERVED };

/* Who waits for a connection; on the stack of its fiber. */
struct waiter {
    struct list         link;
    struct fiber       *fiber;
    unsigned            worker;
    enum waiting        state;
    struct server_conn *conn; /* SERVED: the connection; NULL: the place to make one */
};

/* What a message to another worker brings. */
struct delivery {
    struct message      message;
    struct waiter      *waiter;
    struct server_conn *conn;
};

static struct server_pool *
pool_of(struct server *s)
{
    return &s->pools[loop_self()->number];
}

static void
serve(struct waiter *w, struct server_conn *c)
{
    w->conn = c;
    w->state = SERVED;
    fiber_resume(w->fiber);
}

static void
deliver(struct message *m)
{
    struct delivery *d = container_of(m, struct delivery, message);

    if (d->conn)
        pool_of(d->conn->server)->open++;
    serve(d->waiter, d->conn);
    free(d);
}

/* The first in line, taken out of it; NULL when there is none. */
static struct waiter *
next_in_line(struct server *s)
{
    struct waiter *w = NULL;
    struct list *first;

    if (atomic_load(&s->line.n) == 0)
        return NULL;
    pthread_mutex_lock(&s->line.lock);
    first = list_pop(&s->line.waiting);
    if (first) {
        w = list_entry(first, struct waiter, link);
        w->state = PROMISED;
        atomic_fetch_sub(&s->line.n, 1);
    }
    pthread_mutex_unlock(&s->line.lock);
    return w;
}

/* A waiter of any worker gets the connection, or the place when c is NULL.  False: out of memory;
 * then it gets nothing, and the caller keeps what it has. */
static bool
hand_over(struct waiter *w, struct server_conn *c)
{
    struct delivery *d;

    if (w->worker == loop_self()->number) {
        serve(w, c);
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
put_back(struct server *s, struct waiter *w)
{
    pthread_mutex_lock(&s->line.lock);
    w->state = WAITS;
    list_push(&s->line.waiting, &w->link);
    atomic_fetch_add(&s->line.n, 1);
    pthread_mutex_unlock(&s->line.lock);
}

/* ------------------------------------------------------------------ places */

/* Counts one more connection; false: the server is at its limit. */
static bool
take_place(struct server *s)
{
    uint32_t limit = atomic_load(&s->limit), open = atomic_load(&s->open);

    do {
        if (limit && open >= limit)
            return false;
    } while (!atomic_compare_exchange_weak(&s->open, &open, open + 1));
    return true;
}

/* A place became free: the first in line gets it. */
static void
free_place(struct server *s)
{
    struct waiter *w;

    atomic_fetch_sub(&s->open, 1);
    while (atomic_load(&s->line.n) && take_place(s)) {
        w = next_in_line(s);
        if (w && hand_over(w, NULL))
            return;
        atomic_fetch_sub(&s->open, 1);
        if (w) {
            put_back(s, w);
            return;
        }
    }
}

/* ------------------------------------------------------------------ the end of one */

static void
release_conn(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    server_release(c->server);
    free(c);
}

/* Not counted any more, here; its place goes to who wants it. */
static void
uncount(struct server *s)
{
    pool_of(s)->open--;
    guard_disconnect(s->upstream->guard);
    free_place(s);
}

void
server_conn_close(struct server_conn *c)
{
    c->sock.release = release_conn;
    uncount(c->server);
    sock_close(&c->sock);
}

/* ------------------------------------------------------------------ the pool */

static void
leave_pool(struct server_conn *c)
{
    struct server_pool *pool = pool_of(c->server);

    list_remove(&c->link);
    atomic_store_explicit(&pool->count, pool->count - 1, memory_order_relaxed);
    timer_clear(&loop_self()->timers, &c->idle);
    c->sock.on_hangup = NULL;
}

static void keep_warm(struct server *s);

/* An idle connection ends; another one may have to take its place. */
static void
close_and_warm(struct server_conn *c)
{
    struct server *s = c->server;

    server_hold(s);
    server_conn_close(c);
    keep_warm(s);
    server_release(s);
}

static void
on_idle_hangup(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    server_learn_idle(c->server, loop_now_us() - c->idle_since_us);
    leave_pool(c);
    close_and_warm(c);
}

static void
on_idle_timeout(struct timer *t)
{
    struct server_conn *c = container_of(t, struct server_conn, idle);
    uint32_t learned = atomic_load(&c->server->learned_idle_ms);

    /* It might have lasted longer: what was learned is forgotten slowly. */
    if (learned)
        atomic_store(&c->server->learned_idle_ms, learned + learned / 100 + 1);
    leave_pool(c);
    close_and_warm(c);
}

/* Nothing unasked may have arrived while it was idle. */
static bool
is_quiet(struct server_conn *c)
{
    char byte;

    if (sock_is_hung_up(&c->sock))
        return false;
    if (!(c->sock.flags & SOCK_READABLE))
        return true;
    return recv(c->sock.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct server_conn *
take_idle(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        leave_pool(c);
        if (is_quiet(c))
            return c;
        server_learn_idle(s, loop_now_us() - c->idle_since_us);
        server_conn_close(c);
    }
    return NULL;
}

/* How long it may stay idle: as configured, but no longer than the server bears. */
static uint64_t
idle_us(const struct server *s, const struct connections_config *config)
{
    uint64_t learned_us = atomic_load(&s->learned_idle_ms) * 900ull;

    return config->learn_idle && learned_us && learned_us < config->idle_timeout_us
               ? learned_us
               : config->idle_timeout_us;
}

static void
put_idle(struct server_conn *c, const struct connections_config *config)
{
    struct server_pool *pool = pool_of(c->server);

    list_push(&pool->idle, &c->link);
    atomic_store(&pool->count, pool->count + 1);
    c->sock.on_hangup = on_idle_hangup;
    c->idle.fire = on_idle_timeout;
    c->idle_since_us = loop_now_us();
    timer_set(&loop_self()->timers, &c->idle, loop_now_us() + idle_us(c->server, config));
}

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
    copy->sent_bytes = c->sent_bytes;
    copy->requests = c->requests;
    copy->made_us = c->made_us;
    copy->reused = true;
    server_hold(c->server);
    /* The place moves with it. */
    pool_of(c->server)->open--;
    c->sock.flags |= SOCK_SHARED;
    c->sock.release = release_conn;
    sock_close(&c->sock);
    return copy;
}

/* To the first in line, if there is one.  False: nobody wanted it, it is still the caller's. */
static bool
give_to_line(struct server_conn *c)
{
    struct server *s = c->server;
    struct waiter *w = next_in_line(s);
    struct server_conn *moved;

    if (!w)
        return false;
    if (w->worker == loop_self()->number) {
        serve(w, c);
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
    free_place(s);
    return true;
}

static bool
is_worn(const struct server_conn *c, const struct connections_config *config)
{
    uint64_t age_us = loop_now_us() - c->made_us;
    /* Not all that were made together at once. */
    uint64_t jitter_us = config->max_age_us / 10 * ((uint64_t) c->sock.fd % 8) / 8;

    return (config->max_age_us && age_us >= config->max_age_us - jitter_us) ||
           (config->max_requests && c->requests >= (uint64_t) config->max_requests);
}

static bool
is_fit(struct server_conn *c, const struct connections_config *config)
{
    return !is_worn(c, config) && !sock_is_hung_up(&c->sock) && !loop_self()->stopping &&
           !(atomic_load(&c->server->faults) & (SERVER_IS_LEAVING | SERVER_IS_IN_MAINTENANCE));
}

void
server_conn_give(struct server_conn *c, const struct connections_config *config)
{
    struct server_pool *pool = pool_of(c->server);
    struct list *first;

    c->requests++;
    c->reused = true;
    if (!is_fit(c, config)) {
        server_conn_close(c);
        return;
    }
    if (give_to_line(c))
        return;
    first = list_pop(&pool->waiting);
    if (first) {
        serve(list_entry(first, struct waiter, link), c);
        return;
    }
    if (pool->count >= (uint64_t) config->max_idle || loop_self()->ops->watch(&c->sock) != OK) {
        server_conn_close(c);
        return;
    }
    put_idle(c, config);
    /* Somebody may have come into the line between the look and the pool. */
    if (atomic_load(&c->server->line.n)) {
        leave_pool(c);
        if (!give_to_line(c))
            put_idle(c, config);
    }
}

/* ------------------------------------------------------------------ making one */

static struct sock_options
sock_options_of(const struct connections_config *config)
{
    return (struct sock_options){
        .source = config->source.any.sa_family ? &config->source : NULL,
        .fast_open = config->fast_open,
        .keepalive_s = (uint32_t) ((config->keepalive_us + 999999) / 1000000),
    };
}

/* With a place taken; gives it back on failure. */
static struct server_conn *
open_conn(struct server *s, const struct upstream_config *config, uint64_t deadline_us,
          enum err *error)
{
    struct sock_options options = sock_options_of(&config->connections);
    struct server_conn *c = calloc(1, sizeof(*c));
    enum err e = ERR_NO_MEMORY;

    pool_of(s)->open++;
    if (c) {
        c->server = s;
        list_init(&c->link);
        e = sock_connect(&c->sock, &s->address, &options, deadline_us);
    }
    *error = e;
    if (e == OK) {
        server_hold(s);
        c->made_us = loop_now_us();
        atomic_fetch_add_explicit(&s->made, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&s->upstream->counters[loop_self()->number].connections, 1,
                                  memory_order_relaxed);
        return c;
    }
    if (c && c->sock.closing.next) {
        /* The loop still knows the socket until the end of its round. */
        server_hold(s);
        c->sock.release = release_conn;
    } else {
        free(c);
    }
    uncount(s);
    return NULL;
}

/* ------------------------------------------------------------------ warm connections */

struct warming {
    struct server                *server; /* a reference */
    const struct upstream_config *config;
    struct config                *owner;  /* a reference */
};

static void
warm_one(void *arg)
{
    struct warming *w = arg;
    struct server *s = w->server;
    const struct guard_options guards = {.breaker = w->config->breaker};
    struct guard_refusal refusal;
    struct server_conn *c = NULL;
    enum err e;

    if (guard_connect(s->upstream->guard, &guards, &refusal))
        c = open_conn(s, w->config, loop_now_us() + exchange_default_timeouts.connect_us, &e);
    else
        free_place(s);
    pool_of(s)->warming--;
    if (c && (loop_self()->stopping || loop_self()->ops->watch(&c->sock) != OK))
        server_conn_close(c);
    else if (c && !give_to_line(c))
        put_idle(c, &w->config->connections);
    config_free(w->owner);
    server_release(s);
    free(w);
}

/* False: no place or no memory. */
static bool
start_warming(struct server *s, const struct server_pool *pool)
{
    struct warming *w;

    if (!take_place(s))
        return false;
    w = calloc(1, sizeof(*w));
    if (w) {
        *w = (struct warming){s, pool->warmth, config_hold(pool->warmth_owner)};
        server_hold(s);
        if (fiber_start("warm", warm_one, w))
            return true;
        config_free(w->owner);
        server_release(s);
        free(w);
    }
    free_place(s);
    return false;
}

static void
keep_warm(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    while (pool->warmth && !loop_self()->stopping &&
           !(atomic_load(&s->faults) & ~(unsigned) SERVER_IS_UNPROVED) &&
           pool->open + pool->warming < (uint64_t) pool->warmth->connections.warm) {
        pool->warming++;
        if (!start_warming(s, pool)) {
            pool->warming--;
            return;
        }
    }
}

static void
forget_warmth(struct server_pool *pool)
{
    pool->warmth = NULL;
    config_free(take(&pool->warmth_owner));
}

void
server_pool_warm(struct server *s, const struct upstream_config *config, struct config *owner)
{
    struct server_pool *pool = pool_of(s);

    forget_warmth(pool);
    if (config->connections.warm == 0)
        return;
    pool->warmth = config;
    pool->warmth_owner = config_hold(owner);
    keep_warm(s);
}

void
server_pool_close(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    forget_warmth(pool);
    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        leave_pool(c);
        server_conn_close(c);
    }
}

/* ------------------------------------------------------------------ waiting for one */

static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* In the context of another worker: one of its idle connections is wanted. */
struct call {
    struct message message;
    struct server *server; /* a reference */
};

static void
answer_call(struct message *m)
{
    struct call *call = container_of(m, struct call, message);
    struct server_conn *c = take_idle(call->server);

    /* Nobody wants it any more: its place is free for others. */
    if (c && !give_to_line(c))
        server_conn_close(c);
    server_release(call->server);
    free(call);
}

static void
call_for_idle(struct server *s)
{
    for (unsigned w = 0; w < upstream_workers; w++) {
        struct call *call;

        if (w == loop_self()->number || atomic_load(&s->pools[w].count) == 0)
            continue;
        call = calloc(1, sizeof(*call));
        if (!call)
            return;
        *call = (struct call){.message.run = answer_call, .server = s};
        server_hold(s);
        if (workers_send(w, &call->message))
            return;
        server_release(s);
        free(call);
    }
}

/* False: the line is full. */
static bool
join_line(struct server *s, struct waiter *w, int64_t size)
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
leave_line(struct server *s, struct waiter *w)
{
    bool waited;

    pthread_mutex_lock(&s->line.lock);
    waited = w->state == WAITS;
    if (waited) {
        list_remove(&w->link);
        atomic_fetch_sub(&s->line.n, 1);
    }
    pthread_mutex_unlock(&s->line.lock);
    return waited;
}

/* Until a place or a connection is there.  True: a place was taken, or *conn is there. */
static bool
stand_in_line(struct server *s, const struct server_want *want, struct server_conn **conn,
              struct conn_result *result)
{
    const struct queue_config *queue = &want->config->queue;
    struct waiter w = {.fiber = fiber_self(), .worker = loop_self()->number};
    uint64_t until_us = sooner(loop_now_us() + queue->timeout_us, want->deadline_us);
    bool in_time = true;

    list_init(&w.link);
    if (!join_line(s, &w, queue->size)) {
        result->fault = CONN_QUEUE_FULL;
        return false;
    }
    result->waited = true;
    call_for_idle(s);
    /* A place may have become free before we stood in line. */
    if (take_place(s)) {
        if (leave_line(s, &w))
            return true;
        free_place(s);
    }
    if (w.state != SERVED)
        in_time = fiber_sleep_until(until_us) == OK;
    if (w.state != SERVED && leave_line(s, &w)) {
        result->fault = in_time ? CONN_QUEUE_TIMEOUT : CONN_FAILED;
        result->err = ERR_CANCELLED;
        return false;
    }
    /* Promised by another worker: the message is on its way. */
    while (w.state != SERVED)
        fiber_suspend();
    *conn = w.conn;
    return true;
}

/* A connection of this worker may come back soon. */
static struct server_conn *
have_patience(struct server *s, const struct server_want *want, struct conn_result *result)
{
    struct server_pool *pool = pool_of(s);
    uint64_t patience_us = want->config->connections.patience_us;

    for (int round = 0; round < PATIENCE_ROUNDS && pool->open > 0 && patience_us; round++) {
        struct waiter w = {.fiber = fiber_self(), .worker = loop_self()->number};
        uint64_t until_us = sooner(loop_now_us() + patience_us, want->deadline_us);
        bool cancelled;

        result->waited = true;
        list_append(&pool->waiting, &w.link);
        cancelled = fiber_sleep_until(until_us) != OK;
        if (w.state == SERVED)
            return w.conn;
        list_remove(&w.link);
        if (cancelled || pool->opening <= pool->open / 4)
            break;
    }
    return NULL;
}

static struct server_conn *
make_one(struct server *s, const struct server_want *want, struct conn_result *result)
{
    const struct guard_options guards = {.breaker = want->config->breaker};
    struct server_conn *c;

    if (!guard_connect(s->upstream->guard, &guards, &result->refusal)) {
        free_place(s);
        result->fault = CONN_REFUSED_BY_GUARD;
        return NULL;
    }
    pool_of(s)->opening++;
    c = open_conn(s, want->config, sooner(loop_now_us() + want->connect_us, want->deadline_us),
                  &result->err);
    pool_of(s)->opening--;
    if (!c)
        result->fault = CONN_FAILED;
    return c;
}

/* One that is there, or comes back. */
static struct server_conn *
reuse(struct server *s, const struct server_want *want, struct conn_result *result)
{
    struct server_conn *c = NULL;

    /* Nobody overtakes those who wait. */
    if (atomic_load_explicit(&s->line.n, memory_order_relaxed) == 0)
        c = take_idle(s);
    if (!c && atomic_load_explicit(&s->limit, memory_order_relaxed) == 0)
        c = have_patience(s, want, result);
    return c;
}

struct server_conn *
server_conn_get(struct server *s, const struct server_want *want, struct conn_result *result)
{
    struct server_conn *c = NULL;
    bool placed;

    *result = (struct conn_result){.fault = CONN_OK};
    if (!want->fresh)
        c = reuse(s, want, result);
    if (c)
        return c;
    if (fiber_self()->cancelled != OK) {
        *result = (struct conn_result){.fault = CONN_FAILED, .err = ERR_CANCELLED};
        return NULL;
    }
    placed = take_place(s) || stand_in_line(s, want, &c, result);
    if (!placed)
        return NULL;
    if (c && (want->fresh || !is_quiet(c))) {
        /* It brought its place with it; a new one takes that. */
        server_conn_close(c);
        c = NULL;
        if (!take_place(s)) {
            result->fault = CONN_QUEUE_TIMEOUT;
            return NULL;
        }
    }
    return c ? c : make_one(s, want, result);
}

/* ------------------------------------------------------------------ facts */

void
server_learn_idle(struct server *s, uint64_t idle_us)
{
    uint64_t now_ms = loop_now_us() / 1000, ms = idle_us / 1000;
    uint64_t guess = atomic_load(&s->guess_idle_ms);
    bool alike = ms + guess / 10 + 100 > guess && ms < guess + guess / 10 + 100;

    /* A server that restarts closes all at once: that is one event, and tells nothing by itself. */
    if (ms < LEARN_MIN_MS || now_ms < atomic_load(&s->guessed_ms) + 1000)
        return;
    atomic_store(&s->guessed_ms, now_ms);
    if (!alike) {
        atomic_store(&s->guess_idle_ms, (uint32_t) ms);
        atomic_store(&s->guess_hits, 1);
    } else if (atomic_fetch_add(&s->guess_hits, 1) + 1 >= LEARN_HITS) {
        atomic_store(&s->learned_idle_ms, (uint32_t) (ms < guess ? ms : guess));
    }
}

bool
server_conn_unseen(const struct server_conn *c, uint64_t sent_before)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);

    if (c->server->address.any.sa_family == AF_UNIX ||
        getsockopt(c->sock.fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return false;
    /* The SYN counts as one byte. */
    return info.tcpi_bytes_acked <= sent_before + 1;
}
