/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/tunnel.c - moving bytes both ways without a fiber.
 *
 * Each way is in one of three states: waiting until `from` is readable (no buffer), sending what it
 * holds (with buffer), ended.
 */
#include "runtime/tunnel.h"

#include "runtime/sock.h"

static void read_more(struct tunnel_way *w);

static void
finish(struct tunnel *t, enum err err)
{
    if (t->over)
        return;
    t->over = true;
    timer_clear(&loop_current->timers, &t->silence);
    for (int i = 0; i < 2; i++) {
        struct tunnel_way *w = &t->ways[i];

        io_cancel(&w->reading);
        io_cancel(&w->writing);
        if (w->buffer)
            buffer_give(w->size, take(&w->buffer));
    }
    t->on_end(t, err);
}

static void
end_way(struct tunnel_way *w)
{
    struct tunnel *t = w->tunnel;

    w->ended = true;
    (void) sock_finish(w->to);
    if (t->ways[0].ended && t->ways[1].ended)
        finish(t, OK);
}

static void on_writable(struct io *io);

static void
advance(struct tunnel_way *w, size_t n)
{
    w->held.iov_base = (char *) w->held.iov_base + n;
    w->held.iov_len -= n;
    w->bytes += n;
    w->tunnel->last_us = loop_now_us();
}

/* True: all of it is gone, and a layer keeps nothing back either. */
static bool
send_held(struct tunnel_way *w)
{
    for (;;) {
        ssize_t n = sock_send_now(w->to, w->held.iov_base, w->held.iov_len);

        if (n == IO_PENDING) {
            n = io_ready(w->to, &w->writing, IO_WRITABLE, on_writable);
            if (n == 0)
                continue;
        } else if (n == 0 && w->held.iov_len == 0) {
            buffer_give(w->size, take(&w->buffer));
            return true;
        }
        if (n < 0) {
            if (n != IO_PENDING)
                finish(w->tunnel, ERR_RESET);
            return false;
        }
        advance(w, (size_t) n);
    }
}

static void
on_writable(struct io *io)
{
    struct tunnel_way *w = container_of(io, struct tunnel_way, writing);

    if (w->tunnel->over)
        return;
    if (io->result < 0)
        finish(w->tunnel, ERR_RESET);
    else if (send_held(w))
        read_more(w);
}

static void
on_readable(struct io *io)
{
    struct tunnel_way *w = container_of(io, struct tunnel_way, reading);

    if (w->tunnel->over)
        return;
    if (io->result < 0)
        finish(w->tunnel, ERR_RESET);
    else
        read_more(w);
}

enum received { RECEIVED_BYTES, RECEIVED_NOTHING, RECEIVED_END };

/* Receives what is there into a lent buffer.  RECEIVED_END: the way has ended, and maybe the tunnel
 * with it, whose memory is gone then. */
static enum received
receive(struct tunnel_way *w)
{
    ssize_t n;

    w->size = BUFFER_SMALL;
    w->buffer = buffer_take(w->size);
    if (!w->buffer) {
        finish(w->tunnel, ERR_NO_MEMORY);
        return RECEIVED_END;
    }
    n = sock_recv_now(w->from, w->buffer, BUFFER_SMALL_BYTES);
    if (n > 0) {
        w->held = (struct iovec){w->buffer, (size_t) n};
        return RECEIVED_BYTES;
    }
    buffer_give(w->size, take(&w->buffer));
    if (n == IO_PENDING)
        return RECEIVED_NOTHING;
    if (n == 0)
        end_way(w);
    else
        finish(w->tunnel, ERR_RESET);
    return RECEIVED_END;
}

static void
read_more(struct tunnel_way *w)
{
    for (;;) {
        ssize_t ready = sock_has_pending(w->from)
                            ? 0
                            : io_ready(w->from, &w->reading, IO_READABLE, on_readable);
        enum received received;

        if (ready == IO_PENDING)
            return;
        if (ready < 0) {
            finish(w->tunnel, ERR_RESET);
            return;
        }
        received = receive(w);
        if (received == RECEIVED_END || (received == RECEIVED_BYTES && !send_held(w)))
            return;
    }
}

static void
on_silence(struct timer *timer)
{
    struct tunnel *t = container_of(timer, struct tunnel, silence);

    if (loop_now_us() >= t->last_us + t->silence_us)
        finish(t, ERR_TIMEOUT);
    else
        timer_set(&loop_current->timers, timer, t->last_us + t->silence_us);
}

static bool
hold(struct tunnel_way *w, struct slice early)
{
    if (early.n == 0)
        return true;
    CHECK(early.n <= BUFFER_MEDIUM_BYTES);
    w->size = BUFFER_MEDIUM;
    w->buffer = buffer_take(w->size);
    if (!w->buffer)
        return false;
    memcpy(w->buffer, early.at, early.n);
    w->held = (struct iovec){w->buffer, early.n};
    return true;
}

void
tunnel_start(struct tunnel *t, struct sock *a, struct sock *b, struct slice early_a,
             struct slice early_b, uint64_t silence_us)
{
    t->over = false;
    t->ways[0] = (struct tunnel_way){.tunnel = t, .from = a, .to = b};
    t->ways[1] = (struct tunnel_way){.tunnel = t, .from = b, .to = a};
    t->silence_us = silence_us;
    t->last_us = loop_now_us();
    t->silence = (struct timer){.fire = on_silence};
    a->on_hangup = b->on_hangup = NULL;
    if (silence_us)
        timer_set(&loop_current->timers, &t->silence, t->last_us + silence_us);
    if (!hold(&t->ways[0], early_a) || !hold(&t->ways[1], early_b)) {
        finish(t, ERR_NO_MEMORY);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (t->ways[i].held.iov_len == 0 || send_held(&t->ways[i]))
            read_more(&t->ways[i]);
        /* finish() may have freed the record. */
        if (i == 0 && a->fd < 0)
            return;
    }
}

void
tunnel_cancel(struct tunnel *t)
{
    finish(t, ERR_CANCELLED);
}
