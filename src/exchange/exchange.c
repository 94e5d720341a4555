/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/exchange.c - how an exchange is run, answered by ourselves, and noted. */
#include "exchange/exchange.h"

#include "base/check.h"
#include "exchange/error_page.h"
#include "exchange/route.h"
#include "exchange/trace.h"

enum { OWN_FIELDS_ROOM = 8, RESPONSE_FIELDS_MAX = 256 };

void
exchange_run(struct exchange *x, const struct route *route)
{
    x->route = route;
    if (!route) {
        exchange_refuse(x, 404, REASON_NO_ROUTE, NULL);
        return;
    }
    x->slots = arena_calloc(&x->arena, route->chain_length, sizeof(*x->slots));
    if (!x->slots) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, NULL);
        return;
    }
    x->chain = x->next = route->chain;
    if (x->trace && !(x->next = exchange_trace_chain(x, route->chain, route->chain_length)))
        x->next = route->chain;
    exchange_next(x);
}

const struct middleware *
exchange_at_work(const struct exchange *x)
{
    const struct middleware *first = x->trace && x->trace->chain ? x->trace->chain : x->chain;

    return x->next > first ? &x->chain[x->next - first - 1] : NULL;
}

void
exchange_drop_response(struct exchange *x)
{
    struct response *r = &x->response;

    body_close(take(&r->body));
    if (r->tunnel && r->tunnel_close)
        r->tunnel_close(take(&r->tunnel));
    *r = (struct response){0};
}

/* Out of memory for even a small text: the status has to do, and the connection is given up. */
static void
respond_bare(struct exchange *x)
{
    x->response.status = 503;
    x->fault.reason = REASON_OUT_OF_MEMORY;
    x->fault.err = ERR_NO_MEMORY;
    x->close_client = true;
}

void
exchange_respond(struct exchange *x, unsigned status, struct slice type, struct slice text)
{
    struct response *r = &x->response;

    exchange_drop_response(x);
    r->status = status;
    fields_init(&r->fields, &x->arena, OWN_FIELDS_ROOM, RESPONSE_FIELDS_MAX);
    if (text.n == 0 || status_has_no_body(status))
        return;
    r->body = body_from_slice(&x->arena, text);
    if (!r->body)
        respond_bare(x);
    else if (type.n)
        fields_add(&r->fields, FIELD_CONTENT_TYPE, type);
}

/* A fault that is noted again for the same reason keeps what is known about it. */
static void
note_reason(struct exchange *x, enum reason reason)
{
    const struct middleware *m = exchange_at_work(x);

    if (x->fault.reason != reason)
        x->fault = (struct exchange_fault){.reason = reason, .by = m ? m->ops : NULL};
}

static void
note_detail(struct exchange *x, const char *format, va_list args)
{
    struct slice detail;

    if (!format)
        return;
    detail = arena_vprintf(&x->arena, format, args);
    if (detail.n)
        x->fault.detail = detail;
}

void
exchange_fault(struct exchange *x, enum reason reason, enum err err, const char *detail, ...)
{
    va_list args;

    note_reason(x, reason);
    x->fault.err = err;
    va_start(args, detail);
    note_detail(x, detail, args);
    va_end(args);
    exchange_note(x, NULL, "fault", "%s: %s%s%.*s%s%s", reason_code(reason),
                  reason_sentence(reason), x->fault.detail.n ? "; " : "",
                  SLICE_ARG(x->fault.detail), err == OK ? "" : "; ",
                  err == OK ? "" : err_sentence(err));
}

/* When the head has left already, a page has no place: the edge breaks the response off. */
static void
answer(struct exchange *x, unsigned status)
{
    if (!x->started)
        error_page_answer(x, status);
}

void
exchange_refuse(struct exchange *x, unsigned status, enum reason reason, const char *detail, ...)
{
    va_list args;

    note_reason(x, reason);
    va_start(args, detail);
    note_detail(x, detail, args);
    va_end(args);
    exchange_note(x, NULL, "refused", "%u %s: %s%s%.*s", status, reason_code(reason),
                  reason_sentence(reason), x->fault.detail.n ? "; " : "",
                  SLICE_ARG(x->fault.detail));
    answer(x, status);
}

void
exchange_refuse_limit(struct exchange *x, unsigned status, enum reason reason, const void *field,
                      const char *option)
{
    note_reason(x, reason);
    x->fault.limit = field;
    x->fault.limit_name = option;
    exchange_note(x, field, "refused", "%u %s: %s; %s was reached", status, reason_code(reason),
                  reason_sentence(reason), option);
    answer(x, status);
}

/* 128 bits never collide by chance; they are no secret, so that the thread's own dice will do. */
static void
throw_dice(uint64_t out[2])
{
    static _Thread_local struct dice dice;
    static _Thread_local bool seeded;

    if (!seeded) {
        dice_init(&dice, random_u64());
        seeded = true;
    }
    out[0] = dice_next(&dice);
    out[1] = dice_next(&dice);
}

struct slice
exchange_request_id(struct exchange *x)
{
    enum { DIGITS = 32 };
    uint64_t bits[2];
    char *id;

    if (x->request_id.n || !(id = arena_alloc(&x->arena, DIGITS)))
        return x->request_id;
    throw_dice(bits);
    for (size_t i = 0; i < DIGITS; i++)
        id[i] = "0123456789abcdef"[bits[i / 16] >> (i % 16 * 4) & 15];
    x->request_id = slice_of(id, DIGITS);
    return x->request_id;
}
