/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/relay.c - the terminal of most chains: a server is asked; another one when that is safe
 * and worth it.
 *
 * A failed attempt may be repeated on another server when the method is idempotent (RFC 9110 9.2.2)
 * or the server's application cannot have seen the request, and the request's body can be sent
 * again; when the configuration wants such failures to be repeated, and the budget of retries bears
 * it.
 */
#include "upstream/relay.h"

#include "exchange/grpc.h"
#include "exchange/trace.h"
#include "runtime/fiber.h"
#include "upstream/probe.h"

/* ------------------------------------------------------------------ refusing */

/* A client may as well wait for the next check. */
static unsigned
next_check_s(const struct upstream_config *config)
{
    const struct health_config *h = config->health.at;
    uint64_t soonest_us = config->health.n ? UINT64_MAX : 0;

    for (size_t i = 0; i < config->health.n; i++)
        if (h[i].every_us < soonest_us)
            soonest_us = h[i].every_us;
    return 1 + (unsigned) (soonest_us / 1000000);
}

static void
retry_after(struct exchange *x, unsigned seconds)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", seconds);
    fields_set(&x->response.fields, FIELD_RETRY_AFTER, arena_copy(&x->arena, slice_str(text)));
}

static void
refuse_no_server(const struct upstream_terminal *to, struct exchange *x)
{
    const struct upstream *u = to->upstream;
    const struct server_set *set = atomic_load(&u->set);

    if (set && set->lb.n == 0 && set->unresolved)
        exchange_refuse(x, 503, REASON_NAME_UNRESOLVED, "upstream %.*s", SLICE_ARG(u->name));
    else
        exchange_refuse(x, 503, REASON_NO_SERVER, "upstream %.*s", SLICE_ARG(u->name));
    retry_after(x, next_check_s(to->config));
}

static void
refuse_limit(struct exchange *x, unsigned status, const struct failure *f)
{
    exchange_refuse_limit(x, status, f->reason, f->limit, f->limit_name);
    x->fault.err = f->err;
    if (f->retry_after_s)
        retry_after(x, f->retry_after_s);
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
    case REASON_QUEUE_FULL:
    case REASON_QUEUE_TIMEOUT:
    case REASON_CIRCUIT_OPEN:
    case REASON_SERVERS_BUSY:
    case REASON_NO_SERVER: return 503;
    default: return 502;
    }
}

/* The client's own body was at fault. */
static void
refuse_client(struct exchange *x, enum err e)
{
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
refuse(const struct relay *r, const struct failure *f)
{
    struct exchange *x = r->x;

    if (r->pump.client_err != OK && r->pump.client_err != ERR_CANCELLED) {
        fiber_uncancel(fiber_self());
        refuse_client(x, r->pump.client_err);
    } else if (r->pump.server_err == ERR_TIMEOUT) {
        fiber_uncancel(fiber_self());
        exchange_refuse_limit(x, 504, REASON_RESPONSE_TIMEOUT, &x->timeouts->send_us,
                              "timeouts.send");
    } else if (x->fault.reason == REASON_CANCELLED) {
        return;
    } else if (fiber_self()->cancelled != OK) {
        exchange_fault(x, REASON_CLIENT_GONE, ERR_CANCELLED, "while waiting for the server");
    } else if (f->limit_name) {
        refuse_limit(x, status_of(f->reason), f);
    } else {
        exchange_refuse(x, status_of(f->reason), f->reason, "%s%s%.*s", f->detail ? f->detail : "",
                        f->detail ? "; " : "server ", SLICE_ARG(x->relay.server));
        x->fault.err = f->err;
    }
}

/* ------------------------------------------------------------------ trying */

/* Takes what is in memory already, so that small bodies travel with the head and can be sent
 * again. */
static bool
take_first(struct relay_plan *plan)
{
    struct body *b = plan->x->request.body;
    struct slice chunk;

    if (!b || !b->ready || plan->x->request.expect_continue)
        return true;
    if (b->length == 0) {
        plan->whole = true;
        return true;
    }
    if (body_next(b, &chunk) != OK)
        return false;
    plan->first = chunk;
    plan->whole = b->length != BODY_LENGTH_UNKNOWN && chunk.n == (uint64_t) b->length;
    return true;
}

static bool
is_hedged(const struct relay_plan *plan)
{
    enum method m = plan->x->request.method;

    return plan->to->config->hedge && (m == METHOD_GET || m == METHOD_HEAD) &&
           !plan->x->request.body && !slice_is_present(plan->x->request.upgrade);
}

/* A further attempt is due: somebody for it, if the budget bears it. */
static struct server *
next_server(struct relay_plan *plan)
{
    struct upstream *u = plan->to->upstream;
    unsigned worker = loop_self()->number;
    struct server *s;

    if (!guard_retry(u->guard, &plan->guards, worker, loop_now_us())) {
        exchange_note(plan->x, &plan->to->config->retries.budget, "retry",
                      "no other server is asked: the budget of retries is used up");
        return NULL;
    }
    exchange_note(plan->x, NULL, "retry", "another server is asked");
    s = relay_choose(plan);
    if (s)
        atomic_fetch_add_explicit(&u->counters[worker].retries, 1, memory_order_relaxed);
    return s;
}

/* The status is one that is worth another attempt. */
static bool
is_unwelcome(const struct relay *r)
{
    const struct retries_config *config = &relay_config(r)->retries;
    const int64_t *status = config->statuses.at;

    for (size_t i = 0; i < config->statuses.n; i++)
        if (status[i] == (int64_t) r->head.status)
            return relay_can_resend(r) && method_is_idempotent(r->x->request.method);
    return false;
}

/* Why no other server is asked. */
static void
note_last(const struct relay *r, bool answered, bool spent)
{
    if (answered)
        return;
    if (spent)
        exchange_note(r->x, &relay_config(r)->retries.attempts, "retry",
                      "no other server is asked: retries.attempts was reached");
    else
        exchange_note(r->x, &relay_config(r)->retries.on, "retry",
                      "no other server is asked: the request cannot be sent again, or such a "
                      "failure is not worth it (retries.on)");
}

/* True: answered, by *r. */
static bool
try_servers(struct relay_plan *plan, struct relay **r, struct failure *f)
{
    const struct retries_config *retries = &plan->to->config->retries;
    struct server *s = relay_choose(plan);
    int64_t left = retries->attempts;
    bool answered = false;

    if (!s)
        f->reason = REASON_NO_SERVER;
    while (s) {
        plan->x->relay.attempts++;
        answered = is_hedged(plan) ? relay_hedge(r, s, f) : relay_attempt(*r, s, left == 0, f);
        if (left-- == 0 || (answered ? !is_unwelcome(*r) : !relay_may_retry(*r, f))) {
            note_last(*r, answered, left < 0);
            break;
        }
        s = next_server(plan);
        if (s && answered) {
            relay_abandon(*r);
            answered = false;
        }
    }
    return answered;
}

static void
release_tried(struct relay_plan *plan)
{
    for (size_t i = 0; i < plan->n_tried; i++)
        server_release(plan->tried[i]);
    plan->n_tried = 0;
}

void
relay_leave(struct relay_plan *plan)
{
    struct upstream *u = plan->to->upstream;

    if (!plan->pass.counted)
        return;
    guard_leave(u->guard, &plan->guards, loop_self()->number, loop_now_us(), &plan->pass,
                plan->failed, plan->took_us);
    plan->pass.counted = false;
}

static void
relay_exchange(struct relay_plan *plan, struct relay *r)
{
    struct failure f = {0};

    if (try_servers(plan, &r, &f)) {
        relay_accept(r);
        grpc_finish(plan->x);
        return;
    }
    plan->failed = f.reason != REASON_NO_SERVER && !f.ours && fiber_self()->cancelled == OK;
    if (f.reason == REASON_NO_SERVER)
        refuse_no_server(plan->to, plan->x);
    else
        refuse(r, &f);
    relay_release(r);
    relay_leave(plan);
}

static struct relay_plan *
make_plan(struct exchange *x, const struct upstream_terminal *to)
{
    struct relay_plan *plan = arena_alloc(&x->arena, sizeof(*plan));

    if (plan)
        *plan = (struct relay_plan){
            .x = x,
            .to = to,
            .guards = {to->config->breaker, to->config->concurrency, &to->config->retries},
        };
    return plan;
}

static void
handle(const struct middleware *self, struct exchange *x)
{
    const struct upstream_terminal *to = self->config;
    struct relay_plan *plan = make_plan(x, to);
    struct relay *r = plan ? relay_new(plan) : NULL;
    unsigned worker = loop_self()->number;
    struct guard_refusal why;

    if (!r || !to->upstream->guard) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "relay");
        return;
    }
    x->relay.upstream = to->config->name;
    x->relay.terminal = self;
    x->times.queued_us = loop_now_us();
    x->deadline_us = grpc_deadline_us(x);
    atomic_fetch_add_explicit(&to->upstream->counters[worker].exchanges, 1, memory_order_relaxed);
    if (!guard_enter(to->upstream->guard, &plan->guards, worker, loop_now_us(), &plan->pass,
                     &why)) {
        refuse_limit(x, 503, &(struct failure){.reason = why.reason,
                                               .limit = why.limit,
                                               .limit_name = why.limit_name,
                                               .retry_after_s = why.retry_after_s});
        return;
    }
    if (x->client->earlier == 0)
        atomic_fetch_add_explicit(&to->upstream->counters[worker].clients, 1,
                                  memory_order_relaxed);
    relay_plan_choice(plan);
    if (take_first(plan)) {
        relay_exchange(plan, r);
    } else {
        refuse_client(x, ERR_RESET);
        relay_leave(plan);
    }
    release_tried(plan);
}

static void
explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct upstream_terminal *to = self->config;

    upstream_explain(to->upstream, to->config, x, out);
}

const struct middleware_ops upstream_relay = {
    .options = {.name = "relay", .doc = "Relays the exchange to a server of an upstream."},
    .handle = handle,
    .explain = explain,
};

void
upstream_tunnel_close(struct sock *server)
{
    server_conn_close(container_of(server, struct server_conn, sock));
}
