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
        p->server_err = r->wire->send_chunk(r, chunk);
        p->last_us = loop_now_us();
        if (p->server_err != OK)
            return;
        e = body_next(x->request.body, &chunk);
        p->last_us = loop_now_us();
    }
    if (e != ERR_END) {
        p->client_err = e;
        return;
    }
    p->server_err = r->wire->send_end(r);
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
