/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/pool.c - a worker's idle connections to a server: the last used first, those that nobody
 * needs closed early, some kept open beforehand.
 */
#include "upstream/conn.h"

#include "runtime/fiber.h"

#include <errno.h>
#include <stdlib.h>

enum { LEARN_MIN_MS = 500, LEARN_HITS = 3, CARE_US = 1000000 };

void
pool_leave(struct server_conn *c)
{
    struct server_pool *pool = pool_of(c->server);

    list_remove(&c->link);
    atomic_store_explicit(&pool->count, pool->count - 1, memory_order_relaxed);
    if (pool->count < pool->lowest)
        pool->lowest = pool->count;
    timer_clear(&loop_self()->timers, &c->idle);
    c->sock.on_hangup = NULL;
}

static void
on_idle_hangup(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    server_learn_idle(c->server, loop_now_us() - c->idle_since_us);
    pool_leave(c);
    server_conn_close(c);
}

static void
on_idle_timeout(struct timer *t)
{
    struct server_conn *c = container_of(t, struct server_conn, idle);
    struct server_pool *pool = pool_of(c->server);
    uint32_t learned = atomic_load(&c->server->learned_idle_ms);

    /* It might have lasted longer: what was learned is forgotten slowly. */
    if (learned)
        atomic_store(&c->server->learned_idle_ms, learned + learned / 100 + 1);
    pool_leave(c);
    /* A warm one is replaced at once. */
    if (pool->warmth && pool->server)
        timer_set(&loop_self()->timers, &pool->care, loop_now_us());
    server_conn_close(c);
}

/* Nothing unasked may have arrived while it was idle. */
bool
conn_is_quiet(struct server_conn *c)
{
    char byte;

    if (sock_is_hung_up(&c->sock))
        return false;
    /* With TLS, what arrives need not be said to us (a ticket), and what is said (its end) may have
     * been read together with the answer. */
    if (c->sock.layer)
        return sock_recv_now(&c->sock, &byte, 1) == IO_PENDING;
    if (!(c->sock.flags & SOCK_READABLE))
        return true;
    return recv(c->sock.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

struct server_conn *
pool_take(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        pool_leave(c);
        if (conn_is_quiet(c)) {
            c->taken_us = loop_now_us();
            return c;
        }
        server_learn_idle(s, loop_now_us() - c->idle_since_us);
        server_conn_close(c);
    }
    return NULL;
}

struct server_conn *
pool_join(struct server *s, const struct upstream_config *config)
{
    list_each (at, &pool_of(s)->shared) {
        struct server_conn *c = list_entry(at, struct server_conn, link);

        if (c->terms != conn_terms(config) || conn_is_worn(c, &config->connections))
            h2_link_leave(c->h2);
        else if (h2_link_has_room(c->h2))
            return c;
    }
    return NULL;
}

/* How long it may stay idle: as configured, but no longer than the server bears, and not beyond its
 * greatest age. */
static uint64_t
idle_until_us(const struct server_conn *c, const struct connections_config *config)
{
    uint64_t learned_us = atomic_load(&c->server->learned_idle_ms) * 900ull;
    uint64_t us = config->idle_timeout_us, until_us;

    if (config->learn_idle && learned_us && learned_us < us)
        us = learned_us;
    until_us = loop_now_us() + us;
    if (config->max_age_us && c->made_us + config->max_age_us < until_us)
        return c->made_us + config->max_age_us;
    return until_us;
}

static void start_care(struct server *s, struct server_pool *pool);

void
pool_put(struct server_conn *c, const struct connections_config *config)
{
    struct server_pool *pool = pool_of(c->server);

    list_push(&pool->idle, &c->link);
    atomic_store(&pool->count, pool->count + 1);
    start_care(c->server, pool);
    c->sock.on_hangup = on_idle_hangup;
    c->idle.fire = on_idle_timeout;
    c->idle_since_us = loop_now_us();
    timer_set(&loop_self()->timers, &c->idle, idle_until_us(c, config));
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
    const struct server_want want = {.config = w->config, .http = w->config->http};
    struct conn_result result = {0};
    struct server_conn *c = NULL;

    if (guard_connect(s->upstream->guard, &guards, &result.refusal))
        c = conn_open(s, &want, loop_now_us() + exchange_default_timeouts.connect_us, &result);
    else
        place_free(s);
    pool_of(s)->warming--;
    if (c && c->h2)
        c = NULL; /* it is shared already */
    if (c && (loop_self()->stopping || loop_self()->ops->watch(&c->sock) != OK))
        server_conn_close(c);
    else if (c && !line_give(c))
        pool_put(c, &w->config->connections);
    config_free(w->owner);
    server_release(s);
    free(w);
}

/* False: no place or no memory. */
static bool
start_warming(struct server *s, const struct server_pool *pool)
{
    struct warming *w;

    if (!place_take(s))
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
    place_free(s);
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

/* ------------------------------------------------------------------ care, once a second */

/* Connections that nobody needed for a second are too many: half of them go, the longest unused
 * first. */
static void
trim(struct server_pool *pool)
{
    uint32_t warm = pool->warmth ? (uint32_t) pool->warmth->connections.warm : 0;
    uint32_t surplus = pool->lowest / 2;

    while (surplus-- > 0 && pool->open > warm) {
        struct server_conn *c = list_entry(pool->idle.prev, struct server_conn, link);

        pool_leave(c);
        server_conn_close(c);
    }
    pool->lowest = pool->count;
}

static void
stop_care(struct server_pool *pool)
{
    if (!pool->server)
        return;
    timer_clear(&loop_self()->timers, &pool->care);
    server_release(take(&pool->server));
}

static void
take_care(struct timer *t)
{
    struct server_pool *pool = container_of(t, struct server_pool, care);

    trim(pool);
    keep_warm(pool->server);
    if ((pool->count > 1 || pool->warmth) && !loop_self()->stopping)
        timer_set(&loop_self()->timers, t, loop_now_us() + CARE_US);
    else
        stop_care(pool);
}

static void
start_care(struct server *s, struct server_pool *pool)
{
    if (pool->server || (pool->count < 2 && !pool->warmth))
        return;
    server_hold(s);
    pool->server = s;
    pool->lowest = pool->count;
    pool->care.fire = take_care;
    timer_set(&loop_self()->timers, &pool->care, loop_now_us() + CARE_US);
}

void
server_pool_warm(struct server *s, const struct upstream_config *config, struct config *owner)
{
    struct server_pool *pool = pool_of(s);

    forget_warmth(pool);
    if (config->connections.warm == 0 || config->proxy_protocol)
        return;
    pool->warmth = config;
    pool->warmth_owner = config_hold(owner);
    keep_warm(s);
    start_care(s, pool);
}

void
server_pool_close(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    forget_warmth(pool);
    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        pool_leave(c);
        server_conn_close(c);
    }
    list_each (at, &pool->shared)
        h2_link_leave(list_entry(at, struct server_conn, link)->h2);
    tls_session_clear(&pool->session);
    stop_care(pool);
}

/* ------------------------------------------------------------------ learning */

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
