/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server.c - servers, their pools, and immutable sets of them.
 */
#include "upstream/server.h"

#include "runtime/fiber.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdlib.h>

enum { REST_US = 1000000 };

static unsigned workers = 1;

void
upstreams_init(unsigned n)
{
    workers = n;
}

struct server *
server_new(const union address *address)
{
    char text[ADDRESS_TEXT_MAX];
    size_t n = address_write(address, text);
    struct server *s = calloc(1, sizeof(*s) + workers * sizeof(s->pools[0]) + n);
    char *copy;

    if (!s)
        return NULL;
    copy = (char *) &s->pools[workers];
    memcpy(copy, text, n);
    s->text = slice_of(copy, n);
    s->address = *address;
    s->refs = 1;
    s->target.usable = true;
    for (unsigned i = 0; i < workers; i++)
        list_init(&s->pools[i].idle);
    return s;
}

void
server_hold(struct server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
server_release(struct server *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

struct rest {
    struct timer   timer;
    struct server *server;
    struct list    link;
};

/* Of this worker. */
static __thread struct list rests;

static void
rest_over(struct timer *t)
{
    struct rest *r = container_of(t, struct rest, timer);

    list_remove(&r->link);
    atomic_store(&r->server->target.usable, true);
    server_release(r->server);
    free(r);
}

void
server_rests_end(void)
{
    while (rests.next && !list_is_empty(&rests)) {
        struct rest *r = list_entry(rests.next, struct rest, link);

        timer_clear(&loop_self()->timers, &r->timer);
        rest_over(&r->timer);
    }
}

void
server_rest(struct server *s)
{
    struct rest *r;

    if (!atomic_exchange(&s->target.usable, false))
        return;
    r = calloc(1, sizeof(*r));
    if (!r) {
        atomic_store(&s->target.usable, true);
        return;
    }
    server_hold(s);
    r->server = s;
    r->timer.fire = rest_over;
    if (!rests.next)
        list_init(&rests);
    list_push(&rests, &r->link);
    timer_set(&loop_self()->timers, &r->timer, loop_now_us() + REST_US);
}

/* ------------------------------------------------------------------ connections */

static struct server_pool *
pool_of(struct server *s)
{
    return &s->pools[loop_self()->number];
}

static void
release_conn(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    server_release(c->server);
    free(c);
}

void
server_conn_close(struct server_conn *c)
{
    c->sock.release = release_conn;
    sock_close(&c->sock);
}

static void
leave_pool(struct server_conn *c)
{
    list_remove(&c->link);
    pool_of(c->server)->count--;
    timer_clear(&loop_self()->timers, &c->idle);
    c->sock.on_hangup = NULL;
}

static void
on_idle_hangup(struct sock *sock)
{
    struct server_conn *c = container_of(sock, struct server_conn, sock);

    leave_pool(c);
    server_conn_close(c);
}

static void
on_idle_timeout(struct timer *t)
{
    struct server_conn *c = container_of(t, struct server_conn, idle);

    leave_pool(c);
    server_conn_close(c);
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

struct server_conn *
server_conn_take(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        leave_pool(c);
        if (is_quiet(c))
            return c;
        server_conn_close(c);
    }
    return NULL;
}

void
server_conn_give(struct server_conn *c, size_t max_idle, uint64_t idle_us)
{
    struct server_pool *pool = pool_of(c->server);

    if (pool->count >= max_idle || sock_is_hung_up(&c->sock) || loop_self()->stopping ||
        loop_self()->ops->watch(&c->sock) != OK) {
        server_conn_close(c);
        return;
    }
    c->requests++;
    list_push(&pool->idle, &c->link);
    pool->count++;
    c->sock.on_hangup = on_idle_hangup;
    c->idle.fire = on_idle_timeout;
    timer_set(&loop_self()->timers, &c->idle, loop_now_us() + idle_us);
}

void
server_pool_close(struct server *s)
{
    struct server_pool *pool = pool_of(s);

    while (!list_is_empty(&pool->idle)) {
        struct server_conn *c = list_entry(pool->idle.next, struct server_conn, link);

        leave_pool(c);
        server_conn_close(c);
    }
}

enum err
server_conn_open(struct server *s, uint64_t deadline_us, struct server_conn **conn)
{
    struct server_conn *c = calloc(1, sizeof(*c));
    enum err e;

    if (!c)
        return ERR_NO_MEMORY;
    c->server = s;
    list_init(&c->link);
    e = sock_connect(&c->sock, &s->address, NULL, deadline_us);
    if (e == OK) {
        server_hold(s);
        *conn = c;
        return OK;
    }
    if (c->sock.closing.next) {
        /* The loop still knows the socket until the end of its round. */
        server_hold(s);
        c->sock.release = release_conn;
    } else {
        free(c);
    }
    return e;
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

/* ------------------------------------------------------------------ sets */

void
server_set_free(void *what)
{
    struct server_set *set = what;

    if (!set)
        return;
    if (set->policy)
        set->policy->ops->destroy(set->policy);
    for (size_t i = 0; i < set->lb.n; i++)
        server_release(set->servers[i]);
    free(set->servers);
    free((void *) set->lb.targets);
    free((void *) set->lb.weights);
    free(set);
}

struct server_set *
server_set_new(const struct server_entry *entries, size_t n, const struct lb_policy_ops *policy,
               bool unresolved)
{
    struct server_set *set = calloc(1, sizeof(*set));
    size_t room = n ? n : 1;
    struct lb_target **targets = calloc(room, sizeof(*targets));
    uint32_t *weights = calloc(room, sizeof(*weights));
    struct server **servers = calloc(room, sizeof(*servers));

    if (!set || !targets || !weights || !servers) {
        free(set);
        free(targets);
        free(weights);
        free(servers);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        server_hold(entries[i].server);
        servers[i] = entries[i].server;
        targets[i] = &entries[i].server->target;
        weights[i] = entries[i].weight;
    }
    *set = (struct server_set){
        .lb = {n, targets, weights}, .servers = servers, .unresolved = unresolved};
    set->policy = policy->create(&set->lb);
    if (!set->policy) {
        server_set_free(set);
        return NULL;
    }
    return set;
}
