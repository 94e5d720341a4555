/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_stream.c - a stream is an exchange on a fiber of its own.
 *
 * Its memory is one lent buffer: what we know of it in front, the exchange's arena behind.  It is
 * there from the first field until both nghttp2 has closed the stream and the fiber has ended; a
 * stream that was reset counts as long as its fiber runs, so that a client cannot start more work
 * than max_streams by giving up what it has started (CVE-2023-44487).
 */
#include "edge/h2.h"

static enum serving_outcome finish(struct serving *s);

static const struct serving_ops h2_ops = {
    .exchange = {.inform = h2_inform, .client_user = serving_client_user},
    .take_body = h2_body_take,
    .send = h2_send_response,
    .upgrade = h2_connect_start,
    .finish = finish,
};

/* ------------------------------------------------------------------ its memory */

struct h2_stream *
h2_stream_open(struct h2_conn *h, int32_t id)
{
    enum { HEAD = (sizeof(struct h2_stream) + 63) & ~(size_t) 63 };
    const struct listener_config *config = h->client->listener->config;
    struct h2_limits limits = {config->max_head, config->max_target, (size_t) config->max_fields};
    struct h2_stream *s;

    if (h->stopped || h->running >= (uint64_t) config->http2.max_streams)
        return NULL;
    s = buffer_take(BUFFER_SMALL);
    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    s->conn = h;
    s->id = id;
    list_push(&h->streams, &s->link);
    serving_begin(&s->serving, &h2_ops, h->client, (char *) s + HEAD, BUFFER_SMALL_BYTES - HEAD);
    h2_head_init(&s->head, &limits, &s->serving.x.arena);
    return s;
}

void
h2_stream_free(struct h2_stream *s)
{
    list_remove(&s->link);
    if (s->conn->head_of == s)
        s->conn->head_of = NULL;
    if (!s->started)
        serving_end(&s->serving);
    h2_body_close(s);
    buffer_give(BUFFER_SMALL, s);
}

void
h2_stream_reset(struct h2_stream *s, uint32_t code)
{
    if (h2_stream_is_lost(s))
        return;
    (void) nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, code);
    h2_wake_writer(s->conn);
}

/* Who has handed over everything is through in a moment, and ends as if nothing had happened. */
void
h2_stream_cancel(struct h2_stream *s)
{
    if (s->fiber && !(s->answered && s->out.chunk.n == 0))
        fiber_cancel(s->fiber, ERR_CANCELLED);
    else
        h2_body_break(s, ERR_RESET);
}

void
h2_stream_closed(struct h2_stream *s)
{
    s->closed = true;
    if (s->fiber)
        h2_stream_cancel(s);
    else
        h2_stream_free(s);
}

/* ------------------------------------------------------------------ the exchange */

static enum reason
reason_of(enum h2_fault fault)
{
    switch (h2_fault_status(fault)) {
    case 414: return REASON_TARGET_TOO_LONG;
    case 431: return REASON_HEAD_TOO_LARGE;
    case 501: return REASON_UNSUPPORTED;
    default: return REASON_OUT_OF_MEMORY;
    }
}

static void
refuse(struct h2_stream *s, enum h2_fault fault)
{
    const struct listener_config *config = s->conn->client->listener->config;
    struct exchange *x = &s->serving.x;

    x->times.started_us = loop_now_us();
    exchange_refuse(x, h2_fault_status(fault), reason_of(fault), "%s", h2_fault_words(fault));
    if (fault == H2_TARGET_TOO_LONG) {
        x->fault.limit = &config->max_target;
        x->fault.limit_name = "listener.max_target";
    } else if (fault == H2_TOO_MANY_FIELDS) {
        x->fault.limit = &config->max_fields;
        x->fault.limit_name = "listener.max_fields";
    } else if (fault == H2_HEAD_TOO_LARGE) {
        x->fault.limit = &config->max_head;
        x->fault.limit_name = "listener.max_head";
    }
}

static void
take_head(struct h2_stream *s)
{
    struct request *q = &s->serving.x.request;

    q->method = s->head.method;
    q->method_token = s->head.method_token;
    q->version = 20;
    q->target.raw = s->head.method == METHOD_CONNECT ? s->head.authority : s->head.path;
    q->authority = s->head.authority;
    q->fields = s->head.fields;
    q->expect_continue = !s->whole && fields_has(&q->fields, FIELD_EXPECT) &&
                         fields_list_has(&q->fields, FIELD_EXPECT, SLICE("100-continue"));
}

/* A client that still sends what nobody needs any more is told so (RFC 9113 8.1); behind the
 * answer, which nghttp2 would leave out of a stream that is to be reset. */
static void
stop_sender(struct h2_stream *s)
{
    if (s->unread && s->left && !s->body.complete)
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

void
h2_stream_left(struct h2_stream *s)
{
    s->left = true;
    stop_sender(s);
}

static enum serving_outcome
finish(struct serving *serving)
{
    struct h2_stream *s = h2_stream_of(serving);

    s->unread = !s->whole;
    stop_sender(s);
    return SERVING_NEXT;
}

static void
ended(struct h2_stream *s)
{
    struct h2_conn *h = s->conn;

    s->fiber = NULL;
    h->running--;
    if (s->closed)
        h2_stream_free(s);
    if (h->stopped || h->last_word)
        h2_wake_writer(h);
}

static void
run(void *stream)
{
    struct h2_stream *s = stream;

    take_head(s);
    if (s->head.fault != H2_OK)
        refuse(s, s->head.fault);
    else if (!slice_is_present(s->head.protocol) || h2_connect_take(s))
        serving_run(&s->serving);
    if (serving_answer(&s->serving) == SERVING_ABORT)
        h2_stream_reset(s, s->serving.x.fault.reason == REASON_CLIENT_STALLED
                               ? NGHTTP2_CANCEL
                               : NGHTTP2_INTERNAL_ERROR);
    serving_log(&s->serving);
    serving_end(&s->serving);
    h2_body_close(s);
    ended(s);
}

void
h2_stream_start(struct h2_stream *s, bool whole)
{
    struct h2_conn *h = s->conn;
    uint64_t most = (uint64_t) h->client->listener->config->requests;
    enum h2_fault fault = h2_head_end(&s->head, whole);

    s->whole = whole;
    if (fault != H2_OK && h2_fault_status(fault) == 0) {
        h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (++h->client->requests == most)
        h2_leave(h);
    s->fiber = fiber_start("h2 stream", run, s);
    if (!s->fiber) {
        h2_stream_reset(s, NGHTTP2_REFUSED_STREAM);
        return;
    }
    s->started = true;
    h->running++;
}
