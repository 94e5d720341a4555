/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/dns.c - c-ares, driven by this thread's loop.
 *
 * c-ares opens its own sockets and tells which it wants watched; each becomes a sock of ours here,
 * and a timer lets c-ares look at its time-outs.  Everything runs in the loop's context; only the
 * asking fiber waits.
 */
#include "runtime/dns.h"

#include "runtime/fiber.h"
#include "runtime/loop.h"

/* ares_query() hands an answer over as it came; newer versions, which would rather have it read by
 * them, call that deprecated. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <unistd.h>

enum { TIMEOUT_MS = 2000, TRIES = 3, TICK_US = 100000 };

struct resolver {
    ares_channel channel;
    struct timer tick;
    struct list  sockets;
    unsigned     asking;
};

/* A descriptor of c-ares: we watch a duplicate, so that closing stays with its owner on each
 * side. */
struct watched {
    struct list     link;
    struct sock     sock;
    struct io       readable, writable;
    struct resolver *resolver;
    ares_socket_t   theirs;
};

/* Outlives the fiber's interest in it: c-ares always answers, if only that it was destroyed. */
struct question {
    struct fiber          *fiber;
    struct dns_answer     *addresses; /* one of the two is wanted */
    struct dns_srv_answer *services;
    uint16_t               port;
    enum err               err;
    bool                   done, abandoned;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void
library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static void
on_tick(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, tick);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (r->asking)
        timer_set(&loop_current->timers, t, loop_now_us() + TICK_US);
}

static void watch_reading(struct watched *w);

static void
on_socket_readable(struct io *io)
{
    struct watched *w = container_of(io, struct watched, readable);

    if (io->result < 0)
        return;
    /* c-ares reads until there is nothing left, so the next edge is the one to wait for. */
    w->sock.flags &= (uint8_t) ~SOCK_READABLE;
    ares_process_fd(w->resolver->channel, w->theirs, ARES_SOCKET_BAD);
    if (w->sock.fd >= 0)
        watch_reading(w);
}

static void
watch_reading(struct watched *w)
{
    if (!io_in_flight(&w->readable))
        (void) io_ready(&w->sock, &w->readable, IO_READABLE, on_socket_readable);
}

static void
on_socket_writable(struct io *io)
{
    struct watched *w = container_of(io, struct watched, writable);

    if (io->result >= 0)
        ares_process_fd(w->resolver->channel, ARES_SOCKET_BAD, w->theirs);
}

static void
free_watched(struct sock *s)
{
    free(container_of(s, struct watched, sock));
}

static void
unwatch(struct watched *w)
{
    list_remove(&w->link);
    io_cancel(&w->readable);
    io_cancel(&w->writable);
    sock_close(&w->sock);
}

static struct watched *
find_watched(struct resolver *r, ares_socket_t fd)
{
    list_each (l, &r->sockets) {
        struct watched *w = list_entry(l, struct watched, link);

        if (w->theirs == fd)
            return w;
    }
    return NULL;
}

static struct watched *
watch(struct resolver *r, ares_socket_t fd)
{
    struct watched *w = calloc(1, sizeof(*w));
    int copy = w ? dup(fd) : -1;

    if (copy < 0) {
        free(w);
        return NULL;
    }
    sock_init(&w->sock, copy);
    w->sock.flags = SOCK_SHARED;
    w->sock.release = free_watched;
    w->resolver = r;
    w->theirs = fd;
    list_push(&r->sockets, &w->link);
    return w;
}

static void
on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct watched *w = find_watched(r, fd);

    if (!readable && !writable) {
        if (w)
            unwatch(w);
        return;
    }
    if (!w)
        w = watch(r, fd);
    if (!w)
        return; /* the query ends by its time-out */
    if (readable)
        watch_reading(w);
    if (writable && !io_in_flight(&w->writable))
        (void) io_ready(&w->sock, &w->writable, IO_WRITABLE, on_socket_writable);
}

static enum err
open_channel(struct resolver *r)
{
    struct ares_options options = {.timeout = TIMEOUT_MS,
                                   .tries = TRIES,
                                   .sock_state_cb = on_state,
                                   .sock_state_cb_data = r};
    int which = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

    /* Newer versions remember answers, even when somebody wants to know anew. */
#ifdef ARES_OPT_QUERY_CACHE
    which |= ARES_OPT_QUERY_CACHE;
    options.qcache_max_ttl = 0;
#endif
    return ares_init_options(&r->channel, &options, which) == ARES_SUCCESS ? OK : ERR_NO_MEMORY;
}

static struct resolver *
resolver_self(void)
{
    struct resolver *r = loop_current->resolver;

    if (r)
        return r;
    pthread_once(&library_once, library_init);
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    list_init(&r->sockets);
    r->tick.fire = on_tick;
    if (open_channel(r) != OK) {
        free(r);
        return NULL;
    }
    loop_current->resolver = r;
    return r;
}

static int
compare(const void *a, const void *b)
{
    const union address *x = a, *y = b;

    if (x->any.sa_family != y->any.sa_family)
        return x->any.sa_family == AF_INET ? -1 : 1;
    return x->any.sa_family == AF_INET
               ? memcmp(&x->v4.sin_addr, &y->v4.sin_addr, sizeof(x->v4.sin_addr))
               : memcmp(&x->v6.sin6_addr, &y->v6.sin6_addr, sizeof(x->v6.sin6_addr));
}

static void
fill(const struct question *q, const struct ares_addrinfo *info)
{
    struct dns_answer *a = q->addresses;

    *a = (struct dns_answer){.ttl_s = UINT32_MAX};
    for (const struct ares_addrinfo_node *n = info->nodes; n && a->n < DNS_ADDRESSES_MAX;
         n = n->ai_next) {
        union address *to = &a->addresses[a->n];

        if ((size_t) n->ai_addrlen > sizeof(*to))
            continue;
        memcpy(to, n->ai_addr, (size_t) n->ai_addrlen);
        if (n->ai_family == AF_INET)
            to->v4.sin_port = htons(q->port);
        else
            to->v6.sin6_port = htons(q->port);
        if ((uint32_t) n->ai_ttl < a->ttl_s)
            a->ttl_s = n->ai_ttl < 0 ? 0 : (uint32_t) n->ai_ttl;
        a->n++;
    }
    qsort(a->addresses, a->n, sizeof(a->addresses[0]), compare);
}

static enum err
error_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: return OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME: return ERR_NOT_FOUND;
    case ARES_ENOMEM: return ERR_NO_MEMORY;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return ERR_CANCELLED;
    case ARES_ECONNREFUSED: return ERR_REFUSED;
    default: return ERR_TIMEOUT;
    }
}

/* True when nobody waits any more; then it is gone. */
static bool
was_abandoned(struct question *q)
{
    bool abandoned = q->abandoned;

    if (abandoned)
        free(q);
    return abandoned;
}

static void
finish(struct question *q, enum err e)
{
    q->err = e;
    q->done = true;
    /* May be called from within asking, on the asking fiber itself. */
    if (q->fiber != fiber_self())
        fiber_resume(q->fiber);
}

static void
on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct question *q = arg;
    enum err e = error_of(status);

    (void) timeouts;
    if (!was_abandoned(q)) {
        if (info && e == OK)
            fill(q, info);
        if (e == OK && q->addresses->n == 0)
            e = ERR_NOT_FOUND;
        finish(q, e);
    }
    if (info)
        ares_freeaddrinfo(info);
}

static void
on_services(void *arg, int status, int timeouts, unsigned char *message, int bytes)
{
    struct question *q = arg;
    enum err e = error_of(status);

    (void) timeouts;
    if (was_abandoned(q))
        return;
    if (e == OK)
        e = dns_srv_read(slice_of((const char *) message, bytes > 0 ? (size_t) bytes : 0),
                         q->services);
    finish(q, e);
}

static void
ask_addresses(struct resolver *r, const char *name, struct question *q)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    ares_getaddrinfo(r->channel, name, NULL, &hints, on_addresses, q);
}

static void
ask_services(struct resolver *r, const char *name, struct question *q)
{
    ares_query(r->channel, name, ns_c_in, ns_t_srv, on_services, q);
}

static enum err
wait_for(struct resolver *r, struct question *q)
{
    r->asking++;
    if (!timer_is_set(&r->tick))
        timer_set(&loop_current->timers, &r->tick, loop_now_us() + TICK_US);
    while (!q->done && fiber_self()->cancelled == OK)
        fiber_sleep_until(loop_now_us() + 60000000u);
    r->asking--;
    return q->done ? q->err : ERR_CANCELLED;
}

static enum err
ask(struct slice name, const struct question *wanted,
    void (*begin)(struct resolver *r, const char *name, struct question *q))
{
    struct resolver *r = resolver_self();
    struct question *q = calloc(1, sizeof(*q));
    char text[DNS_NAME_MAX + 1];
    enum err e;

    if (!r || !q || name.n >= sizeof(text)) {
        free(q);
        return name.n >= sizeof(text) ? ERR_NOT_FOUND : ERR_NO_MEMORY;
    }
    memcpy(text, name.at, name.n);
    text[name.n] = '\0';
    *q = *wanted;
    q->fiber = fiber_self();
    begin(r, text, q);
    e = wait_for(r, q);
    if (q->done)
        free(q);
    else
        q->abandoned = true;
    return e;
}

enum err
dns_resolve(struct slice name, uint16_t port, struct dns_answer *answer)
{
    struct question q = {.addresses = answer, .port = port};

    return ask(name, &q, ask_addresses);
}

enum err
dns_srv(struct slice name, struct dns_srv_answer *answer)
{
    struct question q = {.services = answer};

    return ask(name, &q, ask_services);
}

void
dns_exit(void)
{
    struct resolver *r = take(&loop_current->resolver);

    if (!r)
        return;
    timer_clear(&loop_current->timers, &r->tick);
    ares_destroy(r->channel);
    CHECK(list_is_empty(&r->sockets));
    free(r);
}
