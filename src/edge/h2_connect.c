/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_connect.c - a WebSocket over a stream (extended CONNECT, RFC 8441).
 *
 * Towards the server it is the upgrade of HTTP/1.1 (RFC 6455 4.1), so the handshake's key is ours.
 * When the server has switched, bytes move both ways: one fiber pulls from the server, another from
 * the client.
 */
#include "edge/h2.h"

#include "upstream/upstream.h"

enum { KEY_BYTES = 16, KEY_TEXT = 24 };

#define FOREVER_US (365ull * 86400 * 1000000)

static void
write_base64(char *out, const uint8_t *in, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t) in[i] << 16 | (i + 1 < n ? (uint32_t) in[i + 1] << 8 : 0) |
                        (i + 2 < n ? in[i + 2] : 0);

        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[bits & 63] : '=';
    }
}

bool
h2_connect_take(struct h2_stream *s)
{
    struct exchange *x = &s->serving.x;
    struct request *q = &x->request;
    char *key = arena_alloc(&x->arena, KEY_TEXT);
    uint8_t bytes[KEY_BYTES];

    random_bytes(bytes, sizeof(bytes));
    q->method = METHOD_GET;
    q->method_token = method_name(METHOD_GET);
    q->target.raw = s->head.path;
    q->upgrade = SLICE("websocket");
    q->expect_continue = false;
    if (key) {
        write_base64(key, bytes, sizeof(bytes));
        if (fields_set_named(&q->fields, SLICE("Sec-WebSocket-Key"), slice_of(key, KEY_TEXT)))
            return true;
    }
    exchange_refuse(x, 431, REASON_HEAD_TOO_LARGE, "no room for the WebSocket's key");
    return false;
}

/* ------------------------------------------------------------------ both ways */

/* On the stack of the stream's fiber. */
struct relay {
    struct h2_stream *stream;
    struct sock      *server;
    struct fiber     *sender; /* client to server */
    struct fiber     *waiter; /* waits for the end of that one */
    bool              sent_all;
    uint64_t          moved_us; /* bytes, either way */
    uint64_t          silence_us;
};

static void
send_to_server(void *arg)
{
    struct relay *r = arg;
    struct h2_stream *s = r->stream;
    struct exchange *x = &s->serving.x;
    struct body *body = &s->body.base;
    struct slice chunk;
    enum err e;

    while ((e = body_next(body, &chunk)) == OK) {
        struct iovec iov = {(char *) chunk.at, chunk.n};

        x->request_bytes += chunk.n;
        r->moved_us = loop_now_us();
        if (sock_send(r->server, &iov, 1, x->timeouts->send_us) != OK)
            break;
    }
    if (e == ERR_END)
        sock_finish(r->server);
    r->sent_all = true;
    h2_wake(&r->waiter);
}

/* Until the server ends, or nobody says anything for too long. */
static enum err
send_to_client(struct relay *r, char *buffer)
{
    struct h2_stream *s = r->stream;
    size_t n;

    for (;;) {
        enum err e = sock_recv(r->server, buffer, BUFFER_SMALL_BYTES, r->moved_us + r->silence_us,
                               &n);

        if (e == ERR_TIMEOUT && loop_now_us() < r->moved_us + r->silence_us)
            continue;
        if (e != OK)
            return e;
        r->moved_us = loop_now_us();
        s->serving.x.response_bytes += n;
        e = h2_send_chunk(s, slice_of(buffer, n), false);
        if (e != OK)
            return e;
    }
}

static enum err
relay_both(struct relay *r)
{
    struct h2_stream *s = r->stream;
    struct slice early = s->serving.x.response.tunnel_early;
    char *buffer = buffer_take(BUFFER_SMALL);
    enum err e = buffer ? OK : ERR_NO_MEMORY;

    r->sender = e == OK ? fiber_start("h2 tunnel", send_to_server, r) : NULL;
    if (e == OK && early.n) {
        s->serving.x.response_bytes += early.n;
        e = h2_send_chunk(s, early, false);
    }
    if (e == OK && r->sender)
        e = send_to_client(r, buffer);
    if (e == ERR_END)
        e = h2_send_end(s, NULL);
    while (e == OK && !r->sent_all && loop_now_us() < r->moved_us + r->silence_us)
        e = h2_wait(&r->waiter, r->moved_us + r->silence_us);
    if (r->sender && !r->sent_all)
        fiber_cancel(r->sender, ERR_CANCELLED);
    while (r->sender && !r->sent_all)
        h2_wait_out(&r->waiter);
    if (buffer)
        buffer_give(BUFFER_SMALL, buffer);
    return e;
}

static void
make_answer(struct exchange *x)
{
    static const struct slice handshake[] = {
        {"Sec-WebSocket-Accept", 20},
        {"Connection", 10},
        {"Upgrade", 7},
    };

    x->response.status = 200;
    for (size_t i = 0; i < countof(handshake); i++)
        fields_remove_named(&x->response.fields, handshake[i]);
}

enum serving_outcome
h2_connect_start(struct serving *serving)
{
    struct h2_stream *s = h2_stream_of(serving);
    struct exchange *x = &serving->x;
    struct sock *server = take(&x->response.tunnel);
    struct relay r = {
        .stream = s,
        .server = server,
        .moved_us = loop_now_us(),
        .silence_us = x->timeouts->tunnel_us ? x->timeouts->tunnel_us : FOREVER_US,
    };
    enum err e = ERR_RESET;

    make_answer(x);
    h2_body_open(s);
    counter_add(&client_edge(serving->conn)->counters->tunnels, 1);
    if (!h2_stream_is_lost(s) && h2_send_head(s, true)) {
        x->started = true;
        e = relay_both(&r);
    }
    counter_add(&client_edge(serving->conn)->counters->tunnels, -1);
    upstream_tunnel_close(server);
    if (e == OK)
        return serving->ops->finish(serving);
    if (e == ERR_TIMEOUT)
        exchange_fault(x, REASON_CLIENT_STALLED, e, "silence on the tunnel");
    else
        x->fault.err = e;
    return SERVING_ABORT;
}
