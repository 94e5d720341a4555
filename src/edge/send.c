/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/send.c - the response on its way to the client (RFC 9112 6).
 *
 * A body whose next bytes are in memory leaves together with its head, in one system call; pieces
 * that lie in several places and stay there (bodies of a cache) are gathered.  A response that
 * breaks off ends visibly incomplete: short of its Content-Length, without its last
 * chunk, or by a reset.
 */
#include "base/clock.h"
#include "edge/client.h"
#include "http/date.h"

enum {
    HEAD_ON_STACK = 2048,
    HEAD_MAX = 128 * 1024,
    VECTORS = 16,         /* of one system call */
    AT_ONCE = 256 * 1024, /* bytes for which one is worth it by then */
};

enum framing { FRAME_NONE, FRAME_LENGTH, FRAME_CHUNKED, FRAME_CLOSE };

struct slice
send_date(struct edge *e)
{
    uint64_t second = loop_now_us() / 1000000;

    if (second != e->date_second || e->date[0] == '\0') {
        e->date_second = second;
        http_date_write(e->date, (int64_t) (clock_wall_us() / 1000000));
    }
    return slice_of(e->date, HTTP_DATE_LENGTH);
}

static void
put_status(struct text *out, unsigned status, struct slice reason)
{
    char start[] = "HTTP/1.1 000 ";

    start[9] = (char) ('0' + status / 100);
    start[10] = (char) ('0' + status / 10 % 10);
    start[11] = (char) ('0' + status % 10);
    if (reason.n == 0)
        reason = status_phrase(status);
    text_put(out, slice_of(start, sizeof(start) - 1));
    text_put(out, reason);
    text_literal(out, "\r\n");
}

static void
put_fields(struct text *out, const struct fields *f, bool without_length)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const struct field *field = &f->at[i];

        if (without_length && field->id == FIELD_CONTENT_LENGTH)
            continue;
        if (!text_reserve(out, h1_field_size(field)))
            return;
        out->n = (size_t) (h1_write_field(out->at + out->n, field) - out->at);
    }
}

static enum framing
choose_framing(const struct serving *s)
{
    const struct exchange *x = &s->x;

    if (status_has_no_body(x->response.status) || x->request.method == METHOD_HEAD)
        return FRAME_NONE;
    if (!x->response.body || x->response.body->length != BODY_LENGTH_UNKNOWN)
        return FRAME_LENGTH;
    return x->request.version >= 11 ? FRAME_CHUNKED : FRAME_CLOSE;
}

static void
put_framing(struct text *out, const struct exchange *x, enum framing framing)
{
    if (framing == FRAME_LENGTH) {
        text_literal(out, "Content-Length: ");
        text_u64(out, x->response.body ? (uint64_t) x->response.body->length : 0);
        text_literal(out, "\r\n");
    } else if (framing == FRAME_CHUNKED) {
        text_literal(out, "Transfer-Encoding: chunked\r\n");
    } else if (x->request.method == METHOD_HEAD &&
               !fields_has(&x->response.fields, FIELD_CONTENT_LENGTH) && x->response.body &&
               x->response.body->length > 0) {
        /* An answer of our own to HEAD says how long it would be. */
        text_literal(out, "Content-Length: ");
        text_u64(out, (uint64_t) x->response.body->length);
        text_literal(out, "\r\n");
    }
}

static void
put_head(struct text *out, struct serving *s, enum framing framing, bool keep_alive)
{
    const struct exchange *x = &s->x;
    const struct fields *f = &x->response.fields;
    bool no_length = framing != FRAME_NONE || x->response.status == 204 || x->response.status < 200;

    put_status(out, x->response.status, x->response.reason);
    put_fields(out, f, no_length);
    if (!fields_has(f, FIELD_DATE)) {
        text_literal(out, "Date: ");
        text_put(out, send_date(client_edge(s->conn)));
        text_literal(out, "\r\n");
    }
    if (slice_is_present(x->relay.upstream) && x->fault.reason == REASON_NONE)
        text_put(out, x->response.version == 10   ? SLICE("Via: 1.0 maitred\r\n")
                      : x->response.version == 20 ? SLICE("Via: 2.0 maitred\r\n")
                                                  : SLICE("Via: 1.1 maitred\r\n"));
    put_framing(out, x, framing);
    if (x->response.status == 101) {
        text_literal(out, "Connection: Upgrade\r\nUpgrade: ");
        text_put(out, x->response.upgrade);
        text_literal(out, "\r\n");
    } else if (!keep_alive) {
        text_literal(out, "Connection: close\r\n");
    } else if (x->request.version == 10) {
        text_literal(out, "Connection: keep-alive\r\n");
    }
    text_literal(out, "\r\n");
}

void
send_failed(struct exchange *x, enum err e)
{
    if (x->fault.reason == REASON_CANCELLED)
        return; /* that is why the client did not get it */
    if (e == ERR_TIMEOUT) {
        exchange_fault(x, REASON_CLIENT_STALLED, e, "while sending the answer");
        x->fault.limit = &x->timeouts->send_us;
        x->fault.limit_name = "timeouts.send";
    } else {
        exchange_fault(x, REASON_CLIENT_GONE, e, "while sending the answer");
    }
}

static bool
send_vectors(struct serving *s, struct iovec *iov, int n)
{
    enum err e = sock_send(&s->conn->sock, iov, n, s->x.timeouts->send_us);

    if (e == OK)
        return true;
    send_failed(&s->x, e);
    return false;
}

/* The end of a chunked body; false when there is no memory. */
static bool
make_end(struct exchange *x, struct iovec *iov)
{
    const struct fields *trailers = x->response.body->trailers;
    char *out, *at;

    if (!trailers || trailers->n == 0) {
        *iov = (struct iovec){(char *) "0\r\n\r\n", 5};
        return true;
    }
    out = at = arena_alloc(&x->arena, 5 + h1_fields_size(trailers));
    if (!out)
        return false;
    memcpy(at, "0\r\n", 3);
    at = h1_write_fields(at + 3, trailers);
    memcpy(at, "\r\n", 2);
    *iov = (struct iovec){out, (size_t) (at + 2 - out)};
    return true;
}

/* One chunk in its framing, behind `n` vectors that are there already; how many there are then. */
static int
frame(struct iovec *iov, int n, enum framing framing, struct slice chunk, char *header)
{
    if (chunk.n == 0)
        return n;
    if (framing == FRAME_CHUNKED)
        iov[n++] = (struct iovec){header, h1_chunk_header(header, chunk.n)};
    iov[n++] = (struct iovec){(char *) chunk.at, chunk.n};
    if (framing == FRAME_CHUNKED)
        iov[n++] = (struct iovec){(char *) "\r\n", 2};
    return n;
}

/* A short chunk behind a short head is copied there: one stretch of bytes is cheaper for the kernel
 * than two. */
static bool
join_head(struct iovec *head, size_t room, enum framing framing, struct slice chunk)
{
    if (framing != FRAME_LENGTH || chunk.n > room - head->iov_len)
        return false;
    memcpy((char *) head->iov_base + head->iov_len, chunk.at, chunk.n);
    head->iov_len += chunk.n;
    return true;
}

/* The vectors there are: the head, if it is among them, is copied; memory pages of a body that lets
 * us may be given away. */
static bool
flush(struct serving *s, struct iovec *iov, int *n, enum framing framing, struct slice head)
{
    const struct body *body = s->x.response.body;
    int count = *n, first = count && iov[0].iov_base == head.at;
    enum err e;

    *n = 0;
    if (framing != FRAME_LENGTH || !body || !body->given ||
        !sock_can_give(&s->conn->sock, iov + first, count - first))
        return send_vectors(s, iov, count);
    atomic_store(body->given, true);
    e = sock_give(&s->conn->sock, iov, count, first, s->x.timeouts->send_us);
    if (e != OK)
        send_failed(&s->x, e);
    return e == OK;
}

/* There is more to be had without waiting, and room for it: `n` vectors wait until it is there. */
static bool
may_gather(const struct body *body, const struct iovec *iov, int n, enum framing framing)
{
    size_t bytes = 0;

    if (!body->lasting || !body->ready || framing == FRAME_CHUNKED || n >= VECTORS - 2)
        return false;
    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    return bytes < AT_ONCE;
}

/* Head and what is ready of the body in one go, then the rest as it comes. */
static bool
send_all(struct serving *s, struct slice head, size_t room, enum framing framing)
{
    struct exchange *x = &s->x;
    struct body *body = framing == FRAME_NONE ? NULL : x->response.body;
    struct iovec iov[VECTORS] = {{(char *) head.at, head.n}};
    char header[20];
    int n = 1;

    while (body) {
        struct slice chunk = {NULL, 0};
        enum err e;

        /* The head does not wait for a slow body. */
        if (n && !body->ready && !flush(s, iov, &n, framing, head))
            return false;
        e = body_next(body, &chunk);
        if (e == ERR_END)
            break;
        if (e != OK) {
            if (n && e != ERR_CANCELLED)
                (void) send_vectors(s, iov, n);
            if (e == ERR_CANCELLED && x->fault.reason == REASON_NONE)
                exchange_fault(x, REASON_CLIENT_GONE, e, "while the answer was relayed");
            return false;
        }
        x->response_bytes += chunk.n;
        if (n != 1 || iov[0].iov_base != head.at || !join_head(iov, room, framing, chunk))
            n = frame(iov, n, framing, chunk, header);
        if (body->ended)
            break; /* leaves with the end */
        if (may_gather(body, iov, n, framing))
            continue;
        if (!flush(s, iov, &n, framing, head))
            return false;
        x->started = true;
    }
    if (framing == FRAME_CHUNKED && !make_end(x, &iov[n++]))
        return false;
    return n == 0 || flush(s, iov, &n, framing, head);
}

bool
send_response(struct serving *s, bool keep_alive)
{
    char stack[HEAD_ON_STACK];
    enum framing framing = choose_framing(s);
    struct text head;
    bool sent;

    if (framing == FRAME_CLOSE)
        keep_alive = false;
    if (!keep_alive)
        s->x.close_client = true;
    text_fixed(&head, stack, sizeof(stack));
    put_head(&head, s, framing, keep_alive);
    if (head.full) {
        text_init(&head, HEAD_MAX);
        put_head(&head, s, framing, keep_alive);
    }
    if (head.full && s->x.fault.reason == REASON_NONE) {
        /* Out of memory, or middleware has made a head that nobody would take. */
        text_free(&head);
        exchange_refuse(&s->x, 500, REASON_INTERNAL, "the head of the answer is too large");
        return send_response(s, false);
    }
    sent = !head.full && send_all(s, text_slice(&head), head.room, framing);
    text_free(&head);
    return sent;
}

enum err
send_informational(struct exchange *x, unsigned status, const struct fields *fields)
{
    struct h1_serving *s = serving_h1(serving_of(x));
    char stack[HEAD_ON_STACK];
    struct text head;
    struct iovec iov;

    if (x->request.version < 11 || (status == 100 && s->continued))
        return OK;
    if (status == 100)
        s->continued = true;
    text_fixed(&head, stack, sizeof(stack));
    put_status(&head, status, (struct slice){NULL, 0});
    if (fields)
        put_fields(&head, fields, true);
    text_literal(&head, "\r\n");
    if (head.full)
        return OK; /* advice, not an answer */
    iov = (struct iovec){head.at, head.n};
    return sock_send(&s->base.conn->sock, &iov, 1, x->timeouts->send_us);
}
