/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/client.c - a client's connection: accepted, parked, handed to a fiber, closed.
 *
 * What is idle has no fiber and no buffer: a parked connection is one struct client_conn.  When
 * bytes arrive they are received into a lent buffer first, and only then a fiber takes over.
 */
#include "edge/client.h"
#include "exchange/recorded.h"
#include "observe/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Of all workers: the limit is one of the process. */
static _Atomic uint64_t open_in_total;

enum { LINGER_US = 2000000, LINGER_BYTES = 1024 * 1024, WATCH_US = 20000 };

struct edge *
client_edge(const struct client_conn *c)
{
    return c->listener->edge;
}

static struct timers *
timers(void)
{
    return &loop_self()->timers;
}

/* ------------------------------------------------------------------ the peer */

static void
pack(const union address *a, uint8_t *ip, uint16_t *port)
{
    *port = a->any.sa_family == AF_UNIX ? 0 : address_port(a);
    if (a->any.sa_family == AF_INET)
        memcpy(ip, &a->v4.sin_addr, 4);
    else if (a->any.sa_family == AF_INET6)
        memcpy(ip, &a->v6.sin6_addr, 16);
}

static void
unpack(uint8_t family, const uint8_t *ip, uint16_t port, union address *a)
{
    a->any.sa_family = family;
    if (family == AF_INET) {
        a->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&a->v4.sin_addr, ip, 4);
    } else if (family == AF_INET6) {
        a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&a->v6.sin6_addr, ip, 16);
    } else {
        a->un.sun_path[0] = '\0';
    }
}

void
client_set_peer(struct client_conn *c, const union address *peer, const union address *local)
{
    char text[ADDRESS_TEXT_MAX];
    union address p = *peer, l = *local;
    size_t n;

    address_unmap(&p);
    address_unmap(&l);
    c->peer_family = (uint8_t) p.any.sa_family;
    pack(&p, c->peer_ip, &c->peer_port);
    pack(&l, c->local_ip, &c->local_port);
    n = p.any.sa_family == AF_UNIX ? 0 : address_write_ip(&p, text);
    if (p.any.sa_family == AF_UNIX) {
        memcpy(text, "unix:", 5);
        n = 5;
    }
    c->peer_text_n = (uint8_t) (n < sizeof(c->peer_text) ? n : sizeof(c->peer_text));
    memcpy(c->peer_text, text, c->peer_text_n);
}

void
client_fill(const struct client_conn *c, struct client *facts)
{
    unpack(c->peer_family, c->peer_ip, c->peer_port, &facts->peer);
    unpack(c->peer_family, c->local_ip, c->local_port, &facts->local);
    facts->listener = c->listener->name;
    facts->secure = c->secure;
    facts->tls = tls_facts(&c->sock);
    facts->trusted = false;
    facts->id = c->id;
    facts->earlier = c->requests;
    facts->peer_text = slice_of(c->peer_text, c->peer_text_n);
}

/* ------------------------------------------------------------------ the end */

static void
listener_release(struct listener *l)
{
    if (--l->refs == 0) {
        list_remove(&l->link);
        metrics_release(l->metrics);
        free(l);
    }
}

static void
release_conn(struct sock *s)
{
    struct client_conn *c = container_of(s, struct client_conn, sock);

    listener_release(c->listener);
    free(c);
}

static void
count_open(struct listener *l, int n)
{
    l->open += (uint32_t) n;
    counter_add(&l->edge->counters->open, n);
    metrics_add(l->metrics, l->edge->worker, ACCOUNT_LISTENER_OPEN, n);
}

static void
close_now(struct client_conn *c)
{
    timer_clear(timers(), &c->timer);
    io_cancel(&c->park);
    if (c->buffer)
        buffer_give(BUFFER_SMALL, take(&c->buffer));
    list_remove(&c->link);
    count_open(c->listener, -1);
    atomic_fetch_sub_explicit(&open_in_total, 1, memory_order_relaxed);
    c->sock.release = release_conn;
    sock_close(&c->sock);
}

/* Closing while the client still sends would reset the connection, and the reset may overtake our
 * answer (RFC 9112 9.6): stop sending, read on for a while. */
static void
linger(struct client_conn *c)
{
    uint64_t until_us = loop_now_us() + LINGER_US;
    size_t total = 0, n = 0;
    char *sink = c->buffer ? c->buffer : buffer_take(BUFFER_SMALL);

    c->buffer = sink;
    if (!sink || !sock_finish(&c->sock))
        return;
    while (total < LINGER_BYTES &&
           sock_recv(&c->sock, sink, BUFFER_SMALL_BYTES, until_us, &n) == OK)
        total += n;
}

/* TLS says goodbye, so that the end cannot be mistaken for one that somebody else made (RFC 8446
 * 6.1). */
static void
close_politely(struct client_conn *c)
{
    if (c->sock.layer && !sock_is_hung_up(&c->sock))
        c->sock.layer->ops->finish(&c->sock);
    close_now(c);
}

void
client_close(struct client_conn *c, bool wait)
{
    client_unwatch(c);
    if (wait && !sock_is_hung_up(&c->sock))
        linger(c);
    close_politely(c);
}

void
client_abort(struct client_conn *c)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    client_unwatch(c);
    setsockopt(c->sock.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close_now(c);
}

/* ------------------------------------------------------------------ the client goes away */

static void
on_gone(struct sock *s)
{
    struct client_conn *c = container_of(s, struct client_conn, sock);

    if (c->fiber && !c->half_close_ok)
        fiber_cancel(c->fiber, ERR_CANCELLED);
}

static void
watch_late(struct timer *t)
{
    struct client_conn *c = container_of(t, struct client_conn, timer);

    (void) loop_self()->ops->watch(&c->sock);
}

/* A connection that the loop does not know yet is registered only when the exchange takes a while:
 * most do not, and a connection for one request then costs no registration at all. */
void
client_watch(struct client_conn *c)
{
    c->sock.on_hangup = on_gone;
    if (c->sock.flags & SOCK_ATTACHED)
        return;
    c->timer.fire = watch_late;
    timer_set(timers(), &c->timer, loop_now_us() + WATCH_US);
}

void
client_unwatch(struct client_conn *c)
{
    c->sock.on_hangup = NULL;
    timer_clear(timers(), &c->timer);
}

/* ------------------------------------------------------------------ parking */

static void
on_idle(struct timer *t)
{
    close_politely(container_of(t, struct client_conn, timer));
}

static void
start_fiber(struct client_conn *c, fiber_run_f *run)
{
    struct edge *e = client_edge(c);

    timer_clear(timers(), &c->timer);
    list_remove(&c->link);
    list_push(&e->serving, &c->link);
    if (!fiber_start_now("client", run, c))
        close_now(c);
}

static void on_ready(struct io *io);

/* What has come; IO_PENDING: nothing after all. */
static ssize_t
receive_now(struct client_conn *c)
{
    ssize_t n;

    if (c->sock.layer)
        return sock_recv_now(&c->sock, c->buffer, BUFFER_SMALL_BYTES);
    n = io_recv(&c->sock, &c->park, c->buffer, BUFFER_SMALL_BYTES, on_ready);
    if (n == IO_PENDING)
        io_cancel(&c->park);
    return n;
}

/* Receives in the loop's context.  With bytes in hand a fiber takes over. */
static void
receive(struct client_conn *c)
{
    ssize_t n;

    c->buffer = buffer_take(BUFFER_SMALL);
    if (!c->buffer) {
        close_now(c);
        return;
    }
    n = receive_now(c);
    if (n == IO_PENDING) {
        /* Park without a buffer. */
        buffer_give(BUFFER_SMALL, take(&c->buffer));
        client_park(c);
        return;
    }
    if (n <= 0) {
        close_politely(c);
        return;
    }
    c->start = 0;
    c->end = (uint32_t) n;
    start_fiber(c, c->secure && !c->sock.layer ? client_greet : client_serve);
}

/* On the fiber: what has come while the last exchange was served spares parking. */
bool
client_has_more(struct client_conn *c, bool *ended)
{
    ssize_t n = sock_recv_now(&c->sock, c->buffer, BUFFER_SMALL_BYTES);

    *ended = n <= 0 && n != IO_PENDING;
    if (n <= 0)
        return false;
    c->start = 0;
    c->end = (uint32_t) n;
    return true;
}

static void
on_ready(struct io *io)
{
    struct client_conn *c = container_of(io, struct client_conn, park);

    if (io->result == -ECANCELED)
        return;
    if (io->result < 0)
        close_now(c);
    else
        receive(c);
}

static uint64_t
patience_us(const struct client_conn *c)
{
    const struct listener_config *config = c->listener->config;

    if (c->requests)
        return config->idle_timeout_us;
    return c->secure && !c->sock.layer && config->tls ? config->tls->handshake_timeout_us
                                                      : config->head_timeout_us;
}

void
client_park(struct client_conn *c)
{
    struct edge *e = client_edge(c);
    ssize_t ready;

    c->fiber = NULL;
    list_remove(&c->link);
    list_push(&e->parked, &c->link);
    /* Bytes that were none of a request (half a record of TLS) are no reason to wait longer. */
    if (c->timer.fire != on_idle || !timer_is_set(&c->timer)) {
        c->timer.fire = on_idle;
        timer_set(timers(), &c->timer, loop_now_us() + patience_us(c));
    }
    ready = sock_has_pending(&c->sock) ? 0 : io_ready(&c->sock, &c->park, IO_READABLE, on_ready);
    if (ready == 0)
        receive(c);
    else if (ready != IO_PENDING)
        close_now(c);
}

/* ------------------------------------------------------------------ accepting */

static const char busy[] =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    "Content-Length: 0\r\nProxy-Status: maitred; error=connection_limit_reached\r\n\r\n";

/* Answered without reading: there is no room for more. */
static void
refuse_connection(const struct listener *l, int fd)
{
    char dropped[2048];

    counter_add(&l->edge->counters->refused, 1);
    metrics_add(l->metrics, l->edge->worker, ACCOUNT_LISTENER_REFUSED, 1);
    (void) !recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    (void) !send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void
local_address(const struct listener *l, int fd, union address *local)
{
    socklen_t n = sizeof(*local);

    *local = l->address;
    /* Which of the machine's addresses matters only where the listener takes any. */
    if (l->address.any.sa_family != AF_UNIX && getsockname(fd, &local->any, &n) != 0)
        *local = l->address;
}

static bool
is_wildcard(const union address *a)
{
    return (a->any.sa_family == AF_INET && a->v4.sin_addr.s_addr == 0) ||
           (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr));
}

static void
on_accept(struct acceptor *a, int fd, const union address *peer)
{
    struct listener *l = container_of(a, struct listener, acceptor);
    struct edge *e = l->edge;
    struct client_conn *c = NULL;
    union address local = l->address;

    counter_add(&e->counters->connections, 1);
    metrics_add(l->metrics, e->worker, ACCOUNT_LISTENER_CONNECTIONS, 1);
    if (atomic_fetch_add_explicit(&open_in_total, 1, memory_order_relaxed) < e->max_connections &&
        atomic_load_explicit(&e->counters->open, memory_order_relaxed) < e->max_own)
        c = calloc(1, sizeof(*c));
    if (!c) {
        log_warning("at the limit of connections: answered 503 reason=overloaded limit=%llu",
                    (unsigned long long) (e->max_own < e->max_connections ? e->max_own
                                                                          : e->max_connections));
        atomic_fetch_sub_explicit(&open_in_total, 1, memory_order_relaxed);
        refuse_connection(l, fd);
        return;
    }
    sock_init(&c->sock, fd);
    c->listener = l;
    l->refs++;
    c->id = atomic_load_explicit(&e->counters->connections, memory_order_relaxed) << 8 | e->worker;
    c->secure = l->config->tls != NULL;
    c->proxied = !l->config->proxy_protocol;
    if (is_wildcard(&l->address))
        local_address(l, fd, &local);
    client_set_peer(c, peer, &local);
    list_push(&e->parked, &c->link);
    count_open(l, 1);
    receive(c);
}

/* Descriptors are used up: one is kept in reserve, with which the client hears a 503. */
static void
on_trouble(struct acceptor *a, enum err err)
{
    struct listener *l = container_of(a, struct listener, acceptor);
    struct edge *e = l->edge;

    if (err != ERR_NO_DESCRIPTORS || e->spare_fd < 0)
        return;
    log_warning("out of file descriptors: new connections are answered with 503 reason=overloaded");
    close(e->spare_fd);
    for (int i = 0; i < 64; i++) {
        int fd = accept4(a->sock.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            break;
        refuse_connection(l, fd);
    }
    e->spare_fd = dup(STDERR_FILENO);
}

static void
on_stopped(struct acceptor *a)
{
    listener_release(container_of(a, struct listener, acceptor));
}

/* ------------------------------------------------------------------ snapshots and listeners */

struct snapshot_use *
use_hold(struct edge *e)
{
    e->use->count++;
    return e->use;
}

void
use_release(struct snapshot_use *u)
{
    if (--u->count > 0)
        return;
    if (atomic_fetch_sub(&u->snapshot->refs, 1) == 1)
        u->snapshot->unused(u->snapshot);
    free(u);
}

static struct listener *
listener_find(struct edge *e, const union address *address)
{
    list_each (link, &e->listeners) {
        struct listener *l = list_entry(link, struct listener, link);

        if (!l->acceptor.stopped && address_eq(&l->address, address))
            return l;
    }
    return NULL;
}

/* Connections that are open count under the name that the listener has now. */
static void
listener_count(struct listener *l, struct metrics *m)
{
    int64_t open = l->open;

    if (m == l->metrics)
        return;
    metrics_add(l->metrics, l->edge->worker, ACCOUNT_LISTENER_OPEN, -open);
    metrics_release(l->metrics);
    l->metrics = metrics_hold(m);
    metrics_add(l->metrics, l->edge->worker, ACCOUNT_LISTENER_OPEN, open);
}

static void
listener_configure(struct listener *l, const struct listener_config *config)
{
    size_t n = config->name.n < sizeof(l->name_text) ? config->name.n : sizeof(l->name_text);

    memcpy(l->name_text, config->name.at, n);
    l->name = slice_of(l->name_text, n);
    l->config = config;
    listener_count(l, config->metrics);
}

static void
listener_new(struct edge *e, const struct listener_config *config, int fd)
{
    struct listener *l = calloc(1, sizeof(*l));

    if (!l) {
        close(fd);
        return;
    }
    l->edge = e;
    l->address = config->address;
    l->refs = 1;
    l->acceptor.on_accept = on_accept;
    l->acceptor.on_trouble = on_trouble;
    l->acceptor.on_stopped = on_stopped;
    list_append(&e->listeners, &l->link);
    listener_configure(l, config);
    (void) acceptor_start(&l->acceptor, fd);
}

/* An address may have several sockets.  False: it has none. */
static bool
configure_all(struct edge *e, const struct listener_config *config)
{
    bool found = false;

    list_each (link, &e->listeners) {
        struct listener *l = list_entry(link, struct listener, link);

        if (l->acceptor.stopped || !address_eq(&l->address, &config->address))
            continue;
        listener_configure(l, config);
        found = true;
    }
    return found;
}

/* Listeners that the snapshot does not have stop; their connections go on under the options of the
 * first listener, which is as good as any for what is left of them. */
static void
stop_others(struct edge *e, const struct listener_config *configs, size_t n)
{
    list_each (link, &e->listeners) {
        struct listener *l = list_entry(link, struct listener, link);
        bool wanted = false;

        for (size_t i = 0; i < n && !wanted; i++)
            wanted = address_eq(&l->address, &configs[i].address) && !l->acceptor.stopped;
        if (wanted)
            continue;
        if (n)
            l->config = &configs[0];
        acceptor_stop(&l->acceptor);
    }
}

bool
edge_listens(const struct snapshot *s, const union address *address)
{
    const struct listener_config *l = s->listeners.at;

    for (size_t i = 0; i < s->listeners.n; i++)
        if (address_eq(&l[i].address, address))
            return true;
    return false;
}

void
edge_use(struct edge *e, struct snapshot *s, const int *fds)
{
    const struct listener_config *configs = s->listeners.at;
    struct snapshot_use *old = e->use, *use = calloc(1, sizeof(*use));

    CHECK(use != NULL);
    atomic_fetch_add(&s->refs, 1);
    *use = (struct snapshot_use){s, 1};
    if (old)
        edge_flush_logs(e);
    e->use = use;
    for (size_t i = 0; i < s->listeners.n; i++) {
        if (!configure_all(e, &configs[i]) && fds[i] >= 0)
            listener_new(e, &configs[i], fds[i]);
    }
    stop_others(e, configs, s->listeners.n);
    if (old)
        use_release(old);
}

void
edge_listen(struct edge *e, const union address *address, int fd)
{
    struct listener *l = listener_find(e, address);

    if (l)
        listener_new(e, l->config, fd);
    else
        close(fd);
}

void
edge_flush_logs(struct edge *e)
{
    const struct option_list *logs = &e->use->snapshot->logs;
    const struct access_log *log = logs->at;

    for (size_t i = 0; i < logs->n; i++)
        sink_flush(sink_tap(log[i].sink, e->worker));
}

struct edge *
edge_new(unsigned worker, uint64_t max_connections, uint64_t max_own)
{
    struct edge *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->worker = worker;
    e->max_connections = max_connections;
    e->max_own = max_own;
    e->counters = account_begin(worker);
    loop_self()->figures = &e->counters->loop;
    e->spare_fd = dup(STDERR_FILENO);
    list_init(&e->listeners);
    list_init(&e->parked);
    list_init(&e->serving);
    list_init(&e->sessions);
    list_init(&e->tunnels);
    return e;
}

void
edge_retire(struct edge *e)
{
    e->draining = e->retiring = true;
    list_each (link, &e->listeners)
        acceptor_stop(&list_entry(link, struct listener, link)->acceptor);
    h2_drain_all(e);
}

void
edge_drain(struct edge *e)
{
    edge_retire(e);
    e->retiring = false;
    list_each (link, &e->parked)
        close_politely(list_entry(link, struct client_conn, link));
}

bool
edge_is_empty(const struct edge *e)
{
    return e->counters->open == 0 && e->counters->tunnels == 0;
}

void
edge_cut(struct edge *e)
{
    upgrade_cut_all(e);
    h2_cut_all(e);
    list_each (link, &e->serving) {
        struct client_conn *c = list_entry(link, struct client_conn, link);

        if (c->fiber)
            fiber_cancel(c->fiber, ERR_CANCELLED);
    }
}

void
edge_free(struct edge *e)
{
    if (e->use)
        use_release(e->use);
    if (e->spare_fd >= 0)
        close(e->spare_fd);
    trace_exit();
    recorded_exit();
    free(e);
}
