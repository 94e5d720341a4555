/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_accept.c - the handshake of a client's connection, on a fiber that ends with it: what
 * follows is served like any other connection, or parked.
 */
#include "edge/client.h"
#include "edge/tls_options.h"
#include "observe/log.h"

/* Whoever types http:// and a port of ours should read why nothing comes. */
static const char plain_answer[] =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    "Content-Length: 65\r\nProxy-Status: maitred; error=http_request_error\r\n\r\n"
    "This port speaks HTTPS. Use an address that begins with https://\n";

/* Nothing to tell where a client only looked whether somebody is there. */
static void
log_failure(const struct client_conn *c, const struct tls_greeting *g)
{
    if (g->why[0])
        log_info("no TLS with %.*s on %.*s: %s", (int) c->peer_text_n, c->peer_text,
                 SLICE_ARG(c->listener->name), g->why);
}

static void
give_up(struct client_conn *c, const struct tls_greeting *g, enum err e)
{
    struct iovec iov = {(char *) plain_answer, sizeof(plain_answer) - 1};

    log_failure(c, g);
    if (g->plain_http)
        (void) sock_send(&c->sock, &iov, 1, c->listener->config->head_timeout_us);
    /* Lingering, so that a reset does not overtake an answer or alert. */
    client_close(c, e == ERR_MALFORMED || e == ERR_DENIED);
}

static void
count_handshake(const struct client_conn *c, enum err e)
{
    enum account_handshake outcome = ACCOUNT_HANDSHAKE_FAILED;

    if (e == OK)
        outcome = tls_facts(&c->sock)->resumed ? ACCOUNT_HANDSHAKE_RESUMED
                                               : ACCOUNT_HANDSHAKE_FULL;
    metrics_add_split(c->listener->metrics, client_edge(c)->worker, ACCOUNT_LISTENER_HANDSHAKES,
                      outcome, 1);
}

static bool
shake_hands(struct client_conn *c, const struct tls_listener *tls)
{
    uint64_t deadline_us = loop_now_us() + tls->handshake_timeout_us;
    struct tls_greeting g = {.buffer = c->buffer};
    enum err e;

    if (!c->proxied && !client_proxy_header(c, c->listener->config, deadline_us)) {
        client_close(c, false);
        return false;
    }
    g.n = c->end - c->start;
    memmove(c->buffer, c->buffer + c->start, g.n);
    c->start = c->end = 0;
    e = tls_accept(&c->sock, tls->server, &g, deadline_us);
    count_handshake(c, e);
    if (e == OK)
        return true;
    give_up(c, &g, e);
    return false;
}

void
client_greet(void *arg)
{
    struct client_conn *c = arg;
    const struct tls_listener *tls = c->listener->config->tls;
    bool ended = false;

    c->fiber = fiber_self();
    if (!tls || (client_edge(c)->draining && !client_edge(c)->retiring)) {
        client_close(c, false); /* a reload has turned TLS off meanwhile */
        return;
    }
    if (!shake_hands(c, tls))
        return;
    if (slice_eq(tls_facts(&c->sock)->alpn, SLICE("h2")))
        c->protocol = CLIENT_H2;
    if (client_has_more(c, &ended)) {
        client_serve(c);
    } else if (ended) {
        client_close(c, false);
    } else {
        buffer_give(BUFFER_SMALL, take(&c->buffer));
        client_park(c);
    }
}
