/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/status.c - tells what upstreams, servers and caches are doing, as JSON.
 *
 *     routes:
 *       - {path: /status, client: 127.0.0.0/8, use: status}
 *
 * The addresses of servers are in it: it belongs behind a condition or an ip_filter.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/cache/stores.h"
#include "middleware/middleware.h"
#include "upstream/upstream.h"

/* Thousands of servers do not fit into an exchange's arena. */
enum { STATUS_MAX = 64 * 1024 * 1024 };

static void
tell(struct exchange *x)
{
    struct text t;

    text_init(&t, STATUS_MAX);
    text_byte(&t, '{');
    upstreams_write_status(&t);
    text_byte(&t, ',');
    cache_stores_write_status(x->routes, &t);
    text_literal(&t, "}\n");
    if (t.full) {
        text_free(&t);
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "status");
        return;
    }
    exchange_respond(x, 200, SLICE(""), SLICE(""));
    x->response.body = body_from_text(&x->arena, &t);
    exchange_fault(x, REASON_RESPOND, OK, NULL);
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE, SLICE("application/json"));
    fields_add(&x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

static void
status_handle(const struct middleware *self, struct exchange *x)
{
    (void) self;
    if (x->request.method == METHOD_GET || x->request.method == METHOD_HEAD) {
        tell(x);
        return;
    }
    exchange_refuse(x, 405, REASON_UNSUPPORTED, "status is only read");
    fields_set(&x->response.fields, FIELD_ALLOW, SLICE("GET, HEAD"));
}

static void
status_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    (void) self;
    (void) x;
    text_literal(out, "answers with the state of all upstreams");
}

const struct middleware_ops middleware_status = {
    .options =
        {
            .name = "status",
            .doc =
                "Answers with the state of all upstreams, their servers, and caches, as JSON. "
                "Addresses of servers are in it: say who may ask.",
            .ops = &middleware_status,
        },
    .answers = true,
    .handle = status_handle,
    .explain = status_explain,
};
