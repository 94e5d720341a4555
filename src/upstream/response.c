/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/response.c - what the server answers: its head, and its body as a source that is pulled.
 *
 * Servers are not trusted: what two parsers could read differently is refused (502), never
 * repaired.  The connection goes back to the pool with the last byte that is read, before the
 * client has it all.
 */
#include "runtime/fiber.h"
#include "upstream/relay.h"

enum { CONTINUE_US = 1000000, HEAD_BYTES = 16 * 1024, FIELDS = 200, INFORMATIONAL_MAX = 32 };

static const struct h1_limits limits = {
    .head_bytes = HEAD_BYTES,
    .target_bytes = HEAD_BYTES,
    .fields = FIELDS,
};

static struct slice
unread(const struct relay *r)
{
    return slice_of(r->buffer + r->start, r->end - r->start);
}

/* More bytes behind those that are there; the server may be silent while the request is still
 * moving. */
static enum err
receive(struct relay *r, uint64_t silence_us)
{
    size_t room = buffer_bytes(r->buffer_size);
    uint64_t since_us = loop_now_us();
    size_t got = 0;
    enum err e;

    for (;;) {
        uint64_t deadline_us = relay_deadline_us(r->x, since_us - loop_now_us() + silence_us);

        e = sock_recv(&r->conn->sock, r->buffer + r->end, room - r->end, deadline_us, &got);
        if (e != ERR_TIMEOUT || r->pump.done || !r->pump.fiber || r->pump.last_us <= since_us)
            break;
        since_us = r->pump.last_us;
    }
    r->end += got;
    return e;
}

/* ------------------------------------------------------------------ head */

static bool
fail(struct failure *f, enum reason reason, enum err err, const char *detail)
{
    f->reason = reason;
    f->err = err;
    f->detail = detail;
    return false;
}

static bool
fail_waiting(struct relay *r, struct failure *f, enum err e)
{
    const struct exchange_timeouts *t = r->x->timeouts;

    if (e == ERR_TIMEOUT) {
        bool total = relay_total_is_over(r->x), own = r->response_us != t->response_us;

        f->limit = total ? &t->total_us : own ? &relay_config(r)->retries.attempt_us
                                              : &t->response_us;
        f->limit_name = total ? "timeouts.total"
                        : own ? "retries.attempt_timeout"
                              : "timeouts.response";
        return fail(f, total ? REASON_TOTAL_TIMEOUT : REASON_RESPONSE_TIMEOUT, e, NULL);
    }
    /* A reset proves nothing: it may follow on reading.  An orderly end acknowledges all that the
     * server's kernel had received. */
    if (r->end == 0 && e == ERR_END)
        f->unseen = server_conn_unseen(r->conn, r->sent_before);
    return fail(f, REASON_SERVER_RESET, e, r->end ? "in the middle of the head" : NULL);
}

/* One head, informational or final; its bytes are consumed. */
static bool
read_head(struct relay *r, struct h1_head *head, uint64_t silence_us, struct failure *f)
{
    size_t scanned = 0, used = 0;
    enum h1_fault fault = H1_OK;

    for (;;) {
        enum h1_result result = H1_MORE;
        enum err e;

        if (r->end > r->start)
            result = h1_parse_response(unread(r), &scanned, &limits, &r->x->arena,
                                       r->x->request.method, head, &used, &fault);
        if (result == H1_DONE) {
            r->start += used;
            return true;
        }
        if (result == H1_BAD)
            return fail(f, fault == H1_HEAD_TOO_LARGE || fault == H1_TOO_MANY_FIELDS
                               ? REASON_RESPONSE_HEAD_TOO_LARGE
                               : REASON_RESPONSE_MALFORMED,
                        ERR_MALFORMED, h1_fault_words(fault));
        e = receive(r, silence_us);
        if (e != OK)
            return fail_waiting(r, f, e);
    }
}

/* 1xx: told to the client, unless it is about the connection between us and the server. */
static void
inform(struct relay *r, struct h1_head *head)
{
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
    return relay_pump_start(r) || fail(f, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL);
}

static bool
read_final_head(struct relay *r, struct h1_head *head, struct failure *f)
{
    bool withheld = r->x->request.expect_continue && r->x->request.body && !r->pump.fiber;

    for (int i = 0; i < INFORMATIONAL_MAX; i++) {
        uint64_t silence_us = r->response_us;

        if (withheld && silence_us > CONTINUE_US)
            silence_us = CONTINUE_US;
        if (!read_head(r, head, silence_us, f)) {
            if (!withheld || f->err != ERR_TIMEOUT || r->end > r->start)
                return false;
            /* Not all servers know 100-continue: send the body all the same. */
            *f = (struct failure){0};
        } else if (head->status >= 200 || head->status == 101) {
            return true;
        } else {
            inform(r, head);
            if (head->status != 100)
                continue;
        }
        if (withheld && !start_withheld(r, f))
            return false;
        withheld = false;
    }
    return fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED, "too many informational responses");
}

/* ------------------------------------------------------------------ body */

/* The last byte was read: the connection is free for others. */
static void
finish(struct relay *r)
{
    const struct upstream_config *config = relay_config(r);

    r->complete = true;
    relay_note_end(r, false);
    relay_uncount(r);
    relay_leave(r->plan);
    if (!r->conn || (r->pump.fiber && !r->pump.done))
        return; /* the request is still being sent: relay_release() decides */
    if (r->keep_alive && r->start == r->end && (!r->pump.fiber || r->pump.complete) &&
        config->proxy_protocol == 0)
        server_conn_give(take(&r->conn), &config->connections);
    else
        server_conn_close(take(&r->conn));
}

static enum err
broke_off(struct relay *r, enum err e)
{
    const struct exchange_timeouts *t = r->x->timeouts;

    r->broken = e == ERR_END ? ERR_RESET : e;
    if (e != ERR_CANCELLED)
        relay_note_end(r, true);
    if (e == ERR_TIMEOUT && relay_total_is_over(r->x)) {
        exchange_fault(r->x, REASON_TOTAL_TIMEOUT, e, "while the answer was relayed");
        r->x->fault.limit = &t->total_us;
        r->x->fault.limit_name = "timeouts.total";
    } else if (e == ERR_TIMEOUT) {
        exchange_fault(r->x, REASON_RESPONSE_TIMEOUT, e, "the server stopped sending");
        r->x->fault.limit = &t->response_us;
        r->x->fault.limit_name = "timeouts.response";
    } else if (e != ERR_CANCELLED) {
        exchange_fault(r->x, REASON_RESPONSE_INCOMPLETE, e, "%s", err_sentence(e));
    }
    return r->broken;
}

/* A body that turns out to be long is read in larger strides. */
static enum err
refill(struct relay *r)
{
    r->start = r->end = 0;
    if (r->buffer_size == BUFFER_MEDIUM &&
        (r->framing != H1_LENGTH || r->left > BUFFER_MEDIUM_BYTES) &&
        r->body_bytes > BUFFER_MEDIUM_BYTES / 4) {
        char *large = buffer_take(BUFFER_LARGE);

        if (large) {
            buffer_give(BUFFER_MEDIUM, r->buffer);
            r->buffer = large;
            r->buffer_size = BUFFER_LARGE;
        }
    }
    return receive(r, r->x->timeouts->response_us);
}

static enum err
next_of_length(struct relay *r, struct slice *chunk)
{
    enum err e;

    if (r->left == 0)
        return ERR_END;
    if (r->start == r->end) {
        e = refill(r);
        if (e != OK)
            return broke_off(r, e);
    }
    *chunk = slice_first(unread(r), r->left);
    r->start += chunk->n;
    r->left -= chunk->n;
    if (r->left == 0) {
        r->body.ended = true;
        finish(r);
    }
    return OK;
}

static enum err
next_until_close(struct relay *r, struct slice *chunk)
{
    if (r->complete)
        return ERR_END;
    if (r->start == r->end) {
        enum err e = refill(r);

        if (e == ERR_END) {
            finish(r);
            return ERR_END;
        }
        if (e != OK)
            return broke_off(r, e);
    }
    *chunk = unread(r);
    r->start = r->end;
    return OK;
}

static enum err
malformed(struct relay *r, enum h1_fault fault)
{
    r->broken = ERR_MALFORMED;
    relay_note_end(r, true);
    exchange_fault(r->x, REASON_RESPONSE_MALFORMED, ERR_MALFORMED, "%s", h1_fault_words(fault));
    return r->broken;
}

static enum err
read_trailers(struct relay *r)
{
    size_t scanned = 0, used = 0;
    enum h1_fault fault;

    for (;;) {
        enum h1_result result = h1_parse_trailers(unread(r), &scanned, &limits, &r->x->arena,
                                                  &r->trailers, &used, &fault);

        if (result == H1_BAD)
            return malformed(r, fault);
        if (result == H1_DONE) {
            r->start += used;
            if (r->trailers.n)
                r->body.trailers = &r->trailers;
            finish(r);
            return ERR_END;
        }
        if (r->start > 0) {
            memmove(r->buffer, r->buffer + r->start, r->end - r->start);
            r->end -= r->start;
            r->start = 0;
        }
        if (receive(r, r->x->timeouts->response_us) != OK)
            return broke_off(r, ERR_RESET);
    }
}

/* The usual end stands right behind the chunk: then nobody needs to be asked again. */
static void
look_for_end(struct relay *r)
{
    if (slice_eq(unread(r), SLICE("\r\n0\r\n\r\n"))) {
        r->start = r->end;
        r->body.ended = true;
        finish(r);
    }
}

static enum err
next_chunked(struct relay *r, struct slice *chunk)
{
    if (r->complete)
        return ERR_END;
    for (;;) {
        enum h1_fault fault;
        enum h1_result result;
        size_t used;

        if (r->start == r->end) {
            enum err e = refill(r);

            if (e != OK)
                return broke_off(r, e);
        }
        result = h1_chunked_next(&r->chunked, unread(r), chunk, &used, &fault);
        if (result == H1_BAD)
            return malformed(r, fault);
        r->start += used;
        if (result == H1_DONE)
            return read_trailers(r);
        if (chunk->n) {
            if (r->chunked.left == 0)
                look_for_end(r);
            return OK;
        }
    }
}

static enum err
next(struct body *b, struct slice *chunk)
{
    struct relay *r = container_of(b, struct relay, body);
    enum err e;

    if (r->broken != OK)
        return r->broken;
    if (r->framing == H1_LENGTH)
        e = next_of_length(r, chunk);
    else
        e = r->framing == H1_CHUNKED ? next_chunked(r, chunk) : next_until_close(r, chunk);
    if (e == OK)
        r->body_bytes += chunk->n;
    b->ready = r->complete || (r->framing == H1_LENGTH && r->start < r->end);
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
    if (r->conn) {
        /* Complete, but the request was not when the response was: the connection is of no use. */
        server_conn_close(take(&r->conn));
    }
    if (r->buffer)
        buffer_give(r->buffer_size, take(&r->buffer));
}

/* ------------------------------------------------------------------ both */

static void
take_over_tunnel(struct relay *r)
{
    struct exchange *x = r->x;

    x->response.tunnel = &take(&r->conn)->sock;
    x->response.tunnel_close = upstream_tunnel_close;
    x->response.tunnel_early = arena_copy(&x->arena, unread(r));
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
        finish(r);
        /* A request that is still being sent keeps us alive. */
        if (!r->conn) {
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
    if (!r->buffer) {
        r->buffer = buffer_take(BUFFER_MEDIUM);
        r->buffer_size = BUFFER_MEDIUM;
        if (!r->buffer)
            return fail(f, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL);
    }
    if (!read_final_head(r, &r->head, f))
        return false;
    learn_keep_alive(r);
    if (!fields_remove_hop_by_hop(&r->head.fields))
        return fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED, h1_fault_words(H1_BAD_CONNECTION));
    if (r->head.status == 101 && !slice_is_present(r->x->request.upgrade))
        return fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED,
                    "101 to a request without Upgrade");
    r->x->times.first_byte_us = loop_now_us();
    return true;
}

void
relay_make_response(struct relay *r)
{
    struct response *response = &r->x->response;

    response->status = r->head.status;
    response->version = 10 + r->head.minor;
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
