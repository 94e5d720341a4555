/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_wire.c - an exchange with a server as a stream of HTTP/2 (RFC 9113 8).
 */
#include "runtime/fiber.h"
#include "upstream/relay.h"

enum { OWN_FIELDS = 8 }; /* four pseudo-fields, and what else we say */

/* ------------------------------------------------------------------ the request's head */

struct list_of_fields {
    nghttp2_nv *at;
    size_t      n;
};

static void
put(struct list_of_fields *l, struct slice name, struct slice value)
{
    l->at[l->n++] = (nghttp2_nv){(uint8_t *) name.at, (uint8_t *) value.at, name.n, value.n,
                                 NGHTTP2_NV_FLAG_NONE};
}

/* What must not stay in tables that many requests share (RFC 7541 7.1). */
static bool
is_secret(enum field_id id)
{
    return id == FIELD_AUTHORIZATION || id == FIELD_PROXY_AUTHORIZATION;
}

static struct slice
path_of(struct exchange *x)
{
    const struct request *q = &x->request;
    struct slice path = q->forward_path ? q->target.path : q->target.raw_path;

    if (!slice_is_present(q->target.query))
        return path;
    return arena_printf(&x->arena, "%.*s?%.*s", SLICE_ARG(path), SLICE_ARG(q->target.query));
}

static void
put_pseudo_fields(struct list_of_fields *l, const struct relay *r)
{
    struct slice host = fields_value(&r->x->request.fields, FIELD_HOST);

    put(l, SLICE(":method"), r->x->request.method_token);
    put(l, SLICE(":scheme"), relay_config(r)->tls ? SLICE("https") : SLICE("http"));
    put(l, SLICE(":authority"), slice_is_present(host) ? host : relay_host(r));
    put(l, SLICE(":path"), path_of(r->x));
}

static void
put_length(struct list_of_fields *l, const struct relay *r)
{
    const struct request *q = &r->x->request;

    if (q->body ? q->body->length == BODY_LENGTH_UNKNOWN
                : !fields_has(&q->fields, FIELD_CONTENT_LENGTH))
        return;
    put(l, SLICE("content-length"),
        arena_printf(&r->x->arena, "%llu", q->body ? (unsigned long long) q->body->length : 0));
}

/* False: out of memory. */
static bool
make_head(const struct relay *r, struct list_of_fields *l)
{
    const struct fields *f = &r->x->request.fields;

    *l = (struct list_of_fields){
        .at = arena_calloc(&r->x->arena, f->n + OWN_FIELDS, sizeof(*l->at)),
    };
    if (!l->at)
        return false;
    put_pseudo_fields(l, r);
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->at[i].id == FIELD_HOST || f->at[i].id == FIELD_CONTENT_LENGTH)
            continue;
        put(l, f->at[i].name, f->at[i].value);
        if (is_secret(f->at[i].id))
            l->at[l->n - 1].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    }
    put_length(l, r);
    if (r->x->request.te_trailers)
        put(l, SLICE("te"), SLICE("trailers"));
    put(l, SLICE("via"), relay_via(r->x));
    return true;
}

/* ------------------------------------------------------------------ sending */

static enum err
send_head(struct relay *r)
{
    const struct relay_plan *plan = r->plan;
    struct list_of_fields fields;
    struct h2_request request = {
        .has_body = r->x->request.body && !(plan->whole && plan->first.n == 0),
        .whole = plan->whole,
        .body = plan->first,
    };
    struct server_conn *c = take(&r->conn);

    if (!make_head(r, &fields))
        return ERR_NO_MEMORY;
    request.fields = fields.at;
    request.n = fields.n;
    if (plan->whole)
        r->x->request_bytes = plan->first.n;
    c->requests++;
    c->reused = true;
    return h2_call_begin(&r->call, c, &r->x->arena, &request);
}

static enum err
send_chunk(struct relay *r, struct slice chunk)
{
    return h2_call_send(&r->call, chunk, r->x->timeouts->send_us);
}

static enum err
send_end(struct relay *r)
{
    return h2_call_send_end(&r->call, r->x->request.body->trailers);
}

/* ------------------------------------------------------------------ receiving */

/* Until something new is there; the server may be silent while the request is still moving. */
static enum err
wait_for_more(struct relay *r, uint64_t silence_us)
{
    uint64_t since_us = loop_now_us();
    enum err e;

    do
        e = h2_call_wait(&r->call, relay_deadline_us(r->x, since_us - loop_now_us() + silence_us));
    while (e == ERR_TIMEOUT && relay_has_moved(r, &since_us));
    if (e == ERR_TIMEOUT && !relay_client_is_late(r->x))
        h2_call_suspect(&r->call, since_us);
    return e;
}

static bool
fail_closed(struct relay *r, struct failure *f)
{
    const struct h2_call *call = &r->call;

    if (call->too_large)
        return relay_fail(f, REASON_RESPONSE_HEAD_TOO_LARGE, ERR_MALFORMED, call->why);
    f->unseen = call->refused;
    if (call->malformed)
        return relay_fail(f, REASON_RESPONSE_MALFORMED, ERR_MALFORMED, call->why);
    return relay_fail(f, REASON_SERVER_RESET, ERR_RESET, call->why);
}

/* Whether it has a body: when the end is here already, that is known for certain. */
static enum h1_framing
framing_of(const struct relay *r, uint64_t *length)
{
    const struct h2_call *call = &r->call;
    struct slice told = fields_value(&call->head.fields, FIELD_CONTENT_LENGTH);
    unsigned status = call->head.status;

    if (r->x->request.method == METHOD_HEAD || status == 204 || status == 304 ||
        (call->ended && !call->first && call->trailers.n == 0))
        return H1_NO_BODY;
    if (!slice_is_present(told) || !slice_to_u64(told, INT64_MAX, length))
        return H1_CHUNKED;
    return H1_LENGTH;
}

static bool
read_head(struct relay *r, uint64_t silence_us, struct failure *f)
{
    struct h2_call *call = &r->call;

    for (;;) {
        enum err e;

        if (call->has_interim) {
            call->has_interim = false;
            r->head = call->interim;
            return true;
        }
        if (call->has_head && !call->too_large) {
            r->head = call->head;
            r->head.framing = framing_of(r, &r->head.length);
            return true;
        }
        if (call->closed || !call->link)
            return fail_closed(r, f);
        e = wait_for_more(r, silence_us);
        if (e != OK)
            return relay_fail_waiting(r, f, e, false);
    }
}

static enum err
fail_body(struct relay *r)
{
    const struct h2_call *call = &r->call;

    if (call->too_large || call->malformed)
        return relay_malformed(r, call->why);
    return relay_broke_off(r, ERR_RESET);
}

/* All bytes were pulled, and no more will come. */
static void
come_to_end(struct relay *r)
{
    if (r->call.trailers.n) {
        r->trailers = r->call.trailers;
        r->body.trailers = &r->trailers;
    }
    relay_finish(r);
}

static enum err
next(struct relay *r, struct slice *chunk)
{
    struct h2_call *call = &r->call;
    enum err e = OK;

    if (r->complete)
        return ERR_END;
    for (;;) {
        *chunk = h2_call_take(call);
        if (chunk->n)
            break;
        if (call->ended) {
            come_to_end(r);
            return ERR_END;
        }
        if (call->closed)
            return fail_body(r);
        e = wait_for_more(r, r->x->timeouts->response_us);
        if (e != OK)
            return relay_broke_off(r, e);
    }
    r->body.ready = h2_call_has_more(call);
    if (call->ended && !r->body.ready) {
        r->body.ended = true;
        come_to_end(r);
    }
    return OK;
}

/* ------------------------------------------------------------------ the end */

static void
finish(struct relay *r)
{
    if (!r->pump.fiber || r->pump.done)
        h2_call_leave(&r->call);
}

static void
release(struct relay *r)
{
    h2_call_end(&r->call);
}

const struct relay_wire relay_h2 = {
    .send_head = send_head,
    .send_chunk = send_chunk,
    .send_end = send_end,
    .read_head = read_head,
    .next = next,
    .finish = finish,
    .release = release,
};
