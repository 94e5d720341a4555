/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/serve.c - one exchange, whatever the version of HTTP: find the route, run its chain, send
 * what came of it, write the log.  This is the file to read first; h1_serve.c and h2_stream.c are
 * the two that call it.
 */
#include "edge/https.h"
#include "exchange/flight.h"
#include "exchange/recorded.h"
#include "exchange/trace.h"
#include "runtime/fiber.h"

enum { ARENA_MAX = 1024 * 1024 };

void
serving_begin(struct serving *s, const struct serving_ops *ops, struct client_conn *c, void *first,
              size_t first_n)
{
    struct exchange *x = &s->x;

    s->ops = ops;
    s->conn = c;
    s->use = use_hold(client_edge(c));
    arena_init(&x->arena, first, first_n, ARENA_MAX);
    x->ops = &ops->exchange;
    x->client = &s->facts;
    x->config = s->use->snapshot->config;
    x->routes = s->use->snapshot->routes;
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
    struct exchange *x = &s->x;

    x->route = route_find(x->routes, x);
    recorded_take(x);
    exchange_run(x, x->route);
    if (s->x.response.status == 0 && fiber_self()->cancelled == OK)
        exchange_refuse(&s->x, 500, REASON_MISCONFIGURED, "nobody answered");
}

void
serving_run(struct serving *s)
{
    flight_enter(&s->x);
    if (!request_complete(s) || !forwarded_apply(s, s->conn->listener->config))
        return;
    if (s->use->snapshot->tracing)
        exchange_trace_begin(&s->x, s->use->snapshot->tracing);
    if (!https_redirect(s))
        run_chain(s);
    https_strict(s);
}

enum serving_outcome
serving_answer(struct serving *s)
{
    if (fiber_self()->cancelled != OK) {
        if (s->x.fault.reason == REASON_NONE)
            exchange_fault(&s->x, REASON_CLIENT_GONE, ERR_CANCELLED,
                           "while the answer was prepared");
        return SERVING_ABORT;
    }
    if (s->x.response.status == 101)
        return s->ops->upgrade(s);
    if (!s->ops->send(s))
        return SERVING_ABORT;
    /* A server that answered early leaves somebody behind who still reads the request for it. */
    body_close(take(&s->x.response.body));
    return s->ops->finish(s);
}

void
serving_log(struct serving *s)
{
    account_exchange(client_edge(s->conn), s->use->snapshot, s->conn->listener, &s->x);
}

bool
serving_client_user(const struct exchange *x, uint32_t *uid)
{
    const struct client_conn *c = container_of(x, struct serving, x)->conn;
    struct ucred who;
    socklen_t n = sizeof(who);

    if (c->peer_family != AF_UNIX ||
        getsockopt(c->sock.fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
        return false;
    *uid = who.uid;
    return true;
}

void
serving_end(struct serving *s)
{
    body_close(take(&s->x.response.body));
    body_close(take(&s->x.request.body));
    exchange_trace_end(&s->x);
    flight_leave(&s->x);
    arena_free(&s->x.arena);
    use_release(s->use);
}
