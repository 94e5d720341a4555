/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_frames.c - what nghttp2 tells of the frames that a server sends.
 *
 * nghttp2 checks frames, states, windows and fields (RFC 9113 4 to 8) and resets what breaks them.
 * Runs in the loop's context: nobody here waits or sends, those who wait are made ready.
 */
#include "upstream/h2_link.h"

#include "base/check.h"
#include "observe/log.h"
#include "upstream/conn.h"
#include "upstream/relay.h"

enum {
    FIRST_ROOM = 16,
    FIELD_OVERHEAD = 32,
    HEADER_TABLE = 4096,
    INTERIMS_MAX = 32,  /* 1xx of one answer */
    FIRST_STREAMS = 100 /* before a server has ever said how many (RFC 9113 6.5.2: not fewer) */
};

#define H1_US (3600ull * 1000000) /* a server that wants HTTP/1.1 is asked again after so long */

static struct h2_call *
call_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int
reset(nghttp2_session *session, struct h2_call *call, uint32_t code, const char *why)
{
    call->why = why;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->id, code);
}

/* ------------------------------------------------------------------ heads */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *link)
{
    struct h2_call *call = call_of(session, frame->hd.stream_id);

    (void) link;
    if (!call)
        return 0;
    if (call->has_head) {
        fields_init(&call->trailers, call->arena, 0, RELAY_FIELDS);
    } else {
        call->gathered = (struct h1_head){.minor = 1, .keep_alive = true, .reason = {"", 0}};
        fields_init(&call->gathered.fields, call->arena, FIRST_ROOM, RELAY_FIELDS);
    }
    call->head_bytes = 0;
    return 0;
}

static unsigned
status_of(struct slice value)
{
    unsigned status = 0;

    for (size_t i = 0; i < value.n; i++)
        status = status * 10 + (unsigned) (value.at[i] - '0'); /* nghttp2 has seen three digits */
    return status;
}

static bool
append(struct h2_call *call, struct fields *fields, struct slice name, struct slice value)
{
    enum field_id id = field_id_from(name);
    struct slice known = field_name(id);

    name = known.n ? known : arena_copy(call->arena, name);
    value = arena_copy(call->arena, value);
    return slice_is_present(name) && slice_is_present(value) &&
           fields_append(fields, name, value, id);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
          const uint8_t *value, size_t value_n, uint8_t flags, void *link)
{
    struct h2_call *call = call_of(session, frame->hd.stream_id);
    struct slice n = slice_of((const char *) name, name_n);
    struct slice v = slice_of((const char *) value, value_n);

    (void) flags, (void) link;
    if (!call || call->too_large)
        return 0;
    if (n.n && n.at[0] == ':') {
        call->gathered.status = status_of(v);
        return 0;
    }
    call->head_bytes += n.n + v.n + FIELD_OVERHEAD;
    if (call->head_bytes <= RELAY_HEAD_BYTES &&
        append(call, call->has_head ? &call->trailers : &call->gathered.fields, n, v))
        return 0;
    call->too_large = true;
    return reset(session, call, NGHTTP2_CANCEL, "the server's fields are larger than the limit");
}

/* nghttp2 would leave it out and go on. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                  size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *link)
{
    struct h2_call *call = call_of(session, frame->hd.stream_id);

    (void) name, (void) name_n, (void) value, (void) value_n, (void) flags, (void) link;
    if (call) {
        call->malformed = true;
        call->why = "a malformed field";
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* One that was not taken yet is replaced; however many there are, their memory stays until the
 * end. */
static int
on_interim(nghttp2_session *session, struct h2_call *call)
{
    call->interim = call->gathered;
    call->has_interim = true;
    if (++call->interims <= INTERIMS_MAX)
        return 0;
    call->malformed = true;
    return reset(session, call, NGHTTP2_ENHANCE_YOUR_CALM, "too many informational responses");
}

static int
on_head(nghttp2_session *session, struct h2_call *call)
{
    if (call->too_large)
        return 0;
    if (call->has_head) {
        fields_remove_late(&call->trailers); /* RFC 9110 6.5.1 */
        return 0;
    }
    if (call->gathered.status < 200)
        return on_interim(session, call);
    call->head = call->gathered;
    call->has_head = true;
    return 0;
}

/* ------------------------------------------------------------------ bodies */

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *at, size_t n,
        void *link)
{
    struct h2_call *call = call_of(session, id);

    (void) flags, (void) link;
    if (!call)
        return nghttp2_session_consume(session, id, n);
    if (h2_call_add(call, slice_of((const char *) at, n)))
        return 0;
    nghttp2_session_consume(session, id, n);
    return reset(session, call, NGHTTP2_INTERNAL_ERROR, "out of memory");
}

/* ------------------------------------------------------------------ frames */

/* For this request, or altogether; it was not carried out, and goes there over HTTP/1.1, as do
 * those that follow (RFC 9113 7). */
static void
wants_h1(const struct h2_link *link)
{
    struct server *s = link->conn->server;

    if (atomic_exchange(&s->h1_until_us, loop_now_us() + H1_US) < loop_now_us())
        log_info("server %.*s wants HTTP/1.1", SLICE_ARG(s->text));
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_link *link = arg;
    struct h2_call *call = frame->hd.stream_id ? call_of(session, frame->hd.stream_id) : NULL;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    int rv = 0;

    if (frame->hd.type != NGHTTP2_PING)
        link->again_us = 0; /* there is more to it than answers */
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        if (frame->goaway.error_code == NGHTTP2_HTTP_1_1_REQUIRED)
            wants_h1(link);
        h2_link_leave(link);
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        h2_link_settings(link);
    if (call && frame->hd.type == NGHTTP2_RST_STREAM && !call->why)
        /* the server's own word */
        call->why = nghttp2_http2_strerror(frame->rst_stream.error_code);
    if (!call || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        rv = on_head(session, call);
    call->ended = call->ended || (ended && !call->why);
    h2_call_wake(call);
    return rv;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2_call *call = call_of(session, id);
    struct h2_link *link = arg;

    if (code == NGHTTP2_HTTP_1_1_REQUIRED)
        wants_h1(link);
    if (id % 2 == 0)
        return 0; /* pushed before the server knew that we want none; nobody has counted it */
    if (call) {
        call->refused = (code == NGHTTP2_REFUSED_STREAM || code == NGHTTP2_HTTP_1_1_REQUIRED) &&
                        !call->has_head;
        if (code == NGHTTP2_PROTOCOL_ERROR)
            h2_call_blame(call); /* by us: the server's own word would be known already */
        else if (!call->why && code != NGHTTP2_NO_ERROR)
            call->why = nghttp2_http2_strerror(code);
        h2_call_close(call);
    }
    h2_link_freed(link);
    return 0;
}

/* A request that never left: GOAWAY came first.  One that was given up has been counted out by
 * h2_call_leave(). */
static int
on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    struct h2_link *link = arg;
    struct h2_call *call = NULL;

    (void) error;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST ||
        nghttp2_session_find_stream(session, frame->hd.stream_id))
        return 0; /* with a stream, on_close() follows */
    list_each (at, &link->calls)
        if (list_entry(at, struct h2_call, in_link)->id == frame->hd.stream_id)
            call = list_entry(at, struct h2_call, in_link);
    if (call) {
        call->refused = true;
        h2_call_close(call);
        h2_link_freed(link);
    }
    return 0;
}

static int
on_error(nghttp2_session *session, int error, const char *words, size_t n, void *arg)
{
    struct h2_link *link = arg;

    (void) session, (void) error;
    log_debug("server %.*s: HTTP/2: %.*s", SLICE_ARG(link->conn->server->text), (int) n, words);
    return 0;
}

/* ------------------------------------------------------------------ the session */

static nghttp2_session_callbacks *
make_callbacks(void)
{
    nghttp2_session_callbacks *c;

    if (nghttp2_session_callbacks_new(&c) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    return c;
}

/* The connection's window holds what all exchanges may have unread: a slow client stops its own
 * stream only. */
static int
submit_settings(nghttp2_session *session, const struct h2_link *link, uint32_t window)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RELAY_HEAD_BYTES},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, HEADER_TABLE},
    };
    uint64_t all = (uint64_t) window * link->most;
    int rv = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, countof(settings));

    if (rv == 0)
        rv = nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                   all > INT32_MAX ? INT32_MAX : (int32_t) all);
    return rv;
}

nghttp2_session *
h2_frames_session(struct h2_link *link, uint32_t window)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_session *session = NULL;
    nghttp2_option *option = NULL;
    uint32_t known = pool_of(link->conn->server)->streams;

    if (callbacks && nghttp2_option_new(&option) == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_peer_max_concurrent_streams(option, known ? known : FIRST_STREAMS);
        if (nghttp2_session_client_new2(&session, callbacks, link, option) == 0 &&
            submit_settings(session, link, window) != 0) {
            nghttp2_session_del(session);
            session = NULL;
        }
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}
