/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/c/handshakes.c - TLS 1.3 handshakes, full or resumed, no request sent (one epoll thread).
 *
 *   handshakes PORT CONNS SECONDS full|resumed NAMES
 *
 * CONNS handshakes are under way at any time, for the names hN.bench.test, N below NAMES, in turn
 * but not in order.  SECONDS may be 0: until each name had its turn.  With "resumed" a ticket is
 * fetched first, with a request, and shown on each connection.  Prints "handshakes=N resumed=N
 * failed=N secs=F".
 *
 * The load has a core of its own, so what a handshake costs here does not matter much.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, TICK_MS = 100, STEP = 7919 };

struct conn {
    int fd;
    SSL *ssl;
};

static SSL_CTX *ctx;
static SSL_SESSION *ticket; /* shown on each connection, or NULL */
static struct sockaddr_in to = {.sin_family = AF_INET};
static unsigned long names, last_name, done, resumed, failed;
static int ep;

static void
fail(const char *what)
{
    fprintf(stderr, "handshakes: %s\n", what);
    exit(1);
}

static double
now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Each comes once before one comes again: the step is a prime, and NAMES is no multiple of it. */
static unsigned long
next_name(void)
{
    last_name = (last_name + STEP) % names;
    return last_name;
}

static SSL *
ssl_new(int fd)
{
    char name[64];
    SSL *ssl = SSL_new(ctx);
    snprintf(name, sizeof name, "h%lu.bench.test", next_name());
    if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, name))
        fail("no SSL");
    return ssl;
}

/* No close_notify, no word to the other side: what ends is the TCP connection. */
static void
ssl_forget(SSL *ssl)
{
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    ERR_clear_error();
}

/* ------------------------------------------------------------------ the ticket */

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void) ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1; /* the reference is ours now */
}

/* Tickets come after the handshake, so the answer to a request is read to the end. */
static void
fetch_ticket(void)
{
    static const char request[] =
        "GET /s/128 HTTP/1.1\r\nHost: h0.bench.test\r\nConnection: close\r\n\r\n";
    struct timeval patience = {3, 0};
    char b[4096];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
    SSL *ssl = ssl_new(fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *) &to, sizeof to) || SSL_connect(ssl) != 1 ||
        SSL_write(ssl, request, (int) sizeof request - 1) <= 0)
        fail("the first handshake failed");
    while (SSL_read(ssl, b, sizeof b) > 0)
        continue;
    ssl_forget(ssl);
    close(fd);
    SSL_CTX_sess_set_new_cb(ctx, NULL);
    if (!ticket)
        fail("no ticket");
}

/* ------------------------------------------------------------------ handshakes */

static void
conn_begin(struct conn *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("no socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->ssl = ssl_new(c->fd);
    if (ticket) {
        /* A copy: OpenSSL marks a session of TLS 1.3 as used. */
        SSL_SESSION *copy = SSL_SESSION_dup(ticket);
        SSL_set_session(c->ssl, copy);
        SSL_SESSION_free(copy);
    }
    SSL_set_connect_state(c->ssl);
    if (connect(c->fd, (struct sockaddr *) &to, sizeof to) && errno != EINPROGRESS)
        fail("cannot connect");
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void
conn_again(struct conn *c)
{
    ssl_forget(c->ssl);
    close(c->fd);
    conn_begin(c);
}

static void
conn_event(struct conn *c)
{
    int r = SSL_do_handshake(c->ssl), e = SSL_get_error(c->ssl, r);
    if (r != 1 && (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE))
        return;
    if (r != 1)
        failed++;
    else if (SSL_session_reused(c->ssl))
        resumed++;
    done += r == 1;
    conn_again(c);
}

static double
run(size_t n_conns, double secs)
{
    static struct epoll_event ev[EVENTS];
    struct conn *conns = calloc(n_conns, sizeof *conns);
    double start_s = now_s(), at_s = start_s;
    if (!conns)
        fail("out of memory");
    for (size_t i = 0; i < n_conns; i++)
        conn_begin(&conns[i]);
    while (secs > 0 ? at_s - start_s < secs : done + failed < names) {
        int n = epoll_wait(ep, ev, EVENTS, TICK_MS);
        for (int i = 0; i < n; i++)
            conn_event(ev[i].data.ptr);
        at_s = now_s();
    }
    return at_s - start_s;
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: handshakes PORT CONNS SECONDS full|resumed NAMES\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    to.sin_port = htons((uint16_t) strtoul(argv[1], NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t n_conns = strtoul(argv[2], NULL, 10);
    names = strtoul(argv[5], NULL, 10);
    ep = epoll_create1(EPOLL_CLOEXEC);
    ctx = SSL_CTX_new(TLS_client_method());
    if (ep < 0 || !ctx || !n_conns || !names || names % STEP == 0 ||
        !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
        fail("cannot begin");
    if (strcmp(argv[4], "resumed") == 0)
        fetch_ticket();
    double secs = run(n_conns, strtod(argv[3], NULL));
    printf("handshakes=%lu resumed=%lu failed=%lu secs=%.3f\n", done, resumed, failed, secs);
    return 0;
}
