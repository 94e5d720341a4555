/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/request_pump.c - the request's body on a fiber of its own.
 *
 * A server may answer before it has read the request, and both may last for hours: so the body is
 * pumped beside the fiber that waits for the response.  Bodies that arrived whole with the head
 * never get here.
 */
#include "runtime/fiber.h"
#include "upstream/relay.h"

static enum err
send_chunk(struct pump *p, const struct exchange *x, struct slice chunk)
{
    char header[20];
    struct iovec iov[3];
    int n = 0;
    enum err e;

    if (p->chunked)
        iov[n++] = (struct iovec){header, h1_chunk_header(header, chunk.n)};
    iov[n++] = (struct iovec){(char *) chunk.at, chunk.n};
    if (p->chunked)
        iov[n++] = (struct iovec){(char *) "\r\n", 2};
    for (int i = 0; i < n; i++)
        p->conn->sent_bytes += iov[i].iov_len;
    e = sock_send(&p->conn->sock, iov, n, x->timeouts->send_us);
    p->last_us = loop_now_us();
    return e;
}

/* The last chunk and the trailers. */
static enum err
send_end(struct pump *p, struct exchange *x)
{
    struct fields *trailers = x->request.body->trailers;
    size_t room = 5 + (trailers ? h1_fields_size(trailers) : 0);
    char *out = arena_alloc(&x->arena, room);
    struct iovec iov;
    char *at = out;

    if (!p->chunked)
        return OK;
    if (!out)
        return ERR_NO_MEMORY;
    memcpy(at, "0\r\n", 3);
    at += 3;
    if (trailers)
        at = h1_write_fields(at, trailers);
    memcpy(at, "\r\n", 2);
    iov = (struct iovec){out, (size_t) (at + 2 - out)};
    p->conn->sent_bytes += iov.iov_len;
    return sock_send(&p->conn->sock, &iov, 1, x->timeouts->send_us);
}

static void
pump_body(struct relay *r)
{
    struct pump *p = &r->pump;
    struct exchange *x = r->x;
    struct slice chunk = r->plan->first;
    enum err e = OK;

    if (chunk.n == 0)
        e = body_next(x->request.body, &chunk);
    while (e == OK) {
        x->request_bytes += chunk.n;
        p->server_err = send_chunk(p, x, chunk);
        if (p->server_err != OK)
            return;
        e = body_next(x->request.body, &chunk);
        p->last_us = loop_now_us();
    }
    if (e != ERR_END) {
        p->client_err = e;
        return;
    }
    p->server_err = send_end(p, x);
    p->complete = p->server_err == OK;
    x->times.sent_us = loop_now_us();
}

static void
run(void *arg)
{
    struct relay *r = arg;
    struct pump *p = &r->pump;

    pump_body(r);
    p->done = true;
    if (p->waiter)
        fiber_resume(p->waiter);
    else if ((p->client_err != OK && p->client_err != ERR_CANCELLED) ||
             p->server_err == ERR_TIMEOUT)
        /* The request cannot be completed: no sense in waiting for its answer. */
        fiber_cancel(r->main, ERR_CANCELLED);
}

bool
relay_pump_start(struct relay *r)
{
    r->pump.chunked = r->x->request.body->length == BODY_LENGTH_UNKNOWN;
    r->pump.conn = r->conn;
    r->pump.last_us = loop_now_us();
    r->main = fiber_self();
    r->pump.fiber = fiber_start("pump", run, r);
    return r->pump.fiber != NULL;
}

void
relay_pump_stop(struct relay *r)
{
    struct pump *p = &r->pump;

    if (!p->fiber)
        return;
    if (!p->done) {
        p->waiter = fiber_self();
        fiber_cancel(p->fiber, ERR_CANCELLED);
        while (!p->done)
            fiber_suspend();
    }
    p->fiber = NULL;
}
