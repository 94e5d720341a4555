/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h1_wire.c - an exchange with a server over HTTP/1.1, on a connection of its own.
 *
 * Servers are not trusted: what two parsers could read differently is refused (502), never
 * repaired.
 */
#include "upstream/relay.h"

enum { HEAD_ON_STACK = 2048, HEAD_MAX = 64 * 1024 };

static const struct h1_limits limits = {
    .head_bytes = RELAY_HEAD_BYTES,
    .target_bytes = RELAY_HEAD_BYTES,
    .fields = RELAY_FIELDS,
};

/* ------------------------------------------------------------------ sending */

static enum err
send_vectors(struct relay *r, struct iovec *iov, int n)
{
    return sock_send(&r->conn->sock, iov, n, r->x->timeouts->send_us);
}

static enum err
send_head(struct relay *r)
{
    char stack[HEAD_ON_STACK];
    const struct relay_plan *plan = r->plan;
    struct iovec iov[2];
    struct text head;
    enum err e = ERR_NO_MEMORY;
    int n = 0;

    text_fixed(&head, stack, sizeof(stack));
    relay_write_h1_head(r, &head);
    if (head.full) {
        text_init(&head, HEAD_MAX);
        relay_write_h1_head(r, &head);
    }
    if (!head.full) {
        iov[n++] = (struct iovec){head.at, head.n};
        if (plan->whole && plan->first.n)
            iov[n++] = (struct iovec){(char *) plan->first.at, plan->first.n};
        r->sent_before = r->conn->sock.sent;
        e = send_vectors(r, iov, n);
        if (plan->whole)
            r->x->request_bytes = plan->first.n;
    }
    text_free(&head);
    return e;
}

static enum err
send_chunk(struct relay *r, struct slice chunk)
{
    char header[20];
    struct iovec iov[3];
    int n = 0;

    if (r->pump.chunked)
        iov[n++] = (struct iovec){header, h1_chunk_header(header, chunk.n)};
    iov[n++] = (struct iovec){(char *) chunk.at, chunk.n};
    if (r->pump.chunked)
        iov[n++] = (struct iovec){(char *) "\r\n", 2};
    return send_vectors(r, iov, n);
}

/* The last chunk and the trailers. */
static enum err
send_end(struct relay *r)
{
    struct fields *trailers = r->x->request.body->trailers;
    size_t room = 5 + (trailers ? h1_fields_size(trailers) : 0);
    char *out, *at;
    struct iovec iov;

    if (!r->pump.chunked)
        return OK;
    out = at = arena_alloc(&r->x->arena, room);
    if (!out)
        return ERR_NO_MEMORY;
    memcpy(at, "0\r\n", 3);
    at += 3;
    if (trailers)
        at = h1_write_fields(at, trailers);
    memcpy(at, "\r\n", 2);
    iov = (struct iovec){out, (size_t) (at + 2 - out)};
    return send_vectors(r, &iov, 1);
}

/* ------------------------------------------------------------------ receiving */

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
        if (e != ERR_TIMEOUT || !relay_has_moved(r, &since_us))
            break;
    }
    r->end += got;
    return e;
}

/* ------------------------------------------------------------------ head */

/* The head is wanted longer than the buffer, which the body is received into: for the log, say. */
static bool
keep_head(struct relay *r, size_t n)
{
    const char *from = r->buffer + r->start;
    char *to = arena_alloc(&r->x->arena, n);
    struct h1_head *head = &r->head;

    if (!to)
        return false;
    memcpy(to, from, n);
    for (uint32_t i = 0; i < head->fields.n; i++) {
        struct field *f = &head->fields.at[i];

        f->name.at = to + (f->name.at - from);
        f->value.at = to + (f->value.at - from);
    }
    head->reason.at = to + (head->reason.at - from);
    if (slice_is_present(head->upgrade))
        head->upgrade.at = to + (head->upgrade.at - from);
    return true;
}

/* One head, informational or final; its bytes are consumed. */
static bool
read_head(struct relay *r, uint64_t silence_us, struct failure *f)
{
    size_t scanned = 0, used = 0;
    enum h1_fault fault = H1_OK;

    if (!r->buffer) {
        r->buffer = buffer_take(BUFFER_MEDIUM);
        r->buffer_size = BUFFER_MEDIUM;
        if (!r->buffer)
            return relay_fail(f, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL);
    }
    for (;;) {
        enum h1_result result = H1_MORE;
        enum err e;

        if (r->end > r->start)
            result = h1_parse_response(unread(r), &scanned, &limits, &r->x->arena,
                                       r->x->request.method, &r->head, &used, &fault);
        if (result == H1_DONE) {
            if (!keep_head(r, used))
                return relay_fail(f, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL);
            r->start += used;
            return true;
        }
        if (result == H1_BAD)
            return relay_fail(f,
                              fault == H1_HEAD_TOO_LARGE || fault == H1_TOO_MANY_FIELDS
                                  ? REASON_RESPONSE_HEAD_TOO_LARGE
                                  : REASON_RESPONSE_MALFORMED,
                              ERR_MALFORMED, h1_fault_words(fault));
        e = receive(r, silence_us);
        if (e == OK)
            continue;
        /* A reset proves nothing: it may follow on reading.  An orderly end acknowledges all that
         * the server's kernel had received. */
        if (r->end == 0 && e == ERR_END)
            f->unseen = server_conn_unseen(r->conn, r->sent_before);
        return relay_fail_waiting(r, f, e, r->end > 0);
    }
}

/* ------------------------------------------------------------------ body */

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
            return relay_broke_off(r, e);
    }
    *chunk = slice_first(unread(r), r->left);
    r->start += chunk->n;
    r->left -= chunk->n;
    if (r->left == 0) {
        r->body.ended = true;
        relay_finish(r);
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
            relay_finish(r);
            return ERR_END;
        }
        if (e != OK)
            return relay_broke_off(r, e);
    }
    *chunk = unread(r);
    r->start = r->end;
    return OK;
}

static enum err
read_trailers(struct relay *r)
{
    size_t scanned = 0, used = 0;
    enum h1_fault fault;

    for (;;) {
        enum h1_result result = h1_parse_response_trailers(
            unread(r), &scanned, &limits, &r->x->arena, &r->trailers, &used, &fault);

        if (result == H1_BAD)
            return relay_malformed(r, h1_fault_words(fault));
        if (result == H1_DONE) {
            r->start += used;
            if (r->trailers.n)
                r->body.trailers = &r->trailers;
            relay_finish(r);
            return ERR_END;
        }
        if (r->start > 0) {
            memmove(r->buffer, r->buffer + r->start, r->end - r->start);
            r->end -= r->start;
            r->start = 0;
        }
        if (receive(r, r->x->timeouts->response_us) != OK)
            return relay_broke_off(r, ERR_RESET);
    }
}

/* The usual end stands right behind the chunk: then nobody needs to be asked again. */
static void
look_for_end(struct relay *r)
{
    if (slice_eq(unread(r), SLICE("\r\n0\r\n\r\n"))) {
        r->start = r->end;
        r->body.ended = true;
        relay_finish(r);
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
                return relay_broke_off(r, e);
        }
        result = h1_chunked_next(&r->chunked, unread(r), chunk, &used, &fault);
        if (result == H1_BAD)
            return relay_malformed(r, h1_fault_words(fault));
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
next(struct relay *r, struct slice *chunk)
{
    enum err e;

    if (r->framing == H1_LENGTH)
        e = next_of_length(r, chunk);
    else
        e = r->framing == H1_CHUNKED ? next_chunked(r, chunk) : next_until_close(r, chunk);
    r->body.ready = r->framing == H1_LENGTH && r->start < r->end;
    return e;
}

/* ------------------------------------------------------------------ the connection */

static void
finish(struct relay *r)
{
    const struct upstream_config *config = relay_config(r);

    if (!r->conn || (r->pump.fiber && !r->pump.done))
        return; /* the request is still being sent: release() decides */
    if (r->keep_alive && r->start == r->end && (!r->pump.fiber || r->pump.complete) &&
        config->proxy_protocol == 0)
        server_conn_give(take(&r->conn), &config->connections);
    else
        server_conn_close(take(&r->conn));
}

static void
release(struct relay *r)
{
    if (r->conn)
        server_conn_close(take(&r->conn));
    if (r->buffer)
        buffer_give(r->buffer_size, take(&r->buffer));
    r->start = r->end = 0;
}

const struct relay_wire relay_h1 = {
    .send_head = send_head,
    .send_chunk = send_chunk,
    .send_end = send_end,
    .read_head = read_head,
    .next = next,
    .finish = finish,
    .release = release,
};
