/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/h2_write.c - bytes to the client.
 *
 * Whoever has something to send submits it to nghttp2 and wakes the writer, a fiber that exists
 * only while there is something to send.  It runs when the loop has looked at everything that was
 * ready, so that the answers of one round leave in one system call.
 *
 * Frames are put into a lent buffer; large pieces of bodies are not copied, the system call reads
 * them where they are, and the fiber whose they are waits until then.
 */
#include "edge/h2.h"

#include <stdlib.h>

enum {
    PIECES = 64,
    FRAME_HEAD_BYTES = 9,
    FRAME_ROOM = 20 * 1024,        /* no frame of ours but DATA is larger */
    BATCH_BYTES = 256 * 1024,      /* so long the most urgent stream may have to wait */
};

/* Bytes for one system call. */
struct h2_batch {
    char             *buffer; /* lent, BUFFER_MEDIUM */
    size_t            used;
    size_t            bytes; /* in all */
    int               pieces, lenders;
    bool              full;  /* first this, then what is more urgent meanwhile */
    struct iovec      iov[PIECES];
    struct h2_stream *lent_by[PIECES]; /* whose chunks are read from */
};

/* ------------------------------------------------------------------ filling */

static bool
has_room(const struct h2_batch *b)
{
    return !b->full && b->pieces <= PIECES - 3 && b->bytes < BATCH_BYTES &&
           b->used + FRAME_ROOM <= BUFFER_MEDIUM_BYTES;
}

static void
put(struct h2_batch *b, const void *at, size_t n)
{
    struct iovec *last = b->pieces ? &b->iov[b->pieces - 1] : NULL;
    char *to = b->buffer + b->used;

    CHECK(b->used + n <= BUFFER_MEDIUM_BYTES);
    memcpy(to, at, n);
    b->used += n;
    b->bytes += n;
    if (last && (char *) last->iov_base + last->iov_len == to)
        last->iov_len += n;
    else
        b->iov[b->pieces++] = (struct iovec){to, n};
}

static void
put_lent(struct h2_batch *b, struct h2_stream *s, struct slice bytes)
{
    b->iov[b->pieces++] = (struct iovec){(char *) bytes.at, bytes.n};
    b->bytes += bytes.n;
    b->lent_by[b->lenders++] = s;
    s->out.lent++;
}

/* How much of the chunk goes into the next DATA frame?  nghttp2 asks when it is this stream's turn
 * and the windows allow for n bytes. */
static ssize_t
read_data(nghttp2_session *session, int32_t id, uint8_t *unused, size_t n, uint32_t *flags,
          nghttp2_data_source *source, void *conn)
{
    struct h2_stream *s = source->ptr;
    struct h2_out *out = &s->out;

    (void) session, (void) id, (void) unused, (void) conn;
    if (out->chunk.n == 0 && !out->last) {
        out->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < out->chunk.n)
        return (ssize_t) n;
    if (out->last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        out->ended = true;
        if (out->trailers)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        else
            s->answered = true;
        if (out->chunk.n == 0)
            h2_wake(&out->sender);
    }
    return (ssize_t) out->chunk.n;
}

nghttp2_data_provider
h2_data_of(struct h2_stream *s)
{
    return (nghttp2_data_provider){.source.ptr = s, .read_callback = read_data};
}

/* The frame whose length read_data() gave. */
int
h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
             nghttp2_data_source *source, void *conn)
{
    struct h2_conn *h = conn;
    struct h2_stream *s = source->ptr;
    struct h2_batch *b = h->batch;
    struct slice bytes = slice_first(s->out.chunk, n);

    (void) session, (void) frame;
    if (bytes.n < n)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* its fiber has given up */
    if (!has_room(b))
        return NGHTTP2_ERR_WOULDBLOCK;
    put(b, head, FRAME_HEAD_BYTES);
    s->out.chunk = slice_from(s->out.chunk, n);
    if (n > H2_COPY_BYTES)
        put_lent(b, s, bytes);
    else if (n > 0)
        put(b, bytes.at, n);
    b->full = s->out.large && s->out.chunk.n == 0 && !s->out.last;
    s->out.moved_us = loop_now_us();
    h2_rate_credit(&h->control, &h2_options_of(h)->control_frames, 2);
    if (s->out.chunk.n == 0 && s->out.lent == 0)
        h2_wake(&s->out.sender);
    return b->full ? NGHTTP2_ERR_PAUSE : 0;
}

/* False: nghttp2 gave up. */
static bool
fill(struct h2_conn *h, struct h2_batch *b)
{
    ssize_t n = 0;

    b->used = b->bytes = 0;
    b->pieces = b->lenders = 0;
    b->full = false;
    h->batch = b;
    while (has_room(b)) {
        const uint8_t *at;

        n = nghttp2_session_mem_send(h->session, &at);
        if (n <= 0)
            break;
        put(b, at, (size_t) n);
    }
    h->batch = NULL;
    return n >= 0;
}

/* ------------------------------------------------------------------ sending */

/* Their chunks are theirs again. */
static void
give_back(struct h2_batch *b)
{
    for (int i = 0; i < b->lenders; i++) {
        struct h2_stream *s = b->lent_by[i];

        if (--s->out.lent == 0 && s->out.chunk.n == 0)
            h2_wake(&s->out.sender);
    }
}

/* Whoever was woken runs first: a stream whose large chunk has left may have its next one at hand,
 * and be more urgent than what would follow now (RFC 9218 10). */
static void
let_others_run(void)
{
    fiber_resume(fiber_self());
    fiber_suspend();
}

static void
write_all(struct h2_conn *h, struct h2_batch *b)
{
    while (!h->over) {
        if (!fill(h, b))
            h->over = true;
        if (b->pieces == 0)
            return;
        if (!h->over && sock_send(&h->client->sock, b->iov, b->pieces,
                                  exchange_default_timeouts.send_us) != OK)
            h->over = true;
        h->moved_us = loop_now_us();
        give_back(b);
        if (!has_room(b))
            let_others_run();
    }
}

static void
run(void *conn)
{
    struct h2_conn *h = conn;
    struct h2_batch b;

    b.buffer = buffer_take(BUFFER_MEDIUM);
    if (b.buffer) {
        write_all(h, &b);
        buffer_give(BUFFER_MEDIUM, b.buffer);
    } else {
        h->over = true;
    }
    h->writer = NULL;
    h2_settle(h);
}

void
h2_wake_writer(struct h2_conn *h)
{
    if (h->writer)
        return;
    h->writer = fiber_start("h2 write", run, h);
    if (!h->writer)
        h2_try_later(h);
}
