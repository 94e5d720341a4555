/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/probe_talk.c - connect, send, receive, close; what probes have in common. */
#include "upstream/probe_talk.h"

#include "http/proxy_protocol.h"

#include <stdlib.h>

enum {
    STRIDE_BYTES = 16 * 1024,
    PATIENCE_US = 200000,
    PATIENCE_BYTES = 64 * 1024,
};

/* ------------------------------------------------------------------ begin and end */

static void
talk_free(struct sock *sock)
{
    struct probe_talk *t = container_of(sock, struct probe_talk, sock);

    text_free(&t->got);
    free(t);
}

union address
probe_address(const struct health_config *config, const struct server *server)
{
    union address to = server->address;

    if (config->port && to.any.sa_family == AF_INET)
        to.v4.sin_port = htons((uint16_t) config->port);
    else if (config->port && to.any.sa_family == AF_INET6)
        to.v6.sin6_port = htons((uint16_t) config->port);
    return to;
}

void
probe_write_host(struct text *out, const struct health_config *config, const struct server *server)
{
    union address to = probe_address(config, server);
    char host[ADDRESS_TEXT_MAX];

    if (slice_is_present(config->host))
        text_put(out, config->host);
    else if (to.any.sa_family == AF_UNIX)
        text_literal(out, "localhost");
    else
        text_put(out, slice_of(host, address_write(&to, host)));
}

static enum err
open_connection(struct probe_talk *t, const struct server *server, const union address *to)
{
    const struct upstream_config *u = server->upstream->config;
    struct sock_options options = {0};

    if (u && u->connections.source.any.sa_family)
        options.source = &u->connections.source;
    return sock_connect(&t->sock, to, &options, t->deadline_us);
}

/* What listens on another port is not the server itself, and expects no such header. */
static bool
send_proxy_header(struct probe_talk *t, const struct health_config *config,
                  const struct server *server, struct probe_answer *answer)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    const struct upstream_config *u = server->upstream->config;
    char header[PROXY_HEADER_MAX];
    size_t n;

    if (!u || u->proxy_protocol == 0 || config->port)
        return true;
    n = proxy_header_write(header, u->proxy_protocol, &nobody, &nobody);
    return probe_send(t, slice_of(header, n), answer);
}

static const struct upstream_tls *
tls_of(const struct health_config *config, const struct server *server)
{
    const struct upstream_config *u = server->upstream->config;

    if (!(probe_kinds[config->kind]->takes & PROBE_TLS) || config->tls == PROBE_TLS_OFF ||
        (config->tls == PROBE_TLS_AUTO && (config->port || !u || !u->tls)))
        return NULL;
    return u && u->tls ? u->tls : upstream_tls_plain();
}

static bool
shake_hands(struct probe_talk *t, const struct health_config *config, const struct server *server,
            struct probe_answer *answer)
{
    const struct upstream_tls *tls = tls_of(config, server);
    char why[120];
    enum err e;

    if (!tls)
        return true;
    e = server_tls_connect(&t->sock, server, tls, probe_kinds[config->kind]->http, NULL,
                           t->deadline_us, why);
    if (e != OK)
        probe_fail(answer, "TLS: %s", why[0] ? why : err_sentence(e));
    return e == OK;
}

struct probe_talk *
probe_connect(const struct health_config *config, const struct server *server, uint64_t deadline_us,
              size_t max_bytes, struct probe_answer *answer)
{
    union address to = probe_address(config, server);
    struct probe_talk *t = calloc(1, sizeof(*t));
    enum err e;

    if (!t) {
        probe_fail_with(answer, "connecting", ERR_NO_MEMORY);
        return NULL;
    }
    t->deadline_us = deadline_us;
    text_init(&t->got, max_bytes);
    e = open_connection(t, server, &to);
    if (e != OK) {
        probe_fail_with(answer, "connecting", e);
        if (t->sock.closing.next)
            t->sock.release = talk_free; /* the loop still knows it until the end of its round */
        else
            talk_free(&t->sock);
        return NULL;
    }
    if (send_proxy_header(t, config, server, answer) && shake_hands(t, config, server, answer))
        return t;
    probe_close(t, false);
    return NULL;
}

void
probe_close(struct probe_talk *t, bool patient)
{
    uint64_t until_us = loop_now_us() + PATIENCE_US;
    char scrap[4096];
    size_t n = 0, got = 0;

    if (patient)
        (void) sock_finish(&t->sock);
    if (until_us > t->deadline_us)
        until_us = t->deadline_us;
    while (patient && n < PATIENCE_BYTES &&
           sock_recv(&t->sock, scrap, sizeof(scrap), until_us, &got) == OK)
        n += got;
    /* What is unread when a socket is closed makes a reset of the end. */
    while (n < PATIENCE_BYTES && sock_recv_now(&t->sock, scrap, sizeof(scrap)) > 0)
        n += sizeof(scrap);
    t->sock.release = talk_free;
    sock_close(&t->sock);
}

/* ------------------------------------------------------------------ in between */

bool
probe_send(struct probe_talk *t, struct slice bytes, struct probe_answer *answer)
{
    struct iovec iov = {(char *) bytes.at, bytes.n};
    uint64_t now_us = loop_now_us();
    enum err e = now_us < t->deadline_us ? sock_send(&t->sock, &iov, 1, t->deadline_us - now_us)
                                         : ERR_TIMEOUT;

    if (e == OK)
        return true;
    probe_fail_with(answer, "sending", e);
    return false;
}

enum err
probe_receive(struct probe_talk *t)
{
    struct text *got = &t->got;
    size_t room = got->max_bytes - got->n, n = 0;
    enum err e;

    if (room == 0)
        return ERR_LIMIT;
    if (room > STRIDE_BYTES)
        room = STRIDE_BYTES;
    if (!text_reserve(got, room))
        return ERR_NO_MEMORY;
    e = sock_recv(&t->sock, got->at + got->n, room, t->deadline_us, &n);
    got->n += n;
    return e;
}
