/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_link.h - HTTP/2 to a server: one connection that many exchanges share.  Private to
 * the room.
 *
 *     h2_link.c    the connection: bytes in and out, who may still join, its end
 *     h2_call.c    one exchange on it: a stream
 *     h2_frames.c  what nghttp2 tells of frames
 *     h2_pulse.c   whether anybody is still there
 *
 * A link has no fiber of its own: bytes are received in the loop's context, which only wakes those
 * who wait; they are sent by a writer, a fiber that exists while there is something to send and
 * runs behind all others, so that what one round says leaves in one system call.
 */
#ifndef UPSTREAM_H2_LINK_H
#define UPSTREAM_H2_LINK_H

#include "http/h1.h"
#include "runtime/loop.h"

#include <nghttp2/nghttp2.h>

struct server_conn;
struct connections_config;
struct h2_link;

/* Bytes of an answer that nobody has pulled yet; a lent buffer. */
struct h2_piece {
    struct h2_piece *next;
    size_t           start, end;
    char             bytes[];
};

/* One exchange.  Zeroed at first; belongs to a fiber, and must be ended by h2_call_end() before its
 * memory goes. */
struct h2_call {
    struct h2_link *link;    /* NULL: not begun, or nghttp2 has forgotten it */
    struct list     in_link;
    int32_t         id;
    struct arena   *arena;   /* heads and trailers live here */
    struct fiber   *reader, *sender; /* who waits */
    /* What has come: */
    struct h1_head  gathered; /* the head that is arriving */
    size_t          head_bytes;
    struct h1_head  interim; /* a 1xx, until it is taken */
    bool            has_interim;
    unsigned        interims; /* so far */
    struct h1_head  head;
    bool            has_head;
    struct h2_piece *first, *last;
    size_t          lent;    /* bytes of the chunk that was given out last */
    struct fields   trailers;
    bool            ended;   /* the answer is complete */
    /* What goes: */
    struct slice    out;
    const struct fields *out_trailers; /* behind it; NULL: none */
    bool            out_last; /* nothing follows but trailers */
    bool            deferred; /* nghttp2 waits to hear of more */
    bool            out_ended; /* our END_STREAM is on its way */
    uint64_t        moved_us; /* when bytes of it were last taken */
    uint64_t        sent_before; /* by the connection, before it */
    /* Why it failed, when closed and not ended: */
    bool            closed;
    bool            refused; /* the server has not looked at it (RFC 9113 8.7), or not got it */
    bool            too_large; /* its head */
    bool            malformed; /* what the server sent */
    const char     *why;     /* NULL: the connection broke */
};

/* ------------------------------------------------------------------ links */

/* Over a connection that was just made.  False: out of memory. */
bool h2_link_start(struct server_conn *c, const struct connections_config *config);
/* One more exchange may begin. */
bool h2_link_has_room(const struct h2_link *link);
/* No more begin; it ends with the last that is under way. */
void h2_link_leave(struct h2_link *link);
/* Somebody who was woken will look at it: it stays until then, though it may be of no use any more:
 * redeem tells. */
void h2_link_promise(struct h2_link *link);
bool h2_link_redeem(struct h2_link *link);
/* Exchanges that are on it. */
uint32_t h2_link_busy(const struct h2_link *link);

/* ------------------------------------------------------------------ calls */

/* What a call begins with: its head, and maybe the whole body, which must stay until the call's
 * end. */
struct h2_request {
    const nghttp2_nv *fields; /* pseudo-fields first */
    size_t            n;
    bool              has_body;
    bool              whole; /* `body` is all of it; else h2_call_send() is given it */
    struct slice      body;
};

/* On the connection; ERR_RESET: it is over; ERR_NO_MEMORY.  Does not wait. */
enum err h2_call_begin(struct h2_call *call, struct server_conn *c, struct arena *arena,
                       const struct h2_request *request);
/* Waits until all of the chunk has left, each step at most so long. */
enum err h2_call_send(struct h2_call *call, struct slice chunk, uint64_t progress_us);
/* The end of the request's body, with trailers or NULL, which must stay. */
enum err h2_call_send_end(struct h2_call *call, const struct fields *trailers);
/* Until something has come: OK; ERR_TIMEOUT, or why the fiber was cancelled. */
enum err h2_call_wait(struct h2_call *call, uint64_t deadline_us);
/* Bytes of the body that are here, as one run; empty when there are none.  They stay until the next
 * h2_call_take() or the end. */
struct slice h2_call_take(struct h2_call *call);
/* Something is left that h2_call_take() would give. */
bool h2_call_has_more(const struct h2_call *call);
/* Nothing has come in time.  When the whole connection has been silent since then, it may be dead:
 * nobody else joins it. */
void h2_call_suspect(struct h2_call *call, uint64_t since_us);
/* It is complete, or not wanted any more: others have its place.  A chunk that was taken stays. */
void h2_call_leave(struct h2_call *call);
/* The same, and the memory is given back.  More than once does no harm. */
void h2_call_end(struct h2_call *call);

/* ------------------------------------------------------------------ between the files */

struct h2_link {
    nghttp2_session    *session;
    struct server_conn *conn;
    uint64_t            idle_us; /* how long it stays with nobody on it */
    uint32_t            most;    /* exchanges at a time */
    uint64_t            max_requests; /* 0: no limit */
    struct list         calls;
    uint32_t            streams; /* not closed yet */
    struct io           readable;
    struct fiber       *writer;  /* NULL: nothing to send now */
    uint32_t            promised; /* to fibers that have not begun yet */
    bool                reading; /* a fiber that reads on is ready to run */
    bool                leaving, goodbye; /* no more may join; the server was told */
    bool                broken;  /* the server broke the rules for connections (RFC 9113 5.4.1) */
    bool                over;    /* nothing comes or goes any more */
    uint64_t            heard_us; /* when bytes last came */
    /* h2_pulse.c: */
    struct timer        pulse;
    uint64_t            asked_us;     /* a PING is out since; 0: none, or
                                       * something has come since */
    uint64_t            asked_before; /* bytes sent by the connection before it */
    uint64_t            again_us;     /* no other one sooner */
};

/* There is something to send, or an end to come to. */
void h2_link_wake(struct h2_link *link);
/* A stream has been closed, or will not be opened: there is room for another. */
void h2_link_freed(struct h2_link *link);
/* Nobody is there any more: everybody on it is told. */
void h2_link_lose(struct h2_link *link);
/* The server has said how many streams it takes. */
void h2_link_settings(struct h2_link *link);
/* An exchange is about to begin. */
void h2_pulse_begin(struct h2_link *link);
/* Bytes have come. */
void h2_pulse_heard(struct h2_link *link);
/* Before the link's memory goes. */
void h2_pulse_end(struct h2_link *link);
/* NULL: out of memory. */
nghttp2_session *h2_frames_session(struct h2_link *link, uint32_t window);
/* Copies what has come of the body; false: out of memory. */
bool h2_call_add(struct h2_call *call, struct slice bytes);
/* nghttp2 has forgotten it, or the connection broke. */
void h2_call_close(struct h2_call *call);
/* The server broke the rules; unless something else is known to be wrong. */
void h2_call_blame(struct h2_call *call);
/* Whoever waits looks again. */
void h2_call_wake(struct h2_call *call);

#endif
