/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h1_serve.c - HTTP/1 on a connection's fiber: one exchange after the other, and what that
 * means for the connection.
 */
#include "edge/client.h"
#include "http/proxy_protocol.h"

enum { ARENA_FIRST = 4096 };

static struct slice
unread(const struct client_conn *c)
{
    return slice_of(c->buffer + c->start, c->end - c->start);
}

/* More bytes behind those that are there; those move to the front when there is no room. */
static enum err
receive_more(struct client_conn *c, uint64_t deadline_us)
{
    size_t got = 0;
    enum err e;

    if (c->start > 0 && c->end == BUFFER_SMALL_BYTES) {
        memmove(c->buffer, c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end == BUFFER_SMALL_BYTES)
        return ERR_LIMIT;
    e = sock_recv(&c->sock, c->buffer + c->end, BUFFER_SMALL_BYTES - c->end, deadline_us, &got);
    c->end += (uint32_t) got;
    return e;
}

/* ------------------------------------------------------------------ PROXY header */

bool
client_proxy_header(struct client_conn *c, const struct listener_config *config,
                    uint64_t deadline_us)
{
    struct client facts;
    struct proxy_header h;
    size_t used;

    client_fill(c, &facts);
    /* Without a list of proxies everybody is one: then only they can reach the listener. */
    if (config->trusted_proxies.n && !listener_trusts(config, &facts.peer))
        return false;
    for (;;) {
        enum h1_result result = proxy_header_parse(unread(c), &h, &used);

        if (result == H1_BAD)
            return false;
        if (result == H1_DONE)
            break;
        if (receive_more(c, deadline_us) != OK)
            return false;
    }
    c->start += (uint32_t) used;
    c->proxied = true;
    if (!h.local) {
        union address source, destination;

        memcpy(&source, &h.source, sizeof(source));
        memcpy(&destination, &h.destination, sizeof(destination));
        client_set_peer(c, &source, &destination);
    }
    return true;
}

/* ------------------------------------------------------------------ head */

enum reading {
    READ_HEAD,   /* there it is */
    READ_REFUSE, /* an answer is due: x.response is there */
    READ_END,    /* the connection ended between requests, or nothing useful can be said */
};

static enum reading
refuse_head(struct h1_serving *s, unsigned status, enum reason reason, const char *words)
{
    s->base.x.request.version = 11;
    s->base.x.times.started_us = loop_now_us();
    exchange_refuse(&s->base.x, status, reason, "%s", words);
    s->base.x.close_client = true;
    return READ_REFUSE;
}

static enum reading
refuse_fault(struct h1_serving *s, enum h1_fault fault, const struct listener_config *config)
{
    unsigned status = h1_fault_status(fault);
    enum reading r = refuse_head(s, status,
                                 status == 431   ? REASON_HEAD_TOO_LARGE
                                 : status == 414 ? REASON_TARGET_TOO_LONG
                                 : status == 501 || status == 505 ? REASON_UNSUPPORTED
                                                                  : REASON_BAD_REQUEST,
                                 h1_fault_words(fault));

    if (fault == H1_TARGET_TOO_LONG) {
        s->base.x.fault.limit = &config->max_target;
        s->base.x.fault.limit_name = "listener.max_target";
    } else if (fault == H1_HEAD_TOO_LARGE || fault == H1_TOO_MANY_FIELDS) {
        s->base.x.fault.limit = fault == H1_HEAD_TOO_LARGE ? (const void *) &config->max_head
                                                      : (const void *) &config->max_fields;
        s->base.x.fault.limit_name =
            fault == H1_HEAD_TOO_LARGE ? "listener.max_head" : "listener.max_fields";
    }
    return r;
}

static enum reading
read_failed(struct h1_serving *s, enum err e, const struct listener_config *config)
{
    enum reading r;

    /* Nothing of a request was there: the connection simply ends. */
    if (s->base.conn->start == s->base.conn->end || e != ERR_TIMEOUT)
        return READ_END;
    r = refuse_head(s, 408, REASON_HEAD_TIMEOUT, "the head did not arrive in time");
    s->base.x.fault.limit = &config->head_timeout_us;
    s->base.x.fault.limit_name = "listener.head_timeout";
    return r;
}

static enum reading
read_head(struct h1_serving *s, const struct listener_config *config)
{
    struct client_conn *c = s->base.conn;
    struct h1_limits limits = {config->max_head, config->max_target, (size_t) config->max_fields};
    uint64_t deadline_us = loop_now_us() + config->head_timeout_us;
    size_t scanned = 0, used;
    enum h1_fault fault = H1_OK;

    for (;;) {
        enum h1_result result = H1_MORE;
        enum err e;

        if (c->end > c->start)
            result = h1_parse_request(unread(c), &scanned, &limits, &s->base.x.arena, &s->head,
                                      &used, &fault);
        if (result == H1_DONE) {
            c->start += (uint32_t) used;
            return READ_HEAD;
        }
        if (result == H1_BAD)
            return refuse_fault(s, fault, config);
        e = receive_more(c, deadline_us);
        if (e != OK)
            return read_failed(s, e, config);
    }
}

/* ------------------------------------------------------------------ what is HTTP/1's own */

static void
take_head(struct h1_serving *s)
{
    struct request *q = &s->base.x.request;

    q->method = s->head.method;
    q->method_token = s->head.method_token;
    q->version = 10 + s->head.minor;
    q->target.raw = s->head.target;
    q->authority = s->head.host;
    q->fields = s->head.fields;
    q->upgrade = s->head.upgrade;
    q->expect_continue = s->head.expect_continue;
}

static bool
may_stay(const struct h1_serving *s)
{
    const struct client_conn *c = s->base.conn;
    const struct listener_config *config = c->listener->config;

    /* What the client still sends decides whether the connection can be used again. */
    if (s->base.x.request.expect_continue && !s->continued && s->base.client_body)
        return false;
    return s->head.keep_alive && !s->base.x.close_client && !client_edge(c)->draining &&
           (config->requests == 0 || c->requests < (uint64_t) config->requests);
}

static bool
send_answer(struct serving *s)
{
    return send_response(s, may_stay(serving_h1(s)));
}

static enum serving_outcome
switch_over(struct serving *s)
{
    return upgrade_start(s) ? SERVING_TUNNEL : SERVING_ABORT;
}

/* send_response() has set close_client when the connection does not stay. */
static enum serving_outcome
finish(struct serving *s)
{
    bool all_read = client_body_finish(s);

    if (!s->x.close_client && all_read)
        return SERVING_NEXT;
    return all_read && s->x.request.method != METHOD_OTHER ? SERVING_CLOSE : SERVING_LINGER;
}

static const struct serving_ops h1_ops = {
    .exchange = {.inform = send_informational, .client_user = serving_client_user},
    .take_body = client_body_new,
    .send = send_answer,
    .upgrade = switch_over,
    .finish = finish,
};

/* ------------------------------------------------------------------ one after the other */

static enum serving_outcome
serve_one(struct client_conn *c)
{
    char first[ARENA_FIRST] __attribute__((aligned(16)));
    struct h1_serving s;
    enum reading reading;
    enum serving_outcome end = SERVING_CLOSE;

    memset(&s, 0, sizeof(s));
    serving_begin(&s.base, &h1_ops, c, first, sizeof(first));
    reading = read_head(&s, c->listener->config);
    if (reading == READ_HEAD) {
        c->requests++;
        c->half_close_ok = !s.head.keep_alive;
        client_watch(c);
        take_head(&s);
        serving_run(&s.base);
    }
    if (reading != READ_END) {
        end = serving_answer(&s.base);
        if (reading == READ_REFUSE && end == SERVING_CLOSE)
            end = SERVING_LINGER;
        if (end != SERVING_TUNNEL)
            serving_log(&s.base);
    }
    if (end != SERVING_TUNNEL)
        client_unwatch(c);
    serving_end(&s.base);
    return end;
}

/* The next request is not here yet: the fiber ends, the connection waits by itself. */
static void
park(struct client_conn *c, bool ended)
{
    if (ended || (client_edge(c)->draining && !client_edge(c)->retiring)) {
        client_close(c, false);
        return;
    }
    buffer_give(BUFFER_SMALL, take(&c->buffer));
    client_park(c);
}

static void
serve_all(struct client_conn *c)
{
    bool ended = false;
    enum serving_outcome end;

    do
        end = serve_one(c);
    while (end == SERVING_NEXT && (c->start < c->end || client_has_more(c, &ended)));
    switch (end) {
    case SERVING_NEXT: park(c, ended); break;
    case SERVING_CLOSE: client_close(c, false); break;
    case SERVING_LINGER: client_close(c, true); break;
    case SERVING_ABORT: client_abort(c); break;
    case SERVING_TUNNEL: break; /* the tunnel has it */
    }
}

/* A client that knows beforehand that HTTP/2 is spoken here begins with the preface, which is no
 * request of HTTP/1 (RFC 9113 3.3). */
static bool
is_session(struct client_conn *c, uint64_t deadline_us)
{
    if (c->protocol == CLIENT_H2)
        return true;
    if (c->requests || c->secure || !c->listener->config->http2.enabled)
        return false;
    while (h2_is_preface(unread(c))) {
        if (c->end - c->start >= H2_PREFACE_BYTES)
            return true;
        if (receive_more(c, deadline_us) != OK)
            return false;
    }
    return false;
}

void
client_serve(void *arg)
{
    struct client_conn *c = arg;
    const struct listener_config *config = c->listener->config;
    uint64_t deadline_us = loop_now_us() + config->head_timeout_us;

    c->fiber = fiber_self();
    if (!c->proxied && !client_proxy_header(c, config, deadline_us))
        client_close(c, false);
    else if (is_session(c, deadline_us))
        h2_start(c);
    else
        serve_all(c);
}
