/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/listen.c - listening sockets and the acceptor.
 *
 * Listening descriptors are level-triggered: what one round leaves is announced again.  How many
 * are accepted in a round adapts, so that a lone connection does not cost a second accept() that
 * finds nothing, and a crowd does not cost a round for each.
 */
#include "runtime/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BURST_MAX = 32, PAUSE_US = 100000, LAST_BURST = 65536, DEFER_S = 1 };

static void
set_options(int fd, const union address *at, bool reuse_port)
{
    int one = 1, zero = 0, defer = DEFER_S;

    if (at->any.sa_family == AF_UNIX)
        return;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (at->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    /* Accepted sockets inherit these, which spares a call for each. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    /* Connections are handed over when their first bytes are there (or after a second without any):
     * the first receive need not wait. */
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
    sock_tune_loopback(fd, at);
}

/* A socket file that nobody listens on any more is in the way of bind(). */
static void
remove_stale(const union address *at)
{
    struct stat st;
    int fd;

    if (at->any.sa_family != AF_UNIX || stat(at->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &at->any, address_length(at)) != 0 && errno == ECONNREFUSED)
        unlink(at->un.sun_path);
    close(fd);
}

int
sock_listen(const union address *at, int backlog, bool reuse_port)
{
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_options(fd, at, reuse_port);
    remove_stale(at);
    if (bind(fd, &at->any, address_length(at)) == 0 && listen(fd, backlog) == 0) {
        /* Who may reach the folder may connect, as with a port. */
        if (at->any.sa_family == AF_UNIX)
            chmod(at->un.sun_path, 0666);
        return fd;
    }
    backlog = errno;
    close(fd);
    return -backlog;
}

static void wait_for_more(struct acceptor *a);

static void
on_pause_over(struct timer *t)
{
    wait_for_more(container_of(t, struct acceptor, pause));
}

/* Errors of accept() that concern one connection, or us for a while; accept(2). */
static bool
accept_failed(struct acceptor *a, int number)
{
    switch (number) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        a->on_trouble(a, err_from_errno(number));
        a->pause.fire = on_pause_over;
        timer_set(&loop_current->timers, &a->pause, loop_now_us() + PAUSE_US);
        return true;
    default:
        return false;
    }
}

static void
accept_some(struct acceptor *a)
{
    for (unsigned i = 0; i < a->burst && !a->stopped; i++) {
        union address peer;
        socklen_t n = sizeof(peer);
        int fd = accept4(a->sock.fd, &peer.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            if (n <= sizeof(peer.any.sa_family))
                peer.un = (struct sockaddr_un){.sun_family = AF_UNIX};
            a->on_accept(a, fd, &peer);
            continue;
        }
        if (accept_failed(a, errno))
            return;
        a->burst = i ? i : 1;
        wait_for_more(a);
        return;
    }
    if (a->burst < BURST_MAX)
        a->burst *= 2;
    wait_for_more(a);
}

static void
on_connections(struct io *io)
{
    struct acceptor *a = container_of(io, struct acceptor, io);

    if (io->result != -ECANCELED)
        accept_some(a);
}

static void
wait_for_more(struct acceptor *a)
{
    if (!a->stopped)
        CHECK(io_ready(&a->sock, &a->io, IO_READABLE, on_connections) == IO_PENDING);
}

static void
on_released(struct sock *s)
{
    struct acceptor *a = container_of(s, struct acceptor, sock);

    if (a->on_stopped)
        a->on_stopped(a);
}

enum err
acceptor_start(struct acceptor *a, int fd)
{
    ssize_t started;

    sock_init(&a->sock, fd);
    a->sock.flags = SOCK_LEVEL | SOCK_SHARED;
    a->sock.release = on_released;
    a->burst = 1;
    started = io_ready(&a->sock, &a->io, IO_READABLE, on_connections);
    return started == IO_PENDING ? OK : err_from_errno((int) -started);
}

void
acceptor_stop(struct acceptor *a)
{
    if (a->stopped)
        return;
    /* Those who are in the backlog already have been promised an answer. */
    io_cancel(&a->io);
    for (unsigned i = 0; i < LAST_BURST; i++) {
        union address peer;
        socklen_t n = sizeof(peer);
        int fd = accept4(a->sock.fd, &peer.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            break;
        a->on_accept(a, fd, &peer);
    }
    a->stopped = true;
    timer_clear(&loop_current->timers, &a->pause);
    io_cancel(&a->io);
    sock_close(&a->sock);
}
