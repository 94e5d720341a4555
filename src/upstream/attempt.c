/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/attempt.c - one server is asked: a connection, the request, the head of the answer.
 *
 * A pooled connection that turns out to be dead is replaced by a fresh one to the same server and
 * not counted as an attempt: a stale connection never becomes an error.
 */
#include "upstream/relay.h"

#include "http/proxy_protocol.h"
#include "runtime/fiber.h"
#include "upstream/judge.h"

enum { HEAD_ON_STACK = 2048, HEAD_MAX = 64 * 1024 };

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

struct relay *
relay_new(struct relay_plan *plan)
{
    struct relay *r = arena_alloc(&plan->x->arena, sizeof(*r));

    if (r)
        *r = (struct relay){.plan = plan, .x = plan->x};
    return r;
}

/* ------------------------------------------------------------------ sending */

static int
put_proxy_header(const struct relay *r, char *out, struct iovec *iov)
{
    const struct exchange *x = r->x;
    int version = relay_config(r)->proxy_protocol;

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
    const struct relay_plan *plan = r->plan;
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
        if (plan->whole && plan->first.n)
            iov[n++] = (struct iovec){(char *) plan->first.at, plan->first.n};
        e = send_vectors(r, iov, n);
        if (plan->whole)
            r->x->request_bytes = plan->first.n;
    }
    text_free(&head);
    r->x->times.sent_us = loop_now_us();
    return e;
}

/* ------------------------------------------------------------------ connecting */

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

static bool
connect_to(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    struct exchange *x = r->x;
    struct upstream *u = s->upstream;
    struct upstream_counters *counters = &u->counters[loop_self()->number];
    struct server_want want = {
        .config = relay_config(r),
        .connect_us = x->timeouts->connect_us,
        .deadline_us = x->timeouts->total_us ? x->times.started_us + x->timeouts->total_us
                                             : TIMER_NEVER,
        .fresh = fresh || relay_config(r)->proxy_protocol != 0,
    };
    struct guard_refusal refusal;
    struct conn_result result;

    if (!guard_pend(u->guard, &r->plan->guards, &refusal)) {
        result = (struct conn_result){.fault = CONN_REFUSED_BY_GUARD, .refusal = refusal};
        return fail_waiting(r, f, &result);
    }
    r->conn = server_conn_get(s, &want, &result);
    guard_unpend(u->guard);
    if (result.waited)
        atomic_fetch_add_explicit(&counters->waited, 1, memory_order_relaxed);
    if (!r->conn) {
        enum err e = result.err;

        if (result.fault != CONN_FAILED)
            return fail_waiting(r, f, &result);
        if (e == ERR_TIMEOUT || e == ERR_REFUSED || e == ERR_UNREACHABLE || e == ERR_NOT_FOUND)
            server_rest(s);
        return fail_connecting(r, f, e);
    }
    r->reused = r->conn->reused;
    r->idle_us = loop_now_us() - r->conn->idle_since_us;
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
    enum err e = send_request(r);

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

static void
note(struct relay *r, bool failed, uint64_t took_us)
{
    struct server *s = r->counted;

    if (failed)
        atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    if (passive_note(&s->passive, &relay_config(r)->passive, failed || r->head.status >= 500,
                     took_us))
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
    if (r->counted)
        note(r, failed, r->plan->took_us);
}

void
relay_abandon(struct relay *r)
{
    relay_uncount(r);
    relay_pump_stop(r);
    if (r->conn)
        server_conn_close(take(&r->conn));
    r->start = r->end = 0;
}

static bool
attempt_once(struct relay *r, struct server *s, bool fresh, struct failure *f)
{
    bool good;

    *f = (struct failure){0};
    count(r, s);
    good = connect_to(r, s, fresh, f) && exchange_with(r, f);
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
    if (!r->reused || f->reason != REASON_SERVER_RESET)
        return false;
    server_learn_idle(s, r->idle_us);
    /* The pooled connection had died: once more with a fresh one.  What the server may have seen
     * has cost it something, and counts as a retry. */
    if (!relay_may_retry(r, f) ||
        (!f->unseen && !guard_retry(s->upstream->guard, &r->plan->guards, loop_self()->number,
                                    loop_now_us())))
        return false;
    return attempt_once(r, s, true, f);
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
