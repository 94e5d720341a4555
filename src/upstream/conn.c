/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/conn.c - connections to a server: made, taken, given back.
 *
 * Few connections carry many clients: who finds the pool empty while connections of this worker are
 * busy waits a moment for one to come back (patience) before a new one is made.
 */
#include "upstream/conn.h"

#include "runtime/fiber.h"

#include <linux/tcp.h>
#include <stdlib.h>

enum {
    PATIENCE_ROUNDS = 20, /* so many times `patience` is the most */
    PATIENCE_SHARE = 4,   /* of what an answer takes is the patience, ... */
    PATIENCE_STRETCH = 3, /* but no more than so many times the one that is configured */
    OPENING_SHARE = 8,    /* of connections, and of those who wait, may be opened at a time */
    SOON_ROUNDS = 2,      /* so many rounds of patience are a short wait */
    LATELY_ROUNDS = 20,   /* and so many are lately */
    BUSY_SHARE = 8,
    BUSY_MAX_US = 60000000,
    SHARED_PATIENCE_US = 1000,
};

void
conn_release(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    server_release(c->server);
    free(c);
}

/* Not counted any more, here; its place goes to who wants it. */
void
conn_uncount(struct server *s)
{
    pool_of(s)->open--;
    guard_disconnect(s->upstream->guard);
    place_free(s);
}

/* The server must know before anybody else takes the place. */
static void
close_sock(struct server_conn *c)
{
    if (atomic_load_explicit(&c->server->limit, memory_order_relaxed))
        shutdown(c->sock.fd, SHUT_RDWR);
    c->sock.release = conn_release;
}

void
server_conn_close(struct server_conn *c)
{
    close_sock(c);
    conn_uncount(c->server);
    sock_close(&c->sock);
}

void
conn_close_keeping_place(struct server_conn *c)
{
    close_sock(c);
    pool_of(c->server)->open--;
    guard_disconnect(c->server->upstream->guard);
    sock_close(&c->sock);
}

bool
conn_is_worn(const struct server_conn *c, const struct connections_config *config)
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
    return !conn_is_worn(c, config) && !sock_is_hung_up(&c->sock) && !loop_self()->stopping &&
           !(atomic_load(&c->server->faults) & (SERVER_IS_LEAVING | SERVER_IS_IN_MAINTENANCE));
}

/* Who waits with patience, and can use it; taken out. */
static struct line_waiter *
next_patient(struct server_pool *pool, bool h2)
{
    list_each (at, &pool->waiting) {
        struct line_waiter *w = list_entry(at, struct line_waiter, link);

        if (w->http == (h2 ? UPSTREAM_HTTP1 : UPSTREAM_HTTP2))
            continue;
        list_remove(&w->link);
        return w;
    }
    return NULL;
}

void
conn_share(struct server_conn *c, uint32_t n)
{
    struct server_pool *pool = pool_of(c->server);

    while (n-- && h2_link_has_room(c->h2)) {
        struct line_waiter *w = line_next_here(c->server);

        if (!w)
            w = next_patient(pool, true);
        if (!w)
            return;
        h2_link_promise(c->h2);
        line_serve(w, c);
    }
}

static void
note_return(struct server_pool *pool, uint64_t taken_us)
{
    uint64_t us = loop_now_us() - taken_us;
    int64_t  more = (int64_t) (us < BUSY_MAX_US ? us : BUSY_MAX_US) - pool->busy_us;

    pool->came_us = loop_now_us();
    pool->busy_us = (uint32_t) (pool->busy_us + more / BUSY_SHARE);
}

void
server_conn_give(struct server_conn *c, const struct connections_config *config)
{
    struct server_pool *pool = pool_of(c->server);
    struct line_waiter *patient;

    c->requests++;
    c->reused = true;
    note_return(pool, c->taken_us);
    if (!is_fit(c, config)) {
        server_conn_close(c);
        return;
    }
    if (line_give(c))
        return;
    patient = next_patient(pool, false);
    if (patient) {
        line_serve(patient, c);
        return;
    }
    if (pool->count >= (uint64_t) config->max_idle || loop_self()->ops->watch(&c->sock) != OK) {
        server_conn_close(c);
        return;
    }
    pool_put(c, config);
    /* Somebody may have come into the line between the look and the pool. */
    if (atomic_load(&c->server->line.n)) {
        pool_leave(c);
        if (!line_give(c))
            pool_put(c, config);
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

/* PROXY header, TLS, and which HTTP is spoken. */
static enum err
greet(struct server_conn *c, const struct server_want *want, uint64_t deadline_us,
      struct conn_result *result)
{
    const struct upstream_config *config = want->config;
    struct iovec iov = {(char *) want->preface.at, want->preface.n};
    struct server_pool *pool = pool_of(c->server);
    const struct tls_facts *facts;
    bool h2 = want->http == UPSTREAM_HTTP2;
    enum err e = OK;

    if (want->preface.n)
        e = sock_send(&c->sock, &iov, 1, deadline_us - loop_now_us());
    if (e == OK && config->tls) {
        e = server_tls_connect(&c->sock, c->server, config->tls, want->http, &pool->session,
                               deadline_us, result->why);
        result->tls = e != OK;
        facts = tls_facts(&c->sock);
        h2 = facts && slice_eq(facts->alpn, SLICE("h2"));
        if (e == OK && !h2 && want->http == UPSTREAM_HTTP2) {
            snprintf(result->why, sizeof(result->why), "the server does not agree to HTTP/2");
            result->tls = true;
            return ERR_UNSUPPORTED;
        }
    }
    if (want->http != UPSTREAM_HTTP1)
        pool->speaks_h2 = h2;
    if (e == OK && h2 && !h2_link_start(c, &config->connections))
        e = ERR_NO_MEMORY;
    return e;
}

static struct server_conn *
conn_new(struct server *s, const struct upstream_config *config)
{
    struct server_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->server = s;
    c->terms = conn_terms(config);
    list_init(&c->link);
    return c;
}

/* Never came to be. */
static void
conn_give_up(struct server_conn *c)
{
    if (c->sock.closing.next) {
        /* The loop still knows the socket until the end of its round. */
        server_hold(c->server);
        c->sock.release = conn_release;
    } else {
        free(c);
    }
}

struct server_conn *
conn_open(struct server *s, const struct server_want *want, uint64_t deadline_us,
          struct conn_result *result)
{
    struct sock_options options = sock_options_of(&want->config->connections);
    struct server_conn *c = conn_new(s, want->config);
    enum err e = ERR_NO_MEMORY;

    pool_of(s)->open++;
    if (c)
        e = sock_connect(&c->sock, &s->address, &options, deadline_us);
    result->err = e;
    if (e != OK) {
        if (c)
            conn_give_up(c);
        conn_uncount(s);
        return NULL;
    }
    server_hold(s);
    c->made_us = c->idle_since_us = c->taken_us = loop_now_us();
    result->err = greet(c, want, deadline_us, result);
    if (result->err != OK) {
        server_conn_close(c);
        return NULL;
    }
    atomic_fetch_add_explicit(&s->made, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->upstream->counters[loop_self()->number].connections, 1,
                              memory_order_relaxed);
    return c;
}

/* ------------------------------------------------------------------ getting one */

/* Behind what is there to do now. */
static void
step_back(void)
{
    fiber_resume(fiber_self());
    fiber_suspend();
}

/* How long a round of waiting takes: longer where answers take longer anyway. */
static uint64_t
round_us(uint64_t answer_us, uint64_t patience_us)
{
    uint64_t share_us = answer_us / PATIENCE_SHARE;

    if (share_us < patience_us)
        return patience_us;
    return conn_sooner(share_us, patience_us * PATIENCE_STRETCH);
}

/* A connection that is being made will have room for many. */
static bool
will_be_shared(const struct server_pool *pool, const struct server_want *want)
{
    return want->http == UPSTREAM_HTTP2 || (want->http == UPSTREAM_HTTP_ANY && pool->speaks_h2);
}

/* The connections that there are will have served all who wait before long: Little's law.  When
 * none came back lately, the answers in flight are longer ones than those before. */
static bool
is_soon_over(const struct server_pool *pool, uint64_t patience_us)
{
    uint64_t round = round_us(pool->busy_us, patience_us);
    uint32_t busy = pool->open - pool->opening;

    return busy && loop_now_us() < pool->came_us + round * LATELY_ROUNDS &&
           (uint64_t) pool->wanting * pool->busy_us / busy <= round * SOON_ROUNDS;
}

/* After a round in vain: new connections are made a few at a time, for a server that is late will
 * not be faster for having many more of them; and not when the wait is about to end anyway. */
static bool
may_open(const struct server_pool *pool, const struct server_want *want, uint64_t since_us,
         uint64_t patience_us)
{
    uint32_t base = pool->open < pool->wanting ? pool->open : pool->wanting;

    if (will_be_shared(pool, want))
        return pool->opening == 0 || loop_now_us() >= since_us + want->connect_us;
    if (loop_now_us() >= since_us + patience_us * PATIENCE_ROUNDS)
        return true;
    return pool->opening <= base / OPENING_SHARE && !is_soon_over(pool, patience_us);
}

static uint64_t
patience_of(const struct server_want *want, bool shared)
{
    uint64_t us = want->config->connections.patience_us;

    return shared && us < SHARED_PATIENCE_US ? SHARED_PATIENCE_US : us;
}

/* A connection of this worker may come back soon, or have room. */
static struct server_conn *
have_patience(struct server *s, const struct server_want *want, struct conn_result *result)
{
    struct server_pool *pool = pool_of(s);
    bool shared = will_be_shared(pool, want);
    uint64_t patience_us = patience_of(want, shared), since_us = loop_now_us();
    struct line_waiter w = line_waiter_of(want);
    bool over = shared ? pool->opening == 0 : patience_us == 0 || pool->open == 0;

    list_append(&pool->waiting, &w.link);
    pool->wanting++;
    while (!over && !w.served) {
        uint64_t answer_us = atomic_load_explicit(&s->target->average_us, memory_order_relaxed);
        uint64_t until_us = conn_sooner(loop_now_us() + round_us(answer_us, patience_us),
                                        want->deadline_us);

        result->waited = true;
        over = fiber_sleep_until(until_us) != OK || loop_now_us() >= want->deadline_us;
        /* When this thread was late, answers are here already that were not looked at yet. */
        if (!w.served && !over)
            step_back();
        over = over || may_open(pool, want, since_us, patience_us);
    }
    pool->wanting--;
    if (!w.served)
        list_remove(&w.link);
    return w.conn;
}

static struct server_conn *
make_one(struct server *s, const struct server_want *want, struct conn_result *result)
{
    const struct guard_options guards = {.breaker = want->config->breaker};
    struct server_conn *c;

    if (!guard_connect(s->upstream->guard, &guards, &result->refusal)) {
        place_free(s);
        result->fault = CONN_REFUSED_BY_GUARD;
        return NULL;
    }
    pool_of(s)->opening++;
    c = conn_open(s, want, conn_sooner(loop_now_us() + want->connect_us, want->deadline_us),
                  result);
    pool_of(s)->opening--;
    if (!c)
        result->fault = CONN_FAILED;
    return c;
}

/* It was made for the same terms, and has not ended while nobody looked. */
static bool
is_good(struct server_conn *c, const struct server_want *want)
{
    if (c->terms != conn_terms(want->config) ||
        want->http == (c->h2 ? UPSTREAM_HTTP1 : UPSTREAM_HTTP2))
        return false;
    return c->h2 ? h2_link_has_room(c->h2) : conn_is_quiet(c);
}

/* Somebody has handed it over.  NULL: it is of no use; what it was for a place, if any, is ours:
 * *placed. */
static struct server_conn *
take_over(struct server_conn *c, const struct server_want *want, bool *placed)
{
    if (c && c->h2) {
        if (h2_link_redeem(c->h2) && is_good(c, want))
            return c;
        return NULL;
    }
    if (!c || (!want->fresh && is_good(c, want)))
        return c;
    conn_close_keeping_place(c);
    *placed = true;
    return NULL;
}

/* One that is there, or comes back.  *again: one that was promised is of no use, so that it is
 * worth another look. */
static struct server_conn *
reuse(struct server *s, const struct server_want *want, struct conn_result *result, bool *placed,
      bool *again)
{
    struct server_pool *pool = pool_of(s);
    struct server_conn *c = NULL;
    bool limited = atomic_load_explicit(&s->limit, memory_order_relaxed) != 0;

    /* Nobody overtakes those who wait. */
    if (atomic_load_explicit(&s->line.n, memory_order_relaxed) == 0) {
        if (want->http != UPSTREAM_HTTP1)
            c = pool_join(s, want->config);
        while (!c && want->http != UPSTREAM_HTTP2 && (c = pool_take(s)) &&
               c->terms != conn_terms(want->config)) {
            server_conn_close(c);
            c = NULL;
        }
    }
    *again = false;
    if (!c && (!limited || (will_be_shared(pool, want) && pool->opening))) {
        struct server_conn *promised = have_patience(s, want, result);

        c = take_over(promised, want, placed);
        *again = promised && !c && !*placed;
    }
    return c;
}

struct server_conn *
server_conn_get(struct server *s, const struct server_want *want, struct conn_result *result)
{
    uint64_t until_us = loop_now_us() + want->connect_us;
    struct server_conn *c = NULL;
    bool placed = false, again = !want->fresh;

    *result = (struct conn_result){.fault = CONN_OK};
    /* A shared connection that ends at its beginning disappoints many: they do not make one
     * each. */
    while (again && fiber_self()->cancelled == OK && loop_now_us() < until_us)
        c = reuse(s, want, result, &placed, &again);
    while (!c && !placed) {
        if (fiber_self()->cancelled != OK) {
            *result = (struct conn_result){.fault = CONN_FAILED, .err = ERR_CANCELLED};
            return NULL;
        }
        placed = place_take(s);
        if (!placed) {
            if (!line_stand(s, want, &c, result))
                return NULL;
            placed = !c;
            c = take_over(c, want, &placed);
        }
    }
    return c ? c : make_one(s, want, result);
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
