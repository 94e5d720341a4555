/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/serve.c - one exchange after the other on a connection's fiber: read a head, find the route,
 * run its chain, send what came of it, write the log.  This is the file to read first.
 */
#include "edge/client.h"
#include "http/proxy_protocol.h"

enum { ARENA_FIRST = 4096, ARENA_MAX = 1024 * 1024 };

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

/* False: not one, or from a peer that may not speak for others. */
static bool
read_proxy_header(struct serving *s, const struct listener_config *config, uint64_t deadline_us)
{
    struct client_conn *c = s->conn;
    struct proxy_header h;
    size_t used;

    /* Without a list of proxies everybody is one: then only they can reach the listener. */
    if (config->trusted_proxies.n && !listener_trusts(config, &s->facts.peer))
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
        client_fill(c, &s->facts);
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
refuse_head(struct serving *s, unsigned status, enum reason reason, const char *words)
{
    s->x.request.version = 11;
    s->x.times.started_us = loop_now_us();
    exchange_refuse(&s->x, status, reason, "%s", words);
    s->x.close_client = true;
    return READ_REFUSE;
}

static enum reading
refuse_fault(struct serving *s, enum h1_fault fault, const struct listener_config *config)
{
    unsigned status = h1_fault_status(fault);
    enum reading r = refuse_head(s, status,
                                 status == 431   ? REASON_HEAD_TOO_LARGE
                                 : status == 414 ? REASON_TARGET_TOO_LONG
                                 : status == 501 || status == 505 ? REASON_UNSUPPORTED
                                                                  : REASON_BAD_REQUEST,
                                 h1_fault_words(fault));

    if (fault == H1_TARGET_TOO_LONG) {
        s->x.fault.limit = &config->max_target;
        s->x.fault.limit_name = "listener.max_target";
    } else if (fault == H1_HEAD_TOO_LARGE || fault == H1_TOO_MANY_FIELDS) {
        s->x.fault.limit = fault == H1_HEAD_TOO_LARGE ? (const void *) &config->max_head
                                                      : (const void *) &config->max_fields;
        s->x.fault.limit_name =
            fault == H1_HEAD_TOO_LARGE ? "listener.max_head" : "listener.max_fields";
    }
    return r;
}

static enum reading
read_failed(struct serving *s, enum err e, const struct listener_config *config)
{
    enum reading r;

    /* Nothing of a request was there: the connection simply ends. */
    if (s->conn->start == s->conn->end || e != ERR_TIMEOUT)
        return READ_END;
    r = refuse_head(s, 408, REASON_HEAD_TIMEOUT, "the head did not arrive in time");
    s->x.fault.limit = &config->head_timeout_us;
    s->x.fault.limit_name = "listener.head_timeout";
    return r;
}

static enum reading
read_head(struct serving *s, const struct listener_config *config)
{
    struct client_conn *c = s->conn;
    struct h1_limits limits = {config->max_head, config->max_target, (size_t) config->max_fields};
    uint64_t deadline_us = loop_now_us() + config->head_timeout_us;
    size_t scanned = 0, used;
    enum h1_fault fault = H1_OK;

    if (!c->proxied && !read_proxy_header(s, config, deadline_us))
        return READ_END;
    for (;;) {
        enum h1_result result = H1_MORE;
        enum err e;

        if (c->end > c->start)
            result = h1_parse_request(unread(c), &scanned, &limits, &s->x.arena, &s->head, &used,
                                      &fault);
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

/* ------------------------------------------------------------------ one exchange */

static void
begin(struct serving *s, struct client_conn *c, void *first, size_t first_n)
{
    static const struct exchange_ops ops = {.inform = send_informational};
    struct exchange *x = &s->x;

    memset(s, 0, sizeof(*s));
    s->conn = c;
    s->use = use_hold(client_edge(c));
    arena_init(&x->arena, first, first_n, ARENA_MAX);
    x->ops = &ops;
    x->client = &s->facts;
    x->config = s->use->snapshot->config;
    x->timeouts = &exchange_default_timeouts;
    x->times.received_us = loop_now_us();
    x->serial = ++client_edge(c)->serial;
    client_fill(c, &s->facts);
    fields_init(&x->response.fields, &x->arena, 0, 256);
}

/* The route's chain answers. */
static void
run_chain(struct serving *s)
{
    client_watch(s->conn);
    exchange_run(&s->x, route_find(s->use->snapshot->routes, &s->x));
    if (s->x.response.status == 0 && fiber_self()->cancelled == OK)
        exchange_refuse(&s->x, 500, REASON_MISCONFIGURED, "nobody answered");
}

static void
write_logs(struct serving *s)
{
    const struct option_list *logs = &s->use->snapshot->logs;
    const struct access_log *log = logs->at;

    s->x.times.done_us = loop_now_us();
    client_edge(s->conn)->counters.exchanges++;
    for (size_t i = 0; i < logs->n; i++)
        access_log_write(&log[i], client_edge(s->conn)->worker, &s->x);
}

static void
end(struct serving *s)
{
    body_close(take(&s->x.response.body));
    body_close(take(&s->x.request.body));
    arena_free(&s->x.arena);
    use_release(s->use);
}

static bool
may_stay(const struct serving *s, const struct listener_config *config)
{
    const struct client_conn *c = s->conn;

    return s->head.keep_alive && !s->x.close_client && !client_edge(c)->draining &&
           (config->requests == 0 || c->requests < (uint64_t) config->requests);
}

enum next { NEXT_REQUEST, NEXT_CLOSE, NEXT_LINGER, NEXT_ABORT, NEXT_TUNNEL };

static enum next
answer(struct serving *s, const struct listener_config *config)
{
    bool stay = may_stay(s, config), all_read;

    if (fiber_self()->cancelled != OK) {
        if (s->x.fault.reason == REASON_NONE)
            exchange_fault(&s->x, REASON_CLIENT_GONE, ERR_CANCELLED,
                           "while the answer was prepared");
        return NEXT_ABORT;
    }
    if (s->x.response.status == 101)
        return upgrade_start(s) ? NEXT_TUNNEL : NEXT_ABORT;
    /* What the client still sends decides whether the connection can be used again. */
    if (stay && s->x.request.expect_continue && !s->continued && s->client_body)
        stay = false;
    if (!send_response(s, stay))
        return NEXT_ABORT;
    /* A server that answered early leaves somebody behind who still reads the request for it. */
    body_close(take(&s->x.response.body));
    all_read = client_body_finish(s);
    if (stay && !s->x.close_client && all_read)
        return NEXT_REQUEST;
    return all_read && s->head.method != METHOD_OTHER ? NEXT_CLOSE : NEXT_LINGER;
}

static enum next
serve_one(struct client_conn *c)
{
    char first[ARENA_FIRST] __attribute__((aligned(16)));
    struct serving s;
    const struct listener_config *config;
    enum reading reading;
    enum next next = NEXT_CLOSE;

    begin(&s, c, first, sizeof(first));
    config = c->listener->config;
    reading = read_head(&s, config);
    if (reading == READ_HEAD) {
        c->requests++;
        c->half_close_ok = !s.head.keep_alive;
        if (request_make(&s) && forwarded_apply(&s, config))
            run_chain(&s);
    }
    if (reading != READ_END) {
        next = answer(&s, config);
        if (reading == READ_REFUSE && next == NEXT_CLOSE)
            next = NEXT_LINGER;
        if (next != NEXT_TUNNEL)
            write_logs(&s);
    }
    if (next != NEXT_TUNNEL)
        client_unwatch(c);
    end(&s);
    return next;
}

/* The next request is not here yet: the fiber ends, the connection waits by itself. */
static void
park(struct client_conn *c, bool ended)
{
    if (ended || client_edge(c)->draining) {
        client_close(c, false);
        return;
    }
    buffer_give(BUFFER_SMALL, take(&c->buffer));
    client_park(c);
}

void
client_serve(void *arg)
{
    struct client_conn *c = arg;
    bool ended = false;
    enum next next;

    c->fiber = fiber_self();
    do
        next = serve_one(c);
    while (next == NEXT_REQUEST && (c->start < c->end || client_has_more(c, &ended)));
    switch (next) {
    case NEXT_REQUEST: park(c, ended); break;
    case NEXT_CLOSE: client_close(c, false); break;
    case NEXT_LINGER: client_close(c, true); break;
    case NEXT_ABORT: client_abort(c); break;
    case NEXT_TUNNEL: break; /* the tunnel has it */
    }
}
