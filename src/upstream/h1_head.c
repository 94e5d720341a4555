/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h1_head.c - the request's head as the server gets it (RFC 9112 3, RFC 9110 7.6).
 *
 * Written anew from the checked message, never copied through: what the server reads is what we
 * understood.
 */
#include "upstream/relay.h"

static void
put_field(struct text *out, struct slice name, struct slice value)
{
    text_put(out, name);
    text_literal(out, ": ");
    text_put(out, value);
    text_literal(out, "\r\n");
}

static void
put_target(struct text *out, const struct request *q)
{
    if (q->method == METHOD_CONNECT)
        text_put(out, q->target.raw);
    else if (q->forward_path)
        text_put(out, q->target.path);
    else
        text_put(out, q->target.raw_path);
    if (slice_is_present(q->target.query)) {
        text_byte(out, '?');
        text_put(out, q->target.query);
    }
}

/* What belongs to this connection. */
static void
put_connection(struct text *out, const struct request *q)
{
    if (slice_is_present(q->upgrade)) {
        text_literal(out, "Connection: Upgrade\r\nUpgrade: ");
        text_put(out, q->upgrade);
        text_literal(out, "\r\n");
    } else if (q->te_trailers) {
        text_literal(out, "Connection: TE\r\nTE: trailers\r\n");
    }
}

static void
put_framing(struct text *out, const struct request *q)
{
    if (q->body && q->body->length == BODY_LENGTH_UNKNOWN) {
        text_literal(out, "Transfer-Encoding: chunked\r\n");
    } else if (q->body || fields_has(&q->fields, FIELD_CONTENT_LENGTH)) {
        text_literal(out, "Content-Length: ");
        text_u64(out, q->body ? (uint64_t) q->body->length : 0);
        text_literal(out, "\r\n");
    }
}

struct slice
relay_via(const struct exchange *x)
{
    /* The version of the message that we received (RFC 9110 7.6.3). */
    return x->request.version == 10   ? SLICE("1.0 maitred")
           : x->request.version == 20 ? SLICE("2.0 maitred")
                                      : SLICE("1.1 maitred");
}

struct slice
relay_host(const struct relay *r)
{
    return r->server->address.any.sa_family == AF_UNIX ? SLICE("localhost") : r->server->text;
}

void
relay_write_h1_head(const struct relay *r, struct text *out)
{
    const struct request *q = &r->x->request;
    const struct fields *f = &q->fields;

    text_put(out, q->method_token);
    text_byte(out, ' ');
    put_target(out, q);
    text_literal(out, " HTTP/1.1\r\n");
    if (!fields_has(f, FIELD_HOST))
        put_field(out, SLICE("Host"), relay_host(r));
    for (uint32_t i = 0; i < f->n; i++)
        if (f->at[i].id != FIELD_CONTENT_LENGTH)
            put_field(out, f->at[i].name, f->at[i].value);
    put_framing(out, q);
    put_connection(out, q);
    put_field(out, SLICE("Via"), relay_via(r->x));
    text_literal(out, "\r\n");
}
