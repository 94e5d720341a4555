/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_session.c - what nghttp2 tells of the frames that come.
 *
 * nghttp2 checks frames, states of streams and windows (RFC 9113 4 to 6), and answers what breaks
 * them; what it does not look for, h2_gate.c has found before.  What messages must be like (8) is
 * checked once, by http/h2_head.c and h2_body.c, so nghttp2 is told to leave that alone.
 */
#include "edge/h2.h"
#include "http/h2_priority.h"
#include "observe/log.h"

enum { BOMB_FACTOR = 16 }; /* field lists so many times the limit are no mistake */

/* For callbacks: nghttp2 stops, and h2_conn.c does the rest. */
static int
calm(struct h2_conn *h, const char *option)
{
    h2_calm(h, option);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
refuse(struct h2_conn *h, uint32_t code)
{
    h2_refuse(h, code);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ------------------------------------------------------------------ frames */

static struct h2_stream *
stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void
expect_fields(struct h2_conn *h, int32_t id, struct h2_stream *s)
{
    h->head_us = loop_now_us();
    h->head_id = id;
    h->head_of = s;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct h2_conn *h = conn;
    int32_t id = frame->hd.stream_id;
    bool request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    struct h2_stream *s = request ? h2_stream_open(h, id) : stream_of(session, id);

    expect_fields(h, id, s);
    if (!request)
        return 0;
    if (s)
        return nghttp2_session_set_stream_user_data(session, id, s);
    h2_count_reset(h);
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
          const uint8_t *value, size_t value_n, uint8_t flags, void *conn)
{
    struct h2_conn *h = conn;
    struct h2_stream *s = h->head_of;
    struct slice n = slice_of((const char *) name, name_n);
    struct slice v = slice_of((const char *) value, value_n);

    (void) session, (void) flags;
    if (!s)
        return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        h2_body_trailer(s, n, v);
    else
        h2_head_add(&s->head, n, v);
    if (s->head.list_bytes > BOMB_FACTOR * s->head.limits.list_bytes)
        return calm(h, "listener.max_head");
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *at, size_t n,
        void *conn)
{
    struct h2_stream *s = stream_of(session, id);

    (void) flags, (void) conn;
    if (!s)
        return nghttp2_session_consume(session, id, n);
    if (!h2_body_add(s, slice_of((const char *) at, n)))
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

/* Among the streams of its connection (RFC 9218 10). */
static void
set_priority(struct h2_conn *h, const struct h2_stream *s)
{
    struct h2_priority p;
    nghttp2_extpri priority;

    if (!slice_is_present(s->head.priority) || !h2_priority_parse(s->head.priority, &p))
        return;
    priority = (nghttp2_extpri){.urgency = p.urgency, .inc = p.incremental};
    (void) nghttp2_session_change_extpri_stream_priority(h->session, s->id, &priority, 0);
}

/* A head that is complete, or trailers. */
static void
on_headers(struct h2_conn *h, const nghttp2_frame *frame)
{
    bool whole = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s = take(&h->head_of);

    h->head_us = 0;
    if (!s)
        return;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2_stream_start(s, whole);
        set_priority(h, s);
    } else if (whole) {
        h2_body_end(s);
    } else {
        h2_body_refuse(s);
    }
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct h2_conn *h = conn;
    struct h2_stream *s;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: on_headers(h, frame); break;
    case NGHTTP2_DATA:
        s = stream_of(session, frame->hd.stream_id);
        if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            h2_body_end(s);
        else if (frame->hd.length && frame->hd.length <= frame->data.padlen &&
                 !h2_count_control(h))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        break;
    case NGHTTP2_RST_STREAM: h2_count_reset(h); break;
    case NGHTTP2_PRIORITY_UPDATE:
        if (((const nghttp2_ext_priority_update *) frame->ext.payload)->stream_id == 0)
            return refuse(h, NGHTTP2_PROTOCOL_ERROR);
        break;
    default: break;
    }
    return 0;
}

/* The client may not hear of it before it has sent more on that stream. */
static void
note_reset(struct h2_conn *h, int32_t id)
{
    if ((uint32_t) id > h->reset_id)
        h->reset_id = (uint32_t) id;
}

static bool
is_clients_fault(uint32_t code)
{
    return code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL && code != NGHTTP2_INTERNAL_ERROR &&
           code != NGHTTP2_REFUSED_STREAM;
}

/* A stream that nghttp2 resets was spoiled by the client: its own mistakes count as its resets
 * do. */
static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct h2_conn *h = conn;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    if (s && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_stream_left(s);
    if (frame->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    note_reset(h, frame->hd.stream_id);
    if (is_clients_fault(frame->rst_stream.error_code))
        h2_count_reset(h);
    /* When it is SETTINGS that made a window too large, the connection is at fault (RFC 9113
     * 6.9.2), which nghttp2 does not tell apart. */
    if (frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR && s && !s->overflown)
        h2_refuse(h, NGHTTP2_FLOW_CONTROL_ERROR);
    return 0;
}

/* nghttp2 will reset the stream, which may be one that it never opened. */
static int
on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *conn)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void) error;
    note_reset(conn, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && s)
        s->overflown = true;
    return 0;
}

/* A head that nghttp2 finds too large, or cannot make: better no answer than half of one. */
static int
on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *conn)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void) error, (void) conn;
    if (frame->hd.type == NGHTTP2_HEADERS && s)
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *conn)
{
    struct h2_conn *h = conn;
    struct h2_stream *s = stream_of(session, id);

    (void) code;
    if (id == h->head_id)
        h->head_us = 0;
    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    h2_stream_closed(s);
    return 0;
}

static int
on_error(nghttp2_session *session, int error, const char *words, size_t n, void *conn)
{
    const struct h2_conn *h = conn;

    (void) session, (void) error;
    log_debug("client %.*s: HTTP/2: %.*s", (int) h->client->peer_text_n, h->client->peer_text,
              (int) n, words);
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
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    nghttp2_session_callbacks_set_send_data_callback(c, h2_send_data);
    return c;
}

/* Windows follow who pulls; closed streams are forgotten at once; priorities are those of RFC 9218
 * only.  The limits of nghttp2's own stay behind ours. */
static nghttp2_option *
make_options(const struct h2_options *o)
{
    nghttp2_option *option;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    nghttp2_option_set_stream_reset_rate_limit(option, 2 * o->resets.count + 1000,
                                               2 * o->resets.count + 1000);
    nghttp2_option_set_max_outbound_ack(option, (size_t) o->control_frames.count + 1000);
    nghttp2_option_set_max_continuations(option, (size_t) o->max_continuations + 1);
    return option;
}

static int
submit_settings(nghttp2_session *session, const struct listener_config *config)
{
    const struct h2_options *o = &config->http2;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t) o->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t) o->window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t) config->max_head},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int rv = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, countof(settings));

    if (rv == 0)
        rv = nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t) o->connection_window);
    return rv;
}

nghttp2_session *
h2_session_new(struct h2_conn *h)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = make_options(h2_options_of(h));
    nghttp2_session *session = NULL;

    if (callbacks && option &&
        nghttp2_session_server_new2(&session, callbacks, h, option) == 0 &&
        submit_settings(session, h->client->listener->config) != 0) {
        nghttp2_session_del(session);
        session = NULL;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}
