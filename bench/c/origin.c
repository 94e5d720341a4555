/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/c/origin.c - small, fast HTTP/1.1 origin server for the benchmarks.
 *
 *   origin PORT STATS_PORT
 *
 * One epoll thread, prebuilt responses: GET /s/SIZE is answered by SIZE bytes, GET /d/MS/SIZE the
 * same after MS milliseconds (one MS in a run: answers leave in the order of requests), GET /c/SIZE
 * and /w/MS/SIZE by such as caches may keep, with one Cache-Tag, anything else by 128.  What stands
 * behind the size makes another URI.  Keep-alive, pipelining and "Connection: close" are handled;
 * requests have no bodies.  A connection to STATS_PORT gets one line of counters
 * ("open= peak= accepted= requests=") and resets the peak.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_MAX = 16384,
    RESPONSES = 64,
    EVENTS = 512,
    SIZE_MAX_BYTES = 64 << 20,
    SIZE_DEFAULT = 128
};

struct response {
    struct kind {
        long size;
        bool closing, kept;
    } kind;
    char *data;
    size_t len;
};

struct conn {
    int fd;
    struct response *out; /* being written, or NULL */
    size_t out_off, in_len;
    bool close_after, want_write, dead;
    uint64_t due_us;      /* the answer waits until then; 0: it does not */
    struct conn *next_due;
    char in[IN_MAX + 1];
};

static struct response responses[RESPONSES];
static size_t n_responses;
static int ep;
static long n_open, n_peak;
static unsigned long long n_accepted, n_requests;
static struct conn *first_due, **last_due = &first_due;
static int listen_tag, stats_tag; /* their addresses tell the two listeners apart */

static uint64_t
now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static struct response *
response_get(struct kind k)
{
    for (size_t i = 0; i < n_responses; i++) {
        const struct kind *at = &responses[i].kind;
        if (at->size == k.size && at->closing == k.closing && at->kept == k.kept)
            return &responses[i];
    }
    if (n_responses == RESPONSES) {
        fprintf(stderr, "origin: more than %d sorts of responses\n", RESPONSES);
        exit(1);
    }
    char head[320], date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                     "%s%sContent-Length: %ld\r\n\r\n",
                     date, k.kept ? "Cache-Control: max-age=86400\r\nCache-Tag: bench\r\n" : "",
                     k.closing ? "Connection: close\r\n" : "", k.size);
    struct response *r = &responses[n_responses++];
    *r = (struct response){.kind = k, .len = (size_t) n + (size_t) k.size};
    r->data = malloc(r->len);
    if (!r->data)
        abort();
    memcpy(r->data, head, (size_t) n);
    memset(r->data + n, 'x', (size_t) k.size);
    return r;
}

static void
conn_close(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    close(c->fd);
    n_open--;
}

static void
want_write(struct conn *c, bool on)
{
    if (c->want_write == on)
        return;
    c->want_write = on;
    struct epoll_event e = {.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

/* Writes what is left of the response; true when that was all and the connection goes on. */
static bool
conn_flush(struct conn *c)
{
    while (c->out_off < c->out->len) {
        ssize_t w = send(c->fd, c->out->data + c->out_off, c->out->len - c->out_off,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EAGAIN) {
            want_write(c, true);
            return false;
        }
        if (w < 0) {
            conn_close(c);
            return false;
        }
        c->out_off += (size_t) w;
    }
    c->out = NULL;
    want_write(c, false);
    if (c->close_after)
        conn_close(c);
    return !c->dead;
}

static bool
asks_to_close(const char *head)
{
    for (const char *p = strchr(head, '\n'); p; p = strchr(p, '\n')) {
        p++;
        if (strncasecmp(p, "connection:", 11) == 0) {
            p += 11;
            while (*p == ' ')
                p++;
            return strncasecmp(p, "close", 5) == 0;
        }
    }
    return false;
}

/* What a request asks for; how many milliseconds it is to wait for that. */
static struct kind
kind_of(const char *head, long *delay_ms)
{
    struct kind k = {.size = SIZE_DEFAULT, .closing = asks_to_close(head)};
    const char *at = head + 7;
    bool known = strncmp(head, "GET /", 5) == 0 && head[5] && head[6] == '/';
    bool waits = known && strchr("dw", head[5]);
    k.kept = known && strchr("cw", head[5]);
    if (waits) {
        *delay_ms = strtol(at, (char **) &at, 10);
        waits = *at++ == '/';
    }
    if (waits || (known && strchr("sc", head[5])))
        k.size = strtol(at, NULL, 10);
    if (k.size < 0 || k.size > SIZE_MAX_BYTES)
        k.size = SIZE_DEFAULT;
    return k;
}

/* Serves what is buffered, one response at a time. */
static void
conn_serve(struct conn *c)
{
    while (!c->dead && !c->out && !c->due_us) {
        char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end) {
            if (c->in_len == IN_MAX)
                conn_close(c);
            return;
        }
        *end = 0;
        long delay_ms = 0;
        struct kind kind = kind_of(c->in, &delay_ms);
        c->close_after = kind.closing;
        size_t used = (size_t) (end + 4 - c->in);
        c->in_len -= used;
        memmove(c->in, c->in + used, c->in_len);
        n_requests++;
        c->out = response_get(kind);
        c->out_off = 0;
        if (delay_ms > 0) {
            c->due_us = now_us() + (uint64_t) delay_ms * 1000;
            c->next_due = NULL;
            *last_due = c;
            last_due = &c->next_due;
            return;
        }
        if (!conn_flush(c))
            return;
    }
}

/* Sends the answers whose time has come; milliseconds until the next, -1 when there is none. */
static int
send_due(void)
{
    uint64_t now = now_us();
    while (first_due && first_due->due_us <= now) {
        struct conn *c = first_due;
        first_due = c->next_due;
        if (!first_due)
            last_due = &first_due;
        c->due_us = 0;
        if (c->dead)
            free(c);
        else if (conn_flush(c))
            conn_serve(c);
    }
    return first_due ? (int) ((first_due->due_us - now) / 1000) : -1;
}

static void
conn_read(struct conn *c)
{
    if (c->in_len == IN_MAX)
        return;
    ssize_t r = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, MSG_DONTWAIT);
    if (r > 0) {
        c->in_len += (size_t) r;
        conn_serve(c);
    } else if (r == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_close(c);
    }
}

static void
accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = malloc(sizeof *c);
        if (!c)
            abort();
        memset(c, 0, offsetof(struct conn, in));
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        n_accepted++;
        if (++n_open > n_peak)
            n_peak = n_open;
    }
}

static void
tell_stats(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        char b[160];
        int n = snprintf(b, sizeof b, "open=%ld peak=%ld accepted=%llu requests=%llu\n", n_open,
                         n_peak, n_accepted, n_requests);
        if (send(fd, b, (size_t) n, MSG_NOSIGNAL) == n)
            n_peak = n_open;
        close(fd);
    }
}

static int
listen_on(const char *port, void *tag)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t) strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *) &at, sizeof at) || listen(fd, 4096)) {
        perror("origin: bind");
        exit(1);
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = tag};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    return fd;
}

static void
conn_event(struct conn *c, uint32_t events)
{
    if (events & EPOLLOUT && c->out && !c->due_us && conn_flush(c))
        conn_serve(c);
    if (!c->dead && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        conn_read(c);
    if (c->dead && !c->due_us)
        free(c); /* closed, so that no later event of this round names it */
}

int
main(int argc, char **argv)
{
    static struct epoll_event ev[EVENTS];
    struct rlimit limit;
    if (argc != 3) {
        fprintf(stderr, "usage: origin PORT STATS_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    ep = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argv[1], &listen_tag), stats = listen_on(argv[2], &stats_tag);
    for (;;) {
        int n = epoll_wait(ep, ev, EVENTS, send_due());
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr == &listen_tag)
                accept_all(listener);
            else if (ev[i].data.ptr == &stats_tag)
                tell_stats(stats);
            else
                conn_event(ev[i].data.ptr, ev[i].events);
        }
    }
}
