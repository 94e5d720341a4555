/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_gate.c - every frame of a client is looked at here before nghttp2 sees it.
 *
 * Found here is what nghttp2 does not look for: what a client does too much of, though within the
 * protocol (frames that carry nothing, heads without end); CONTINUATION that is too long; and
 * frames on streams that are over, which nghttp2 forgets and then ignores.  Those are an error
 * unless we have reset the stream: then the client may not have known yet (RFC 9113 5.1), and no
 * time tells when it does.
 */
#include "edge/h2.h"
#include "observe/log.h"

enum {
    CREDIT_REQUEST = 8,    /* frames without content that one request may bring along */
    FRAME_BYTES = 1 << 14, /* SETTINGS_MAX_FRAME_SIZE: we leave it at its first value */
};

/* ------------------------------------------------------------------ verdicts */

void
h2_calm(struct h2_conn *h, const char *option)
{
    if (h->last_word)
        return;
    h->leaving = h->last_word = true;
    log_warning("client %.*s overdoes it: HTTP/2 connection ended, limit %s",
                (int) h->client->peer_text_n, h->client->peer_text, option);
    (void) nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                 nghttp2_session_get_last_proc_stream_id(h->session),
                                 NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *) option,
                                 strlen(option));
}

void
h2_refuse(struct h2_conn *h, uint32_t code)
{
    if (!h->last_word)
        (void) nghttp2_session_terminate_session(h->session, code);
    h->leaving = h->last_word = true;
}

/* The client has broken the protocol, or overdone it: false, for h2_gate_admit(). */
static bool
calm(struct h2_conn *h, const char *option)
{
    h2_calm(h, option);
    return false;
}

static bool
refuse(struct h2_conn *h, uint32_t code)
{
    h2_refuse(h, code);
    return false;
}

/* ------------------------------------------------------------------ too much */

void
h2_count_reset(struct h2_conn *h)
{
    if (!h2_rate_admit(&h->resets, &h2_options_of(h)->resets, loop_now_us()))
        h->calm_resets = true;
}

bool
h2_count_control(struct h2_conn *h)
{
    if (h2_rate_admit(&h->control, &h2_options_of(h)->control_frames, loop_now_us()))
        return true;
    return calm(h, "listener.http2.control_frames");
}

/* A piece of a head: how many, and how much? */
static bool
count_head(struct h2_conn *h, const struct h2_frame *frame)
{
    const struct listener_config *config = h->client->listener->config;

    if (frame->type == NGHTTP2_HEADERS) {
        h->continuations = 0;
        h->head_bytes = 0;
    } else if (++h->continuations > config->http2.max_continuations) {
        return calm(h, "listener.http2.max_continuations");
    }
    h->head_bytes += frame->length;
    return h->head_bytes <= 2 * config->max_head || calm(h, "listener.max_head");
}

/* ------------------------------------------------------------------ streams that are over */

static bool
is_new(const struct h2_conn *h, uint32_t id)
{
    return id > h->last_id && id % 2 == 1;
}

static void
note_stream(struct h2_conn *h, uint32_t id)
{
    uint32_t skipped = (id - h->last_id + 1) / 2;

    h->opened = (skipped < 64 ? h->opened << skipped : 0) | 1;
    h->last_id = id;
    h2_rate_credit(&h->control, &h2_options_of(h)->control_frames, CREDIT_REQUEST);
}

/* Streams that the client has left out are closed (RFC 9113 5.1.1); we remember the last ones. */
static bool
was_left_out(const struct h2_conn *h, uint32_t id)
{
    uint32_t back = (h->last_id - id) / 2;

    return back < 64 && !(h->opened >> back & 1);
}

bool
h2_gate_asks(const struct h2_conn *h, const struct h2_frame *frame)
{
    return (frame->type == NGHTTP2_DATA || frame->type == NGHTTP2_HEADERS) &&
           frame->stream % 2 == 1 && frame->stream <= h->last_id && !h->last_word;
}

static bool
admit_late(struct h2_conn *h, const struct h2_frame *frame)
{
    if (nghttp2_session_find_stream(h->session, (int32_t) frame->stream))
        return true;
    if (frame->type == NGHTTP2_HEADERS && was_left_out(h, frame->stream))
        return refuse(h, NGHTTP2_PROTOCOL_ERROR);
    if (frame->stream > h->reset_id)
        return refuse(h, NGHTTP2_STREAM_CLOSED);
    return h2_count_control(h);
}

/* ------------------------------------------------------------------ the gate */

bool
h2_gate_admit(struct h2_conn *h, const struct h2_frame *frame)
{
    if (frame->length > FRAME_BYTES)
        return refuse(h, NGHTTP2_FRAME_SIZE_ERROR);
    if (h2_gate_asks(h, frame) && !admit_late(h, frame))
        return false;
    switch (frame->type) {
    case NGHTTP2_HEADERS:
        if (is_new(h, frame->stream))
            note_stream(h, frame->stream);
        return count_head(h, frame);
    case NGHTTP2_CONTINUATION: return count_head(h, frame);
    case NGHTTP2_DATA:
        return frame->length || frame->flags & NGHTTP2_FLAG_END_STREAM || h2_count_control(h);
    case NGHTTP2_RST_STREAM: return true; /* counted when nghttp2 has found it good */
    case NGHTTP2_PRIORITY:
        if (frame->stream == 0)
            return refuse(h, NGHTTP2_PROTOCOL_ERROR);
        return h2_count_control(h);
    default: return h2_count_control(h);
    }
}
