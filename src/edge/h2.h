/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2.h - HTTP/2 to clients.  Private to the room.
 *
 *     h2_conn.c      a connection: bytes in, timers, its end
 *     h2_gate.c      every frame before it is taken in: limits against floods
 *     h2_session.c   what nghttp2 tells of frames
 *     h2_write.c     bytes out: one batch a round, whoever has something to say
 *     h2_stream.c    a stream is an exchange on a fiber of its own
 *     h2_body.c      the request's body as a source
 *     h2_send.c      the response
 *     h2_connect.c   WebSocket over a stream (RFC 8441)
 *     h2_wait.c      how a fiber waits for another
 *
 * A connection has no fiber of its own: bytes are received and fed to nghttp2 in the loop's
 * context, and what that leads to is only made ready there (a fiber is started or woken).  So
 * nothing that runs inside a callback of nghttp2 calls it in turn, but to submit a frame.  nghttp2
 * has every frame and table; no byte leaves but by h2_write.c.
 */
#ifndef EDGE_H2_H
#define EDGE_H2_H

#include "edge/client.h"
#include "edge/h2_rate.h"
#include "http/h2_head.h"
#include "http/h2_walk.h"

#include <nghttp2/nghttp2.h>

struct h2_batch;

struct h2_conn {
    nghttp2_session    *session;
    struct client_conn *client;
    struct list         streams; /* all that have memory */
    uint32_t            running; /* of them, those with a fiber */
    struct fiber       *writer;  /* NULL: nothing to send now */
    struct h2_batch    *batch;   /* that the writer is filling */
    bool                reading; /* a fiber that reads on is ready to run */
    bool                leaving; /* the client was told to go elsewhere */
    bool                last_word; /* ... and that no more requests are taken */
    bool                stopped; /* nothing more is received; what is to be sent still is */
    bool                over;    /* nothing more is sent, either */
    struct h2_rate      resets, control;
    bool                calm_resets; /* there were too many */
    struct h2_walk      walk;        /* of the bytes that come */
    uint32_t            last_id;     /* the client's latest stream */
    uint64_t            opened;      /* bit n: so was the n-th odd number before it */
    uint32_t            reset_id;    /* the latest stream that we reset */
    uint64_t            active_us; /* when bytes last came */
    uint64_t            moved_us;  /* when bytes last left */
    uint64_t            leave_us;  /* when to say the last word */
    uint64_t            head_us;   /* when the head that is arriving began; 0: none is */
    int32_t             head_id;    /* its stream */
    struct h2_stream   *head_of;    /* the same; NULL: not taken */
    size_t              head_bytes; /* of it, compressed */
    int64_t             continuations; /* of it */
};

/* Bytes of a request's body that nobody has pulled yet. */
struct h2_block {
    struct h2_block *next;
    unsigned         size; /* of the lent buffer that this is */
    size_t           start, end;
    char             bytes[];
};

struct h2_body {
    struct body       base;
    struct h2_block  *first, *last;
    uint64_t          received; /* bytes, in all */
    size_t            lent;     /* bytes of the chunk that was given out last */
    bool              complete; /* the client has sent its end */
    bool              closed;   /* nobody will pull any more */
    enum err          broken;
    struct fiber     *reader;   /* waits for more */
    struct fields     trailers;
};

#define H2_COPY_BYTES 4096u /* up to here a copy is cheaper than one more piece */

/* What is on its way to the client.  Belongs to the fiber, but for what the writer takes. */
struct h2_out {
    struct slice         chunk;    /* bytes that nghttp2 may send */
    const struct fields *trailers; /* follow the last chunk; NULL: none */
    bool                 large;    /* the chunk was, when it came: when it has gone, the batch
                                    * leaves, so that the next one is here before others' turn */
    bool                 last;     /* nothing follows the chunk but trailers */
    bool                 deferred; /* nghttp2 waits to hear of the next chunk */
    bool                 ended;    /* the end of the body has gone to nghttp2 */
    unsigned             lent;     /* pieces of the chunk that a system call reads from */
    uint64_t             moved_us; /* when bytes of it were last taken */
    struct fiber        *sender;   /* waits for the writer */
};

/* One request.  Lies in a lent buffer, whose rest is the exchange's arena. */
struct h2_stream {
    struct serving  serving;
    struct h2_conn *conn;
    struct list     link; /* in conn.streams */
    int32_t         id;
    struct fiber   *fiber; /* NULL: not started, or ended */
    bool            started;
    bool            closed;    /* nghttp2 has forgotten it */
    bool            answered;  /* END_STREAM was handed to nghttp2 */
    bool            left;      /* ... and is on its way */
    bool            unread;    /* nobody needs what the client still sends */
    bool            continued; /* 100 was sent */
    bool            whole;     /* the head had END_STREAM */
    bool            overflown; /* WINDOW_UPDATE has made its window too large */
    struct h2_head  head;
    struct h2_body  body;
    struct h2_out   out;
};

/* h2_conn.c */
const struct h2_options *h2_options_of(const struct h2_conn *h);
/* The connection is broken: everybody on it is cancelled. */
void h2_lost(struct h2_conn *h);
/* Nothing more is received, all requests are given up; what is to be sent still is. */
void h2_stop(struct h2_conn *h);
/* The client shall go elsewhere with its next request. */
void h2_leave(struct h2_conn *h);
/* There was no memory for a fiber: tries again soon. */
void h2_try_later(struct h2_conn *h);
/* On the writer's fiber, which has nothing to send: shall the connection end?  Then it is gone. */
void h2_settle(struct h2_conn *h);

/* h2_gate.c */
/* The verdict on a frame may hang on the frames before it: nghttp2 must have had those. */
bool h2_gate_asks(const struct h2_conn *h, const struct h2_frame *frame);
/* May nghttp2 have it?  If not, the client has been told why (GOAWAY). */
bool h2_gate_admit(struct h2_conn *h, const struct h2_frame *frame);
/* A connection error (RFC 9113 5.4.1). */
void h2_refuse(struct h2_conn *h, uint32_t code);
/* The client overdoes it: says so (ENHANCE_YOUR_CALM) and stops.  option: what it ran into. */
void h2_calm(struct h2_conn *h, const char *option);
/* A request was spoiled by the client, or given up. */
void h2_count_reset(struct h2_conn *h);
/* A frame that carries nothing; false: one too many. */
bool h2_count_control(struct h2_conn *h);

/* h2_session.c */
/* NULL: out of memory. */
nghttp2_session *h2_session_new(struct h2_conn *h);

/* h2_write.c */
/* There is something to send, or an end to come to. */
void h2_wake_writer(struct h2_conn *h);
/* The source of a response's DATA frames. */
nghttp2_data_provider h2_data_of(struct h2_stream *s);
int h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                 nghttp2_data_source *source, void *conn);

/* h2_stream.c */
/* A request's fields begin to arrive; NULL when it cannot be taken. */
struct h2_stream *h2_stream_open(struct h2_conn *h, int32_t id);
/* They are all here: the exchange begins. */
void h2_stream_start(struct h2_stream *s, bool whole);
/* nghttp2 has closed it: ended well when both sides have sent END_STREAM. */
void h2_stream_closed(struct h2_stream *s);
void h2_stream_cancel(struct h2_stream *s);
/* END_STREAM has left. */
void h2_stream_left(struct h2_stream *s);
/* RST_STREAM, unless it is over already. */
void h2_stream_reset(struct h2_stream *s, uint32_t code);
void h2_stream_free(struct h2_stream *s);

static inline struct h2_stream *
h2_stream_of(struct serving *s)
{
    return container_of(s, struct h2_stream, serving);
}

/* Whatever is sent on it would never leave. */
static inline bool
h2_stream_is_lost(const struct h2_stream *s)
{
    return s->closed || s->conn->stopped || s->conn->over;
}

/* h2_body.c */
bool h2_body_take(struct serving *s);
/* The body is there, though the request has none: bytes of a tunnel. */
void h2_body_open(struct h2_stream *s);
/* A field of the trailer section; resets the stream when it is malformed. */
void h2_body_trailer(struct h2_stream *s, struct slice name, struct slice value);
/* Copies; false when out of memory.  Resets the stream when it is more than was announced. */
bool h2_body_add(struct h2_stream *s, struct slice bytes);
/* Resets the stream when it was less. */
void h2_body_end(struct h2_stream *s);
/* What came is malformed (RFC 9113 8.1.1). */
void h2_body_refuse(struct h2_stream *s);
void h2_body_break(struct h2_stream *s, enum err why);
/* More than once does no harm. */
void h2_body_close(struct h2_stream *s);

/* h2_send.c */
enum err h2_inform(struct exchange *x, unsigned status, const struct fields *fields);
bool h2_send_response(struct serving *s);
/* Only the head; with_data: more follows. */
bool h2_send_head(struct h2_stream *s, bool with_data);
/* Gives a chunk to the writer and waits until it has left; it is the caller's again then. */
enum err h2_send_chunk(struct h2_stream *s, struct slice chunk, bool last);
/* The end, with trailers or NULL. */
enum err h2_send_end(struct h2_stream *s, const struct fields *trailers);

/* h2_connect.c */
/* Makes the upgrade of HTTP/1 that a server understands. */
bool h2_connect_take(struct h2_stream *s);
enum serving_outcome h2_connect_start(struct serving *s);

/* h2_wait.c */
/* Until h2_wake() of the same place: OK; else ERR_TIMEOUT or why the fiber was cancelled.  May
 * return OK early: look at what you wait for. */
enum err h2_wait(struct fiber **place, uint64_t deadline_us);
/* The same for what cannot be cancelled. */
void h2_wait_out(struct fiber **place);
/* Who waits there runs soon.  In any context. */
void h2_wake(struct fiber **place);

#endif
