/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/c/holdconns.c - opens N connections, sends one request on each, reads the whole response,
 * prints "READY ok failed", and keeps them idle until its standard input is closed.
 *
 *   holdconns PORT N PATH [tls]
 *
 * One after the other, so that the proxy never needs more than one connection to the origin.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static SSL_CTX *ctx; /* NULL: no TLS */

static ssize_t
receive(int fd, SSL *ssl, char *b, size_t n)
{
    return ssl ? SSL_read(ssl, b, (int) n) : recv(fd, b, n, 0);
}

static ssize_t
transmit(int fd, SSL *ssl, const char *b, size_t n)
{
    return ssl ? SSL_write(ssl, b, (int) n) : send(fd, b, n, 0);
}

/* Reads one response with a Content-Length; true when it was a whole one with status 200. */
static bool
read_response(int fd, SSL *ssl)
{
    static char b[1 << 16];
    size_t have = 0;
    while (have < sizeof b - 1) {
        ssize_t r = receive(fd, ssl, b + have, sizeof b - 1 - have);
        if (r <= 0)
            return false;
        have += (size_t) r;
        b[have] = 0;
        char *end = strstr(b, "\r\n\r\n"), *length = strcasestr(b, "\r\ncontent-length:");
        if (!end)
            continue;
        if (!length || length > end)
            return false;
        size_t whole = (size_t) (end + 4 - b) + strtoul(length + 17, NULL, 10);
        if (have >= whole)
            return strncmp(b, "HTTP/1.1 200", 12) == 0;
    }
    return false;
}

/* NULL without TLS, and after a handshake that failed. */
static SSL *
shake_hands(int fd)
{
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    if (ssl && SSL_set_fd(ssl, fd) && SSL_set_tlsext_host_name(ssl, "h0.bench.test") &&
        SSL_connect(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

static bool
open_one(const struct sockaddr_in *to, const char *request)
{
    struct timeval patience = {10, 0};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t n = (ssize_t) strlen(request);
    if (connect(fd, (const struct sockaddr *) to, sizeof *to) == 0) {
        SSL *ssl = shake_hands(fd);
        if ((ssl || !ctx) && transmit(fd, ssl, request, (size_t) n) == n && read_response(fd, ssl))
            return true; /* left open, as is what TLS keeps for it */
        SSL_free(ssl);
    }
    close(fd);
    return false;
}

int
main(int argc, char **argv)
{
    struct rlimit limit;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[512], c;
    unsigned long ok = 0, failed = 0;
    bool tls = argc == 5 && strcmp(argv[4], "tls") == 0;
    if (argc != 4 && !tls) {
        fprintf(stderr, "usage: holdconns PORT N PATH [tls]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    ctx = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    if (tls && !ctx)
        return 1;
    if (ctx)
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    to.sin_port = htons((uint16_t) strtoul(argv[1], NULL, 10));
    snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: h0.bench.test\r\nUser-Agent: holdconns\r\nAccept: */*\r\n\r\n",
        argv[3]);
    for (unsigned long n = strtoul(argv[2], NULL, 10); n > 0; n--) {
        if (open_one(&to, request))
            ok++;
        else
            failed++;
    }
    printf("READY %lu %lu\n", ok, failed);
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        continue;
    return 0;
}
