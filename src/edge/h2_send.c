/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_send.c - the response of a stream (RFC 9113 8.1, 8.2).
 *
 * A chunk of the body is lent to the writer until it has left; the fiber waits, and with it whoever
 * makes the body.  A response that breaks off ends in RST_STREAM.
 */
#include "edge/h2.h"

enum { NV_ON_STACK = 48, NV_OURS = 4, NAME_MAX_BYTES = 32 };

/* ------------------------------------------------------------------ heads */

/* Fields for nghttp2, which copies what may go before they are sent. */
struct nv_list {
    nghttp2_nv *at;
    size_t      n;
};

/* Names of known fields in lower case (RFC 9113 8.2); of others nghttp2 makes copies that are. */
static char lower[FIELD_COUNT][NAME_MAX_BYTES];

__attribute__((constructor)) static void
fill_lower(void)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
        struct slice name = field_name(id);

        CHECK(name.n <= NAME_MAX_BYTES);
        for (size_t i = 0; i < name.n; i++)
            lower[id][i] = ascii_lower(name.at[i]);
    }
}

static void
put(struct nv_list *list, struct slice name, struct slice value, uint8_t flags)
{
    list->at[list->n++] = (nghttp2_nv){
        .name = (uint8_t *) name.at,
        .namelen = name.n,
        .value = (uint8_t *) value.at,
        .valuelen = value.n,
        .flags = flags,
    };
}

/* The name is a constant, in lower case. */
static void
add(struct nv_list *list, struct slice name, struct slice value)
{
    put(list, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

static void
add_field(struct nv_list *list, const struct field *f)
{
    if (f->id == FIELD_OTHER)
        put(list, f->name, f->value, NGHTTP2_NV_FLAG_NONE);
    else
        add(list, slice_of(lower[f->id], f->name.n), f->value);
}

/* What belongs to a connection of HTTP/1, whoever put it there (RFC 9113 8.2.2). */
static void
add_fields(struct nv_list *list, const struct fields *f, bool without_length)
{
    for (uint32_t i = 0; i < f->n; i++) {
        enum field_id id = f->at[i].id;

        if (field_is_hop_by_hop(id) || (without_length && id == FIELD_CONTENT_LENGTH))
            continue;
        add_field(list, &f->at[i]);
    }
}

static struct slice
status_text(unsigned status, char out[3])
{
    out[0] = (char) ('0' + status / 100);
    out[1] = (char) ('0' + status / 10 % 10);
    out[2] = (char) ('0' + status % 10);
    return slice_of(out, 3);
}

/* `room` entries are at `stack`; NULL when out of memory. */
static nghttp2_nv *
room_for(struct arena *arena, nghttp2_nv *stack, const struct fields *f)
{
    size_t n = NV_OURS + (f ? f->n : 0);

    return n <= NV_ON_STACK ? stack : arena_alloc(arena, n * sizeof(*stack));
}

/* The length of a body that is there is ours to say; that of one that HEAD or 304 leave out is the
 * server's. */
static void
add_length(struct nv_list *list, const struct exchange *x, bool bodiless, char digits[20])
{
    const struct body *body = x->response.body;
    bool head = x->request.method == METHOD_HEAD;

    if (bodiless && !(head && body && body->length > 0 &&
                      !fields_has(&x->response.fields, FIELD_CONTENT_LENGTH)))
        return;
    /* HTTP/2 needs none to end; a server that spoke it and said none means none (trailers-only). */
    if (body ? body->length == BODY_LENGTH_UNKNOWN : x->response.version == 20)
        return;
    add(list, SLICE("content-length"),
        slice_of(digits, text_format_u64(digits, body ? (uint64_t) body->length : 0)));
}

static bool
is_bodiless(const struct exchange *x)
{
    return status_has_no_body(x->response.status) || x->request.method == METHOD_HEAD;
}

bool
h2_send_head(struct h2_stream *s, bool with_data)
{
    const struct exchange *x = &s->serving.x;
    const struct fields *f = &x->response.fields;
    nghttp2_nv stack[NV_ON_STACK];
    struct nv_list list = {room_for(&s->serving.x.arena, stack, f), 0};
    nghttp2_data_provider data = h2_data_of(s);
    bool bodiless = is_bodiless(x);
    char status[3], digits[20];

    if (!list.at)
        return false;
    add(&list, SLICE(":status"), status_text(x->response.status, status));
    add_fields(&list, f, !bodiless || x->response.status == 204);
    if (!fields_has(f, FIELD_DATE))
        add(&list, SLICE("date"), send_date(client_edge(s->serving.conn)));
    if (slice_is_present(x->relay.upstream) && x->fault.reason == REASON_NONE)
        add(&list, SLICE("via"),
            x->response.version == 10   ? SLICE("1.0 maitred")
            : x->response.version == 20 ? SLICE("2.0 maitred")
                                        : SLICE("1.1 maitred"));
    if (!slice_is_present(s->head.protocol) || x->response.status != 200)
        add_length(&list, x, bodiless, digits);
    if (!with_data)
        s->answered = true;
    if (nghttp2_submit_response(s->conn->session, s->id, list.at, list.n,
                                with_data ? &data : NULL) != 0)
        return false;
    h2_wake_writer(s->conn);
    return true;
}

enum err
h2_inform(struct exchange *x, unsigned status, const struct fields *fields)
{
    struct h2_stream *s = h2_stream_of(serving_of(x));
    nghttp2_nv stack[NV_ON_STACK];
    struct nv_list list = {room_for(&x->arena, stack, fields), 0};
    char digits[3];

    if (h2_stream_is_lost(s))
        return ERR_RESET;
    if (!list.at || status == 101 || (status == 100 && s->continued))
        return OK; /* advice, not an answer */
    s->continued |= status == 100;
    add(&list, SLICE(":status"), status_text(status, digits));
    if (fields)
        add_fields(&list, fields, true);
    if (nghttp2_submit_headers(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NULL, list.at, list.n,
                               NULL) == 0)
        h2_wake_writer(s->conn);
    return OK;
}

/* ------------------------------------------------------------------ data */

/* Something of this stream could leave if the client let it: else it only waits for its turn among
 * others that move. */
static bool
is_stalled(const struct h2_stream *s, uint64_t since_us)
{
    nghttp2_session *session = s->conn->session;

    return s->conn->moved_us < since_us ||
           nghttp2_session_get_remote_window_size(session) <= 0 ||
           nghttp2_session_get_stream_remote_window_size(session, s->id) <= 0;
}

static bool
is_taken(const struct h2_out *out)
{
    return out->chunk.n == 0 && out->lent == 0 && (!out->last || out->ended);
}

/* Until nobody reads the chunk any more, whatever happens. */
static void
take_back(struct h2_out *out)
{
    while (out->lent)
        h2_wait_out(&out->sender);
    out->chunk = (struct slice){NULL, 0};
}

static enum err
wait_until_taken(struct h2_stream *s)
{
    struct h2_out *out = &s->out;
    uint64_t send_us = s->serving.x.timeouts->send_us;
    enum err e = OK;

    out->moved_us = loop_now_us();
    while (e == OK && !is_taken(out)) {
        uint64_t since_us = out->moved_us;

        e = h2_wait(&out->sender, since_us + send_us);
        if (e != ERR_TIMEOUT)
            continue;
        if (out->moved_us > since_us || !is_stalled(s, since_us))
            e = OK;
        if (out->moved_us == since_us)
            out->moved_us = loop_now_us();
    }
    if (e != OK)
        take_back(out);
    return e;
}

/* nghttp2 asks read_data() again. */
static enum err
offer(struct h2_stream *s)
{
    if (h2_stream_is_lost(s))
        return ERR_RESET;
    if (s->out.deferred) {
        s->out.deferred = false;
        (void) nghttp2_session_resume_data(s->conn->session, s->id);
    }
    h2_wake_writer(s->conn);
    return OK;
}

enum err
h2_send_chunk(struct h2_stream *s, struct slice chunk, bool last)
{
    enum err e;

    s->out.chunk = chunk;
    s->out.large = chunk.n > H2_COPY_BYTES;
    s->out.last = last;
    e = offer(s);
    return e == OK ? wait_until_taken(s) : e;
}

static enum err
send_trailers(struct h2_stream *s, const struct fields *trailers)
{
    nghttp2_nv stack[NV_ON_STACK];
    struct nv_list list = {room_for(&s->serving.x.arena, stack, trailers), 0};

    if (!list.at)
        return ERR_NO_MEMORY;
    if (h2_stream_is_lost(s))
        return ERR_RESET;
    add_fields(&list, trailers, true);
    s->answered = true;
    if (nghttp2_submit_trailer(s->conn->session, s->id, list.at, list.n) != 0)
        return ERR_NO_MEMORY;
    h2_wake_writer(s->conn);
    return OK;
}

enum err
h2_send_end(struct h2_stream *s, const struct fields *trailers)
{
    enum err e = OK;

    if (!s->out.ended) {
        s->out.trailers = trailers && trailers->n ? trailers : NULL;
        e = h2_send_chunk(s, (struct slice){NULL, 0}, true);
    }
    return e == OK && s->out.trailers ? send_trailers(s, s->out.trailers) : e;
}

/* ------------------------------------------------------------------ the response */

static bool
broke_off(struct exchange *x, enum err e)
{
    if (e == ERR_CANCELLED && x->fault.reason == REASON_NONE)
        exchange_fault(x, REASON_CLIENT_GONE, e, "while the answer was relayed");
    return false;
}

/* A body whose length was said ends there, though its source may not know yet. */
static bool
is_all(const struct exchange *x, const struct body *body)
{
    return body->length != BODY_LENGTH_UNKNOWN && x->response_bytes == (uint64_t) body->length;
}

/* The rest of the body, whose first chunk may be at hand. */
static bool
send_body(struct h2_stream *s, struct body *body, struct slice chunk)
{
    struct exchange *x = &s->serving.x;
    enum err e = OK;
    bool last;

    for (;;) {
        if (chunk.n == 0 && (e = body_next(body, &chunk)) != OK)
            break;
        x->response_bytes += chunk.n;
        if (body->ended && body->trailers && body->trailers->n)
            s->out.trailers = body->trailers;
        last = body->ended || is_all(x, body);
        e = h2_send_chunk(s, chunk, last);
        if (e != OK) {
            send_failed(x, e);
            return false;
        }
        x->started = true;
        chunk.n = 0;
        if (last)
            break;
    }
    if (e != OK && e != ERR_END)
        return broke_off(x, e);
    e = h2_send_end(s, body->trailers);
    if (e != OK)
        send_failed(x, e);
    return e == OK;
}

/* Head and what is ready of the body leave together. */
bool
h2_send_response(struct serving *serving)
{
    struct h2_stream *s = h2_stream_of(serving);
    struct exchange *x = &serving->x;
    struct body *body = is_bodiless(x) || (x->response.body && x->response.body->length == 0)
                            ? NULL
                            : x->response.body;
    struct slice chunk = {NULL, 0};

    if (h2_stream_is_lost(s)) {
        send_failed(x, ERR_RESET);
        return false;
    }
    if (body && body->ready) {
        enum err e = body_next(body, &chunk);

        if (e != OK && e != ERR_END)
            return broke_off(x, e);
        if (e == ERR_END && !(body->trailers && body->trailers->n))
            body = NULL; /* it was empty */
    }
    if (!h2_send_head(s, body != NULL)) {
        exchange_fault(x, REASON_OUT_OF_MEMORY, ERR_NO_MEMORY, "the head of the answer");
        return false;
    }
    x->started = body != NULL;
    return !body || send_body(s, body, chunk);
}
