/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/c/openloop.c - open-loop HTTP/1.1 load (one epoll thread).
 *
 *   openloop PORT RATE CONNS SECONDS PATH TICK_US
 *
 * Requests are due at fixed times, RATE per second, whether or not earlier ones have been answered,
 * and latency counts from the time a request was due, so that a stall of the proxy shows in full.
 * With TICK_US the due times are rounded up to multiples of it (small bursts), which spares the
 * generator a timer per request; with 0 they are evenly spaced.  Request k prefers connection k mod
 * CONNS and takes any idle one otherwise; when all are busy it waits.  A connection that the peer
 * closes while idle is opened again and only counted ("reopened"); one lost with a request in
 * flight is a failure.  Prints one line of key=value pairs; latencies in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUF = 32768, SUB = 64 /* buckets per power of two */, BUCKETS = 40 * SUB, EVENTS = 1024 };

struct conn {
    int fd, idle_pos; /* -1 while busy */
    bool busy, in_body, close_after;
    uint64_t due_ns;
    long body_left;
    size_t len;
    char buf[BUF + 1];
};

static struct conn *conns;
static int *idle, n_idle, n_conns, ep;
static struct sockaddr_in to = {.sin_family = AF_INET};
static char request[1024];
static size_t request_len;
static uint64_t hist[BUCKETS], max_us, start_ns, tick_ns;
static double rate;
static unsigned long sent, ok, err_status, err_eof, err_reset, err_connect, reopened;

static uint64_t
due_ns(uint64_t k)
{
    uint64_t after = (uint64_t) ((double) k * 1e9 / rate);
    if (tick_ns)
        after = (after + tick_ns - 1) / tick_ns * tick_ns;
    return start_ns + after;
}

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static void
count_latency(uint64_t us)
{
    uint64_t b = us;
    if (us >= SUB) {
        unsigned e = 57u - (unsigned) __builtin_clzll(us);
        b = (e + 1) * SUB + (us >> e) - SUB;
    }
    hist[b < BUCKETS ? b : BUCKETS - 1]++;
    if (us > max_us)
        max_us = us;
}

static double
percentile(double p)
{
    uint64_t want = (uint64_t) ((double) ok * p), seen = 0;
    for (uint64_t b = 0; b < BUCKETS; b++) {
        seen += hist[b];
        if (seen > want)
            return (double) (b < SUB ? b : (SUB + b % SUB) << (b / SUB - 1));
    }
    return (double) max_us;
}

static void
set_idle(struct conn *c)
{
    c->busy = false;
    c->idle_pos = n_idle;
    idle[n_idle++] = (int) (c - conns);
}

static void
unset_idle(struct conn *c)
{
    int last = idle[--n_idle];
    idle[c->idle_pos] = last;
    conns[last].idle_pos = c->idle_pos;
    c->idle_pos = -1;
}

static void
open_conn(struct conn *c)
{
    struct timespec pause = {.tv_nsec = 500000};
    int one = 1;
    for (int tries = 0;; tries++) {
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        /* Blocking: on the loopback it is done at once or fails. */
        if (connect(c->fd, (struct sockaddr *) &to, sizeof to) == 0)
            break;
        close(c->fd);
        err_connect++;
        if (tries == 2000) {
            fprintf(stderr, "openloop: cannot connect\n");
            exit(1);
        }
        nanosleep(&pause, NULL);
    }
    c->close_after = false;
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
    set_idle(c);
}

static void
reopen(struct conn *c)
{
    if (c->idle_pos >= 0)
        unset_idle(c);
    close(c->fd);
    open_conn(c);
}

static void
issue(struct conn *c, uint64_t due)
{
    unset_idle(c);
    c->busy = true;
    c->due_ns = due;
    c->len = 0;
    c->in_body = false;
    sent++;
    if (send(c->fd, request, request_len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) request_len) {
        err_reset++;
        reopen(c);
    }
}

static void
finish(struct conn *c)
{
    count_latency((now_ns() - c->due_ns) / 1000);
    ok++;
    if (c->close_after) {
        close(c->fd);
        open_conn(c);
    } else {
        set_idle(c);
    }
}

/* Looks for the end of the head; the peers all send a Content-Length for the origin's responses. */
static void
parse_head(struct conn *c)
{
    c->buf[c->len] = 0;
    char *end = strstr(c->buf, "\r\n\r\n");
    if (!end)
        return;
    if (strncmp(c->buf, "HTTP/1.1 200", 12) != 0)
        err_status++;
    c->in_body = true;
    c->body_left = 0;
    for (char *p = strchr(c->buf, '\n'); p && p < end; p = strchr(p, '\n')) {
        p++;
        if (strncasecmp(p, "content-length:", 15) == 0)
            c->body_left = strtol(p + 15, NULL, 10);
        else if (strncasecmp(p, "connection: close", 17) == 0)
            c->close_after = true;
    }
    c->body_left -= (long) c->len - (end + 4 - c->buf);
}

static void
lost(struct conn *c, bool reset)
{
    if (!c->busy)
        reopened++;
    else if (reset)
        err_reset++;
    else
        err_eof++;
    reopen(c);
}

static void
readable(struct conn *c)
{
    for (;;) {
        ssize_t r = recv(c->fd, c->buf + c->len, BUF - c->len, MSG_DONTWAIT);
        if (r < 0 && errno == EAGAIN)
            return;
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            lost(c, r < 0);
            return;
        }
        if (!c->busy)
            continue; /* nothing was asked: overwritten by the next */
        if (c->in_body) {
            c->body_left -= r;
        } else {
            c->len += (size_t) r;
            parse_head(c);
            if (!c->in_body && c->len == BUF) {
                err_status++;
                reopen(c);
                return;
            }
        }
        if (c->in_body)
            c->len = 0;
        if (c->in_body && c->body_left <= 0) {
            finish(c);
            return;
        }
    }
}

static uint64_t
issue_due(uint64_t k, uint64_t total)
{
    uint64_t now = now_ns();
    while (k < total && n_idle && due_ns(k) <= now) {
        struct conn *c = &conns[k % (uint64_t) n_conns];
        if (c->idle_pos < 0)
            c = &conns[idle[0]];
        issue(c, due_ns(k));
        k++;
    }
    return k;
}

/* Issues all requests and waits for their answers; returns how many were never sent. */
static uint64_t
run(double secs)
{
    static struct epoll_event ev[EVENTS];
    uint64_t total = (uint64_t) (rate * secs), k = 0;
    start_ns = now_ns();
    for (;;) {
        k = issue_due(k, total);
        uint64_t now = now_ns(), due = due_ns(k);
        if (k >= total && (n_idle == n_conns || now > start_ns + (uint64_t) ((secs + 2) * 1e9)))
            break;
        if (now > start_ns + (uint64_t) ((secs * 2 + 3) * 1e9))
            break;
        struct timespec wait = {.tv_nsec = 2000000};
        if (k < total && n_idle) {
            uint64_t ns = due > now ? due - now : 0;
            wait.tv_nsec = (long) (ns < 100000000 ? ns : 100000000);
        }
        int n = epoll_pwait2(ep, ev, EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++)
            readable(ev[i].data.ptr);
    }
    return total - k;
}

int
main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc != 7) {
        fprintf(stderr, "usage: openloop PORT RATE CONNS SECONDS PATH TICK_US\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t) strtoul(argv[1], NULL, 10));
    rate = strtod(argv[2], NULL);
    n_conns = (int) strtol(argv[3], NULL, 10);
    tick_ns = strtoull(argv[6], NULL, 10) * 1000;
    request_len = (size_t) snprintf(request, sizeof request,
                                    "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                                    "User-Agent: openloop\r\n\r\n",
                                    argv[5]);
    ep = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc((size_t) n_conns, sizeof *conns);
    idle = calloc((size_t) n_conns, sizeof *idle);
    if (!conns || !idle)
        return 1;
    for (int i = 0; i < n_conns; i++)
        open_conn(&conns[i]);
    uint64_t unsent = run(strtod(argv[4], NULL));
    printf("sent=%lu ok=%lu err_status=%lu err_eof=%lu err_reset=%lu err_connect=%lu reopened=%lu "
           "unsent=%llu p50=%.0f p99=%.0f p999=%.0f max=%llu\n",
           sent, ok, err_status, err_eof, err_reset, err_connect, reopened,
           (unsigned long long) unsent, percentile(.5), percentile(.99), percentile(.999),
           (unsigned long long) max_us);
    return 0;
}
