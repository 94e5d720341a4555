/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/relay.c - the terminal of most chains: pick a server, send, receive; try another when
 * that is safe.
 *
 * A failed attempt may be repeated on another server when the method is idempotent (RFC 9110 9.2.2)
 * or the server's application cannot have seen the request, and the request's body can be sent
 * again.  A pooled connection that turns out to be dead is replaced by a fresh one to the same
 * server and not counted: a stale connection never becomes an error.
 */
#include "upstream/relay.h"

#include "http/proxy_protocol.h"
#include "runtime/fiber.h"

enum { HEAD_ON_STACK = 2048, HEAD_MAX = 64 * 1024, ATTEMPTS_MAX = 11 };

uint64_t
relay_deadline_us(const struct exchange *x, uint64_t us)
{
    uint64_t at = loop_now_us() + us;

    if (x->timeouts->total_us && x->times.started_us + x->timeouts->total_us < at)
        return x->times.started_us + x->timeouts->total_us;
    return at;
}

bool
relay_total_is_over(const struct exchange *x)
{
    return x->timeouts->total_us && loop_now_us() >= x->times.started_us + x->timeouts->total_us;
}

/* ------------------------------------------------------------------ choosing */

struct tried {
    struct server *servers[ATTEMPTS_MAX]; /* references */
    size_t         n;
};

static bool
was_tried(const struct tried *t, const struct server *s)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->servers[i] == s)
            return true;
    return false;
}

static struct server *
pick_from(const struct server_set *set, const bool *tried)
{
    struct lb_ask ask = {
        .entropy = dice_next(&loop_self()->dice),
        .now_us = loop_now_us(),
        .tried = tried,
    };
    size_t i = set->policy->ops->pick(set->policy, &ask);

    /* All are resting after failures: better to try one than to refuse. */
    if (i == LB_NONE && set->lb.n) {
        size_t start = ask.entropy % set->lb.n;

        for (size_t step = 0; step < set->lb.n && i == LB_NONE; step++) {
            size_t at = (start + step) % set->lb.n;

            if (!tried || !tried[at])
                i = at;
        }
    }
    return i == LB_NONE ? NULL : set->servers[i];
}

/* A reference to a server that was not tried yet; NULL when there is none.  Does not wait. */
static struct server *
pick(struct upstream *u, struct exchange *x, const struct tried *t)
{
    const struct server_set *set = atomic_load_explicit(&u->set, memory_order_acquire);
    bool *flags = NULL;
    struct server *s;

    if (!set)
        return NULL;
    if (t->n) {
        flags = arena_alloc(&x->arena, set->lb.n);
        if (!flags)
            return NULL;
        for (size_t i = 0; i < set->lb.n; i++)
            flags[i] = was_tried(t, set->servers[i]);
    }
    s = pick_from(set, flags);
    if (s)
        server_hold(s);
    return s;
}

static void
refuse_no_server(struct upstream *u, struct exchange *x)
{
    const struct server_set *set = atomic_load(&u->set);

    if (set && set->lb.n == 0 && set->unresolved)
        exchange_refuse(x, 503, REASON_NAME_UNRESOLVED, "upstream %.*s", SLICE_ARG(u->name));
    else
        exchange_refuse(x, 503, REASON_NO_SERVER, "upstream %.*s", SLICE_ARG(u->name));
}

/* ------------------------------------------------------------------ sending */

/* Takes what is in memory already, so that small bodies travel with the head and can be sent
 * again. */
static bool
take_first(struct relay *r)
{
    struct body *b = r->x->request.body;
    struct slice chunk;

    if (!b || !b->ready || r->x->request.expect_continue)
        return true;
    if (b->length == 0) {
        r->whole = true;
        return true;
    }
    if (body_next(b, &chunk) != OK)
        return false;
    r->first = chunk;
    r->whole = b->length != BODY_LENGTH_UNKNOWN && chunk.n == (uint64_t) b->length;
    return true;
}

static int
put_proxy_header(const struct relay *r, char *out, struct iovec *iov)
{
    const struct exchange *x = r->x;
    int version = r->to->config->proxy_protocol;

    if (version == 0)
        return 0;
    iov->iov_base = out;
    iov->iov_len = proxy_header_write(out, version, &x->client_address.any, &x->client->local.any);
    return 1;
}

static enum err
send_vectors(struct relay *r, struct iovec *iov, int n)
{
    r->sent_before = r->conn->sent_bytes;
    for (int i = 0; i < n; i++)
        r->conn->sent_bytes += iov[i].iov_len;
    return sock_send(&r->conn->sock, iov, n, r->x->timeouts->send_us);
}

static enum err
send_request(struct relay *r)
{
    char stack[HEAD_ON_STACK], proxy[PROXY_HEADER_MAX];
    struct iovec iov[3];
    struct text head;
    int n = put_proxy_header(r, proxy, &iov[0]);
    enum err e = ERR_NO_MEMORY;

    text_fixed(&head, stack, sizeof(stack));
    relay_write_request_head(r, &head);
    if (head.full) {
        text_init(&head, HEAD_MAX);
        relay_write_request_head(r, &head);
    }
    if (!head.full) {
        iov[n++] = (struct iovec){head.at, head.n};
        if (r->whole && r->first.n)
            iov[n++] = (struct iovec){(char *) r->first.at, r->first.n};
        e = send_vectors(r, iov, n);
        if (r->whole)
            r->x->request_bytes = r->first.n;
    }
    text_free(&head);
    r->x->times.sent_us = loop_now_us();
    return e;
}

/* ------------------------------------------------------------------ one attempt */

static bool
fail_connecting(struct relay *r, struct failure *f, enum err e)
{
    f->err = e;
    f->unseen = f->connect = true;
    switch (e) {
    case ERR_TIMEOUT:
        f->reason = REASON_CONNECT_TIMEOUT;
        f->limit = &r->x->timeouts->connect_us;
        f->limit_name = "timeouts.connect";
        break;
    case ERR_REFUSED: f->reason = REASON_CONNECT_REFUSED; break;
    case ERR_NO_DESCRIPTORS: f->reason = REASON_OUT_OF_DESCRIPTORS; break;
    case ERR_NO_MEMORY: f->reason = REASON_OUT_OF_MEMORY; break;
    default: f->reason = REASON_CONNECT_FAILED; break;
    }
    return false;
}

static bool
connect_to(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    struct exchange *x = r->x;
    enum err e;

    if (!fresh && r->to->config->proxy_protocol == 0)
        r->conn = server_conn_take(s);
    x->relay.reused = r->conn != NULL;
    if (!r->conn) {
        e = server_conn_open(s, relay_deadline_us(x, x->timeouts->connect_us), &r->conn);
        if (e != OK) {
            if (e == ERR_TIMEOUT || e == ERR_REFUSED || e == ERR_UNREACHABLE || e == ERR_NOT_FOUND)
                server_rest(s);
            return fail_connecting(r, f, e);
        }
    }
    x->times.connected_us = loop_now_us();
    return true;
}

/* The connection is beyond use. */
static void
hang_up(struct relay *r)
{
    relay_pump_stop(r);
    if (r->conn)
        server_conn_close(take(&r->conn));
    r->start = r->end = 0;
}

static bool
exchange_with(struct relay *r, struct failure *f)
{
    struct exchange *x = r->x;
    enum err e = send_request(r);

    if (e != OK) {
        f->reason = e == ERR_TIMEOUT ? REASON_RESPONSE_TIMEOUT : REASON_SERVER_RESET;
        f->err = e;
        if (e == ERR_TIMEOUT) {
            f->limit = &x->timeouts->send_us;
            f->limit_name = "timeouts.send";
        }
        f->unseen = server_conn_unseen(r->conn, r->sent_before);
        /* It may have answered and closed without reading all: look. */
        if (e == ERR_TIMEOUT || e == ERR_CANCELLED || e == ERR_NO_MEMORY)
            return false;
        return relay_read_response(r, f);
    }
    if (x->request.body && !r->whole && !x->request.expect_continue && !relay_pump_start(r)) {
        f->reason = REASON_OUT_OF_MEMORY;
        f->err = ERR_NO_MEMORY;
        return false;
    }
    return relay_read_response(r, f);
}

static bool
attempt(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    *f = (struct failure){0};
    r->x->relay.server = arena_copy(&r->x->arena, s->text);
    /* Counted before it is connected: a server that is slow to accept must not look idle. */
    server_hold(s);
    r->counted = s;
    atomic_fetch_add_explicit(&s->target.inflight, 1, memory_order_relaxed);
    if (connect_to(r, s, fresh, f) && exchange_with(r, f))
        return true;
    atomic_fetch_sub_explicit(&s->target.inflight, 1, memory_order_relaxed);
    server_release(take(&r->counted));
    hang_up(r);
    return false;
}

/* ------------------------------------------------------------------ what a failure means */

/* Nothing of the body is lost: it can be sent once more. */
static bool
can_resend(const struct relay *r)
{
    return !r->x->request.body || r->whole || (!r->first.n && !r->pump.last_us);
}

static bool
may_retry(const struct relay *r, const struct failure *f)
{
    return can_resend(r) && r->pump.client_err == OK && fiber_self()->cancelled == OK &&
           f->reason != REASON_TOTAL_TIMEOUT && f->reason != REASON_OUT_OF_MEMORY &&
           f->reason != REASON_OUT_OF_DESCRIPTORS &&
           (f->unseen || method_is_idempotent(r->x->request.method));
}

static unsigned
status_of(enum reason reason)
{
    switch (reason) {
    case REASON_CONNECT_TIMEOUT:
    case REASON_RESPONSE_TIMEOUT:
    case REASON_TOTAL_TIMEOUT: return 504;
    case REASON_OUT_OF_MEMORY:
    case REASON_OUT_OF_DESCRIPTORS:
    case REASON_NO_SERVER: return 503;
    default: return 502;
    }
}

/* The client's own body was at fault. */
static void
refuse_client(struct relay *r)
{
    struct exchange *x = r->x;
    enum err e = r->pump.client_err;

    x->close_client = true;
    if (x->fault.reason == REASON_BODY_TOO_LARGE) {
        exchange_refuse_limit(x, 413, REASON_BODY_TOO_LARGE, x->fault.limit, x->fault.limit_name);
    } else if (e == ERR_TIMEOUT) {
        exchange_refuse_limit(x, 408, REASON_BODY_TIMEOUT, &x->timeouts->body_us, "timeouts.body");
    } else if (e == ERR_MALFORMED) {
        exchange_refuse(x, 400, REASON_BAD_REQUEST, "malformed body");
    } else {
        exchange_refuse(x, 400, REASON_CLIENT_GONE, "the body broke off: %s", err_sentence(e));
    }
}

static void
refuse(struct relay *r, const struct failure *f)
{
    struct exchange *x = r->x;

    if (r->pump.client_err != OK && r->pump.client_err != ERR_CANCELLED) {
        fiber_uncancel(fiber_self());
        refuse_client(r);
    } else if (r->pump.server_err == ERR_TIMEOUT) {
        fiber_uncancel(fiber_self());
        exchange_refuse_limit(x, 504, REASON_RESPONSE_TIMEOUT, &x->timeouts->send_us,
                              "timeouts.send");
    } else if (fiber_self()->cancelled != OK) {
        exchange_fault(x, REASON_CLIENT_GONE, ERR_CANCELLED, "while waiting for the server");
    } else if (f->limit) {
        exchange_refuse_limit(x, status_of(f->reason), f->reason, f->limit, f->limit_name);
        x->fault.err = f->err;
    } else {
        exchange_refuse(x, status_of(f->reason), f->reason, "%s%s%.*s", f->detail ? f->detail : "",
                        f->detail ? "; " : "server ", SLICE_ARG(x->relay.server));
        x->fault.err = f->err;
    }
}

static void
forget(struct tried *t)
{
    for (size_t i = 0; i < t->n; i++)
        server_release(t->servers[i]);
}

/* True: answered. */
static bool
try_servers(struct relay *r, struct failure *f)
{
    struct tried tried = {.n = 0};
    size_t most = (size_t) r->to->config->retries + 1;
    bool answered = false;

    if (most > ATTEMPTS_MAX)
        most = ATTEMPTS_MAX;
    while (!answered && tried.n < most) {
        struct server *s = pick(r->to->upstream, r->x, &tried);

        if (!s)
            break;
        tried.servers[tried.n++] = s;
        r->x->relay.attempts++;
        answered = attempt(r, s, false, f);
        /* The pooled connection had died: once more with a fresh one. */
        if (!answered && r->x->relay.reused && f->reason == REASON_SERVER_RESET && may_retry(r, f))
            answered = attempt(r, s, true, f);
        if (!answered && !may_retry(r, f))
            break;
    }
    if (!answered && tried.n == 0)
        f->reason = REASON_NO_SERVER;
    forget(&tried);
    return answered;
}

static void
handle(const struct middleware *self, struct exchange *x)
{
    const struct upstream_terminal *to = self->config;
    struct relay *r = arena_alloc(&x->arena, sizeof(*r));
    struct failure f = {0};

    if (!r) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "relay");
        return;
    }
    *r = (struct relay){.x = x, .to = to};
    x->relay.upstream = to->config->name;
    x->times.queued_us = loop_now_us();
    if (!take_first(r)) {
        r->pump.client_err = ERR_RESET;
        refuse(r, &f);
        return;
    }
    if (try_servers(r, &f))
        return;
    if (f.reason == REASON_NO_SERVER && x->relay.attempts == 0)
        refuse_no_server(to->upstream, x);
    else
        refuse(r, &f);
    relay_release(r);
}

const struct middleware_ops upstream_relay = {
    .options = {.name = "relay", .doc = "Relays the exchange to a server of an upstream."},
    .handle = handle,
};

void
upstream_tunnel_close(struct sock *server)
{
    server_conn_close(container_of(server, struct server_conn, sock));
}

void
upstream_explain(struct upstream *u, const struct upstream_config *config, struct text *out)
{
    const struct server_set *set = atomic_load(&u->set);

    text_printf(out, "upstream %.*s, balance %s\n", SLICE_ARG(config->name),
                config->balance.object ? config->balance.object->name : "round_robin");
    for (size_t i = 0; set && i < set->lb.n; i++)
        text_printf(out, "  server %.*s, weight %u, %s\n", SLICE_ARG(set->servers[i]->text),
                    set->lb.weights[i],
                    atomic_load(&set->servers[i]->target.usable) ? "in use"
                                                                 : "resting after a failure");
    if (set && set->unresolved)
        text_literal(out, "  some names are not resolved\n");
}
