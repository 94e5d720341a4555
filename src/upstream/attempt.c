/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/attempt.c - one server is asked: a connection, the request, the head of the answer.
 *
 * A pooled connection that turns out to be dead is replaced by a fresh one to the same server and
 * not counted as an attempt: a stale connection never becomes an error.
 */
#include "upstream/relay.h"

#include "exchange/grpc.h"
#include "exchange/trace.h"
#include "http/proxy_protocol.h"
#include "runtime/fiber.h"
#include "upstream/judge.h"

/* When the exchange has to be over: by its limit, or by its client's own. */
static uint64_t
end_us(const struct exchange *x)
{
    uint64_t total_us = x->timeouts->total_us;
    uint64_t at = total_us ? x->times.started_us + total_us : TIMER_NEVER;

    return x->deadline_us && x->deadline_us < at ? x->deadline_us : at;
}

uint64_t
relay_deadline_us(const struct exchange *x, uint64_t us)
{
    uint64_t at = loop_now_us() + us, end = end_us(x);

    return at < end ? at : end;
}

bool
relay_total_is_over(const struct exchange *x)
{
    return loop_now_us() >= end_us(x);
}

bool
relay_client_is_late(const struct exchange *x)
{
    return x->deadline_us && loop_now_us() >= x->deadline_us;
}

void
relay_blame_total(const struct exchange *x, const void **limit, const char **limit_name)
{
    bool client = end_us(x) == x->deadline_us;

    *limit = client ? NULL : &x->timeouts->total_us;
    *limit_name = client ? "grpc-timeout" : "timeouts.total";
}

bool
relay_fail_total(const struct exchange *x, struct failure *f)
{
    relay_blame_total(x, &f->limit, &f->limit_name);
    f->ours = relay_client_is_late(x);
    return relay_fail(f, REASON_TOTAL_TIMEOUT, ERR_TIMEOUT, NULL);
}

struct relay *
relay_new(struct relay_plan *plan)
{
    struct relay *r = arena_alloc(&plan->x->arena, sizeof(*r));

    if (r)
        *r = (struct relay){.plan = plan, .x = plan->x};
    return r;
}

/* ------------------------------------------------------------------ connecting */

static bool
fail_connecting(struct relay *r, struct failure *f, const struct conn_result *result)
{
    enum err e = result->err;

    f->err = e;
    f->unseen = f->connect = true;
    if (e == ERR_TIMEOUT && relay_client_is_late(r->x))
        return relay_fail_total(r->x, f);
    if (result->why[0])
        f->detail = arena_copy(&r->x->arena, slice_of(result->why, strlen(result->why) + 1)).at;
    switch (e) {
    case ERR_TIMEOUT:
        f->reason = REASON_CONNECT_TIMEOUT;
        f->limit = &r->x->timeouts->connect_us;
        f->limit_name = "timeouts.connect";
        break;
    case ERR_REFUSED: f->reason = REASON_CONNECT_REFUSED; break;
    case ERR_NO_DESCRIPTORS: f->reason = REASON_OUT_OF_DESCRIPTORS; break;
    case ERR_NO_MEMORY: f->reason = REASON_OUT_OF_MEMORY; break;
    case ERR_DENIED: f->reason = result->tls ? REASON_CERTIFICATE : REASON_CONNECT_FAILED; break;
    default: f->reason = result->tls ? REASON_TLS_FAILED : REASON_CONNECT_FAILED; break;
    }
    f->ours = e == ERR_NO_DESCRIPTORS || e == ERR_NO_MEMORY || e == ERR_CANCELLED;
    return false;
}

static bool
fail_waiting(const struct relay *r, struct failure *f, const struct conn_result *result)
{
    const struct queue_config *queue = &relay_config(r)->queue;

    f->ours = f->unseen = true;
    if (result->fault == CONN_QUEUE_FULL) {
        f->reason = REASON_QUEUE_FULL;
        f->limit = &queue->size;
        f->limit_name = "queue.size";
    } else if (result->fault == CONN_QUEUE_TIMEOUT) {
        f->reason = REASON_QUEUE_TIMEOUT;
        f->limit = &queue->timeout_us;
        f->limit_name = "queue.timeout";
    } else {
        f->reason = result->refusal.reason;
        f->limit = result->refusal.limit;
        f->limit_name = result->refusal.limit_name;
        f->retry_after_s = result->refusal.retry_after_s;
    }
    return false;
}

/* Upgrades and tunnels are HTTP/1's, and so is all that goes to a server that wants that. */
static enum upstream_http
http_of(const struct relay *r, const struct server *s)
{
    const struct request *q = &r->x->request;

    if (slice_is_present(q->upgrade) || q->method == METHOD_CONNECT ||
        atomic_load_explicit(&s->h1_until_us, memory_order_relaxed) > loop_now_us())
        return UPSTREAM_HTTP1;
    return (enum upstream_http) relay_config(r)->http;
}

static struct slice
proxy_header(const struct relay *r, char *out)
{
    int version = relay_config(r)->proxy_protocol;

    if (version == 0)
        return (struct slice){NULL, 0};
    return slice_of(out, proxy_header_write(out, version, &r->x->client_address.any,
                                            &r->x->client->local.any));
}

/* Others are asked rather than this one, for a while. */
static bool
is_unreachable(const struct conn_result *result)
{
    enum err e = result->err;

    return e == ERR_TIMEOUT || e == ERR_REFUSED || e == ERR_UNREACHABLE || e == ERR_NOT_FOUND ||
           (result->tls && e != ERR_CANCELLED && e != ERR_NO_MEMORY);
}

static bool
connect_to(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    struct exchange *x = r->x;
    struct upstream *u = s->upstream;
    struct upstream_counters *counters = &u->counters[loop_self()->number];
    char preface[PROXY_HEADER_MAX];
    struct server_want want = {
        .config = relay_config(r),
        .http = http_of(r, s),
        .preface = proxy_header(r, preface),
        .connect_us = x->timeouts->connect_us,
        .deadline_us = end_us(x),
        .fresh = fresh || relay_config(r)->proxy_protocol != 0,
    };
    struct guard_refusal refusal;
    struct conn_result result;
    struct server_conn *c;

    if (!guard_pend(u->guard, &r->plan->guards, &refusal)) {
        result = (struct conn_result){.fault = CONN_REFUSED_BY_GUARD, .refusal = refusal};
        return fail_waiting(r, f, &result);
    }
    c = server_conn_get(s, &want, &result);
    guard_unpend(u->guard);
    if (result.waited)
        atomic_fetch_add_explicit(&counters->waited, 1, memory_order_relaxed);
    if (!c) {
        if (result.fault != CONN_FAILED)
            return fail_waiting(r, f, &result);
        if (is_unreachable(&result) && !relay_client_is_late(x))
            server_rest(s);
        return fail_connecting(r, f, &result);
    }
    r->reused = c->reused;
    r->idle_us = loop_now_us() - c->idle_since_us;
    r->conn = c;
    r->shared = c->h2 != NULL;
    r->wire = r->shared ? &relay_h2 : &relay_h1;
    if (r->reused)
        atomic_fetch_add_explicit(&counters->reused, 1, memory_order_relaxed);
    x->times.connected_us = loop_now_us();
    return true;
}

/* ------------------------------------------------------------------ exchanging */

static bool
exchange_with(struct relay *r, struct failure *f)
{
    struct exchange *x = r->x;
    enum err e = r->wire->send_head(r);

    x->times.sent_us = loop_now_us();

    if (e != OK) {
        f->reason = e == ERR_TIMEOUT ? REASON_RESPONSE_TIMEOUT : REASON_SERVER_RESET;
        f->err = e;
        if (e == ERR_TIMEOUT) {
            f->limit = &x->timeouts->send_us;
            f->limit_name = "timeouts.send";
        }
        /* It may have answered and closed without reading all: look. */
        if (e == ERR_TIMEOUT || e == ERR_CANCELLED || e == ERR_NO_MEMORY)
            return false;
        return relay_read_head(r, f);
    }
    if (x->request.body && !r->plan->whole && !x->request.expect_continue &&
        !relay_pump_start(r)) {
        f->reason = REASON_OUT_OF_MEMORY;
        f->err = ERR_NO_MEMORY;
        return false;
    }
    return relay_read_head(r, f);
}

/* Counted before it is connected: a server that is slow to accept must not look idle. */
static void
count(struct relay *r, struct server *s)
{
    server_begin(s);
    r->counted = s;
    r->unanswered = true;
    r->begun_us = loop_now_us();
}

static void
answered(struct relay *r)
{
    if (r->unanswered)
        server_answered(r->counted);
    r->unanswered = false;
}

void
relay_uncount(struct relay *r)
{
    if (!r->counted)
        return;
    answered(r);
    server_end(take(&r->counted));
}

/* The answer itself says that the server has failed; gRPC's says it at its end. */
static bool
says_failed(const struct relay *r)
{
    return r->head.status >= 500 ||
           grpc_server_failed(r->x, r->trailers.n ? &r->trailers : &r->head.fields);
}

static void
note(struct relay *r, bool failed, uint64_t took_us)
{
    struct server *s = r->counted;

    if (failed)
        atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    if (passive_note(&s->passive, &relay_config(r)->passive, failed || says_failed(r), took_us))
        judge_call(s->upstream);
}

/* What balancing and passive health learn from it.  That an answer began well is not yet a success:
 * its end is noted. */
static void
note_outcome(struct relay *r, const struct failure *f, bool good)
{
    uint64_t took_us = loop_now_us() - r->begun_us;

    if (good)
        lb_observe(r->counted->target, took_us > UINT32_MAX ? UINT32_MAX : (uint32_t) took_us,
                   loop_now_us());
    /* An attempt that we broke off says nothing, nor does our own want of something. */
    else if (!f->ours && f->err != ERR_CANCELLED && f->reason != REASON_OUT_OF_MEMORY)
        note(r, true, took_us);
}

void
relay_note_end(struct relay *r, bool failed)
{
    if (!r->counted)
        return;
    if (!failed && says_failed(r))
        r->plan->failed = true; /* for the breaker */
    note(r, failed, r->plan->took_us);
}

void
relay_abandon(struct relay *r)
{
    relay_uncount(r);
    relay_pump_stop(r);
    if (r->wire)
        r->wire->release(r);
    r->wire = NULL;
}

/* A moment of this attempt, in microseconds since its beginning. */
static unsigned long long
into(const struct relay *r, uint64_t at_us)
{
    return at_us > r->begun_us ? at_us - r->begun_us : 0;
}

static void
tell(const struct relay *r, size_t event, const struct failure *f, bool good)
{
    const struct exchange_times *t = &r->x->times;
    struct slice server = r->server->text;

    if (good) {
        exchange_trace_attempted(r->x, event, r->head.status,
                                 "%.*s answered %u, over %s connection: at hand after %llu us, "
                                 "request sent after %llu us, head of the answer after %llu us",
                                 SLICE_ARG(server), r->head.status,
                                 r->shared   ? "a shared"
                                 : r->reused ? "a pooled"
                                             : "a new",
                                 into(r, t->connected_us), into(r, t->sent_us),
                                 into(r, t->first_byte_us));
        return;
    }
    exchange_trace_attempted(r->x, event, 0, "%.*s failed: %s%s%s%s%s", SLICE_ARG(server),
                             reason_sentence(f->reason), f->detail ? "; " : "",
                             f->detail ? f->detail : "", f->err == OK ? "" : "; ",
                             f->err == OK ? "" : err_sentence(f->err));
    if (f->limit_name)
        exchange_note(r->x, f->limit, "limit", "%s was reached", f->limit_name);
}

static bool
attempt_once(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    size_t event = unlikely(r->x->trace != NULL) ? exchange_trace_attempt(r->x) : 0;
    bool good;

    *f = (struct failure){0};
    count(r, s);
    good = connect_to(r, s, fresh, f) && exchange_with(r, f);
    if (unlikely(r->x->trace != NULL))
        tell(r, event, f, good);
    note_outcome(r, f, good);
    if (good)
        answered(r);
    else
        relay_abandon(r);
    return good;
}

bool
relay_attempt(struct relay *r, struct server *s, bool last, struct failure *f)
{
    uint64_t limit_us = relay_config(r)->retries.attempt_us;

    r->server = s;
    r->x->relay.server = arena_copy(&r->x->arena, s->text);
    r->response_us = r->x->timeouts->response_us;
    if (!last && limit_us && limit_us < r->response_us)
        r->response_us = limit_us;
    if (attempt_once(r, s, false, f))
        return true;
    /* Many share a connection; who is turned away by one (RFC 9113 8.7) tries the next. */
    if (f->reason != REASON_SERVER_RESET || (!r->reused && !(r->shared && f->unseen)))
        return false;
    if (!r->shared)
        server_learn_idle(s, r->idle_us);
    /* The pooled connection had died: once more with a fresh one; a shared one that ends is joined
     * by nobody.  What the server may have seen has cost it something, and counts as a retry. */
    if (!relay_may_retry(r, f) ||
        (!f->unseen && !guard_retry(s->upstream->guard, &r->plan->guards, loop_self()->number,
                                    loop_now_us())))
        return false;
    return attempt_once(r, s, !r->shared, f);
}

/* ------------------------------------------------------------------ afterwards */

bool
relay_can_resend(const struct relay *r)
{
    return !r->x->request.body || r->plan->whole || (!r->plan->first.n && !r->pump.last_us);
}

/* Is it a kind of failure that the configuration wants to see tried again? */
static bool
is_wanted(const struct retries_config *config, enum reason reason)
{
    const int *on = config->on.at;
    int kind;

    switch (reason) {
    case REASON_CONNECT_REFUSED:
    case REASON_CONNECT_TIMEOUT:
    case REASON_TLS_FAILED:
    case REASON_CERTIFICATE:
    case REASON_CONNECT_FAILED: kind = RETRY_CONNECT; break;
    case REASON_SERVER_RESET: kind = RETRY_RESET; break;
    case REASON_RESPONSE_TIMEOUT: kind = RETRY_TIMEOUT; break;
    case REASON_RESPONSE_MALFORMED:
    case REASON_RESPONSE_HEAD_TOO_LARGE: kind = RETRY_MALFORMED; break;
    case REASON_QUEUE_FULL:
    case REASON_QUEUE_TIMEOUT: return true;
    default: return false;
    }
    for (size_t i = 0; i < config->on.n; i++)
        if (on[i] == kind)
            return true;
    return false;
}

bool
relay_may_retry(const struct relay *r, const struct failure *f)
{
    return relay_can_resend(r) && r->pump.client_err == OK && fiber_self()->cancelled == OK &&
           is_wanted(&relay_config(r)->retries, f->reason) &&
           (f->unseen || method_is_idempotent(r->x->request.method));
}

/* What it says of its load is for us. */
static void
learn_from(struct relay *r)
{
    struct exchange *x = r->x;
    const struct upstream_config *config = relay_config(r);
    const struct slice name = SLICE("endpoint-load-metrics");
    struct field *report;
    uint16_t share;

    if (config->load != LOAD_FIELD)
        return;
    report = fields_find(&x->response.fields, name);
    if (report && load_report_share(report->value, &share))
        server_report_share(r->server, share);
    fields_remove_named(&x->response.fields, name);
}

void
relay_accept(struct relay *r)
{
    struct relay_plan *plan = r->plan;
    const struct upstream_config *config = relay_config(r);
    uint64_t id = r->server->sticky_id;

    r->x->relay.server = arena_copy(&r->x->arena, r->server->text);
    r->x->relay.reused = r->reused;
    plan->took_us = loop_now_us() - r->begun_us;
    plan->failed = r->head.status >= 500;
    relay_make_response(r);
    learn_from(r);
    if (config->sticky && r->x->response.status != 101)
        sticky_write(config->sticky, config->name, &plan->seen, id, r->x,
                     clock_wall_us() / 1000000);
}
