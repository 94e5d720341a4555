/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/response.c - what the server answers: its head, and its body as a source that is pulled;
 * what is the same for all versions of HTTP.
 *
 * The connection is free for others with the last byte that is read, before the client has it all.
 */
#include "runtime/fiber.h"
#include "upstream/relay.h"

enum { CONTINUE_US = 1000000, INFORMATIONAL_MAX = 32 };

/* ------------------------------------------------------------------ head */

bool
relay_fail(struct failure *f, enum reason reason, enum err err, const char *detail)
{
    f->reason = reason;
    f->err = err;
    f->detail = detail;
    return false;
}

bool
relay_fail_waiting(struct relay *r, struct failure *f, enum err e, bool begun)
{
    const struct exchange_timeouts *t = r->x->timeouts;
    bool total, own;

    if (e != ERR_TIMEOUT)
        return relay_fail(f, REASON_SERVER_RESET, e, begun ? "in the middle of the head" : NULL);
    total = relay_total_is_over(r->x);
    own = r->response_us != t->response_us;
    if (total)
        return relay_fail_total(r->x, f);
    f->limit = own ? &relay_config(r)->retries.attempt_us : &t->response_us;
    f->limit_name = own ? "retries.attempt_timeout" : "timeouts.response";
    return relay_fail(f, REASON_RESPONSE_TIMEOUT, e, NULL);
}

bool
relay_has_moved(const struct relay *r, uint64_t *since_us)
{
    if (r->pump.done || !r->pump.fiber || r->pump.last_us <= *since_us)
        return false;
    *since_us = r->pump.last_us;
    return true;
}

/* 1xx: told to the client, unless it is about the connection between us and the server. */
static void
inform(struct relay *r)
{
    struct h1_head *head = &r->head;

    if (head->status == 100 && !r->x->request.expect_continue)
        return;
    if (fields_remove_hop_by_hop(&head->fields))
        (void) r->x->ops->inform(r->x, head->status, &head->fields);
}

/* The body that the client holds back until the server wants it (RFC 9110 10.1.1). */
static bool
start_withheld(struct relay *r, struct failure *f)
{
    if (!r->x->request.body || r->pump.fiber || r->plan->whole)
        return true;
    return relay_pump_start(r) || relay_fail(f, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL);
}

static bool
read_final_head(struct relay *r, struct failure *f)
{
    bool withheld = r->x->request.expect_continue && r->x->request.body && !r->pump.fiber;

    for (int i = 0; i < INFORMATIONAL_MAX; i++) {
        uint64_t silence_us = r->response_us;

        if (withheld && silence_us > CONTINUE_US)
            silence_us = CONTINUE_US;
        if (!r->wire->read_head(r, silence_us, f)) {
            if (!withheld || f->err != ERR_TIMEOUT || r->end > r->start)
                return false;
            /* Not all servers know 100-continue: send the body all the same. */
            *f = (struct failure){0};
        } else if (r->head.status >= 200 || r->head.status == 101) {
            return true;
        } else {
            inform(r);
            if (r->head.status != 100)
                continue;
        }
        if (withheld && !start_withheld(r, f))
            return false;
        withheld = false;
    }
    return relay_fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED,
                      "too many informational responses");
}

/* ------------------------------------------------------------------ body */

void
relay_finish(struct relay *r)
{
    r->complete = true;
    relay_note_end(r, false);
    relay_uncount(r);
    relay_leave(r->plan);
    r->wire->finish(r);
}

enum err
relay_broke_off(struct relay *r, enum err e)
{
    const struct exchange_timeouts *t = r->x->timeouts;

    r->broken = e == ERR_END ? ERR_RESET : e;
    if (e != ERR_CANCELLED && !(e == ERR_TIMEOUT && relay_client_is_late(r->x)))
        relay_note_end(r, true);
    if (e == ERR_TIMEOUT && relay_total_is_over(r->x)) {
        exchange_fault(r->x, REASON_TOTAL_TIMEOUT, e, "while the answer was relayed");
        relay_blame_total(r->x, &r->x->fault.limit, &r->x->fault.limit_name);
    } else if (e == ERR_TIMEOUT) {
        exchange_fault(r->x, REASON_RESPONSE_TIMEOUT, e, "the server stopped sending");
        r->x->fault.limit = &t->response_us;
        r->x->fault.limit_name = "timeouts.response";
    } else if (e != ERR_CANCELLED) {
        exchange_fault(r->x, REASON_RESPONSE_INCOMPLETE, e, "%s", err_sentence(e));
    }
    return r->broken;
}

enum err
relay_malformed(struct relay *r, const char *words)
{
    r->broken = ERR_MALFORMED;
    relay_note_end(r, true);
    exchange_fault(r->x, REASON_RESPONSE_MALFORMED, ERR_MALFORMED, "%s", words);
    return r->broken;
}

static enum err
next(struct body *b, struct slice *chunk)
{
    struct relay *r = container_of(b, struct relay, body);
    enum err e;

    if (r->broken != OK)
        return r->broken;
    e = r->wire->next(r, chunk);
    if (e == OK)
        r->body_bytes += chunk->n;
    b->ready = b->ready || r->complete;
    return e;
}

static void
close_body(struct body *b)
{
    struct relay *r = container_of(b, struct relay, body);

    relay_release(r);
    relay_leave(r->plan);
}

static const struct body_ops server_body = {.next = next, .close = close_body};

void
relay_release(struct relay *r)
{
    relay_pump_stop(r);
    relay_uncount(r);
    if (r->wire)
        r->wire->release(r);
}

/* ------------------------------------------------------------------ both */

static void
take_over_tunnel(struct relay *r)
{
    struct exchange *x = r->x;

    x->response.tunnel = &take(&r->conn)->sock;
    x->response.tunnel_close = upstream_tunnel_close;
    x->response.tunnel_early = arena_copy(&x->arena, slice_of(r->buffer + r->start,
                                                              r->end - r->start));
    r->complete = true;
    relay_note_end(r, false);
    relay_release(r);
    relay_leave(r->plan);
}

static void
make_body(struct relay *r)
{
    const struct h1_head *head = &r->head;

    r->framing = head->framing;
    r->left = head->length;
    r->body = (struct body){.ops = &server_body, .length = BODY_LENGTH_UNKNOWN};
    if (head->framing == H1_LENGTH)
        r->body.length = (int64_t) head->length;
    if (head->framing == H1_NO_BODY || (head->framing == H1_LENGTH && head->length == 0)) {
        relay_finish(r);
        /* A request that is still being sent keeps us alive. */
        if (!r->pump.fiber || r->pump.done) {
            relay_release(r);
            return;
        }
        r->framing = H1_LENGTH;
        r->left = 0;
        r->body.length = 0;
    }
    r->body.ready = r->start < r->end || r->complete;
    r->x->response.body = &r->body;
}

/* The server says how long it keeps idle connections (RFC 2068 19.7.1.1). */
static void
learn_keep_alive(struct relay *r)
{
    const struct slice name = SLICE("timeout=");
    struct slice value = fields_value(&r->head.fields, FIELD_KEEP_ALIVE);
    uint64_t seconds = 0;

    while (value.n && !slice_starts(value, name))
        value = slice_from(value, 1);
    for (size_t i = name.n; i < value.n && ascii_is_digit(value.at[i]) && seconds < 100000; i++)
        seconds = seconds * 10 + (uint64_t) (value.at[i] - '0');
    if (seconds)
        atomic_store_explicit(&r->server->learned_idle_ms, (uint32_t) (seconds * 1000),
                              memory_order_relaxed);
}

bool
relay_read_head(struct relay *r, struct failure *f)
{
    if (!read_final_head(r, f))
        return false;
    learn_keep_alive(r);
    if (!fields_remove_hop_by_hop(&r->head.fields))
        return relay_fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED,
                          h1_fault_words(H1_BAD_CONNECTION));
    if (r->head.status == 101 && !slice_is_present(r->x->request.upgrade))
        return relay_fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED,
                    "101 to a request without Upgrade");
    r->x->times.first_byte_us = loop_now_us();
    return true;
}

void
relay_make_response(struct relay *r)
{
    struct response *response = &r->x->response;

    response->status = r->head.status;
    response->version = r->wire == &relay_h2 ? 20 : 10 + r->head.minor;
    response->reason = r->head.reason;
    response->fields = r->head.fields;
    r->keep_alive = r->head.keep_alive;
    if (r->head.status == 101) {
        response->upgrade = r->head.upgrade;
        take_over_tunnel(r);
    } else {
        make_body(r);
    }
}
