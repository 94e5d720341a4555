/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/sock.c - the bridge between operations that complete and fibers that wait.
 */
#include "runtime/sock.h"

#include "runtime/fiber.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* A fiber's wait for one operation; lives on the fiber's stack. */
struct wait {
    struct io     io;
    struct timer  timer;
    struct fiber *fiber;
    bool          done, timed_out;
};

static void
on_done(struct io *io)
{
    struct wait *w = container_of(io, struct wait, io);

    w->done = true;
    if (fiber_self())
        fiber_resume(w->fiber);
    else
        fiber_run_now(w->fiber);
}

static void
on_deadline(struct timer *t)
{
    struct wait *w = container_of(t, struct wait, timer);

    w->timed_out = true;
    io_cancel(&w->io);
}

/* Until the operation, which is pending, completes.  A result >= 0, or -errno. */
static ssize_t
finish(struct wait *w, uint64_t deadline_us)
{
    struct fiber *f = fiber_self();
    struct loop *l = loop_current;

    w->fiber = f;
    w->done = w->timed_out = false;
    w->timer.link.next = NULL;
    w->timer.fire = on_deadline;
    f->waits = &w->io;
    if (f->cancelled != OK)
        io_cancel(&w->io);
    else if (deadline_us != TIMER_NEVER)
        timer_set(&l->timers, &w->timer, deadline_us);
    while (!w->done)
        fiber_suspend();
    if (f->queued) {
        /* Completed by the cancelling just above: take the fiber out of the ready list again. */
        list_remove(&f->ready);
        f->queued = false;
    }
    f->waits = NULL;
    timer_clear(&l->timers, &w->timer);
    return w->io.result;
}

static enum err
error_of(const struct wait *w, ssize_t result)
{
    if (result != -ECANCELED)
        return err_from_errno((int) -result);
    return w->timed_out                    ? ERR_TIMEOUT
           : fiber_self()->cancelled != OK ? fiber_self()->cancelled
                                           : ERR_CANCELLED;
}

static enum err
layer_recv(struct sock *s, void *at, size_t room, uint64_t deadline_us, size_t *got)
{
    for (;;) {
        ssize_t n = s->layer->ops->recv_now(s, at, room);
        enum err e;

        if (n > 0) {
            *got = (size_t) n;
            return OK;
        }
        if (n != IO_PENDING)
            return n == 0 ? ERR_END : err_from_errno((int) -n);
        e = sock_wire_wait(s, IO_READABLE, deadline_us);
        if (e != OK)
            return e;
    }
}

enum err
sock_recv(struct sock *s, void *at, size_t room, uint64_t deadline_us, size_t *got)
{
    struct wait w;
    ssize_t n;

    if (__builtin_expect(s->layer != NULL, 0))
        return layer_recv(s, at, room, deadline_us, got);
    n = io_recv(s, &w.io, at, room, on_done);
    if (n == IO_PENDING)
        n = finish(&w, deadline_us);
    if (n > 0) {
        *got = (size_t) n;
        return OK;
    }
    return n == 0 ? ERR_END : error_of(&w, n);
}

ssize_t
sock_wire_recv(struct sock *s, void *at, size_t room)
{
    ssize_t n;

    if (!(s->flags & SOCK_READABLE))
        return IO_PENDING;
    do
        n = recv(s->fd, at, room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return -errno;
    /* Empty now, until the next edge; but once the end was announced no edge will come. */
    if (n < 0 || ((size_t) n < room && !(s->flags & SOCK_HANGUP)))
        s->flags &= (uint8_t) ~SOCK_READABLE;
    return n < 0 ? IO_PENDING : n;
}

ssize_t
sock_recv_now(struct sock *s, void *at, size_t room)
{
    if (__builtin_expect(s->layer != NULL, 0))
        return s->layer->ops->recv_now(s, at, room);
    return sock_wire_recv(s, at, room);
}

ssize_t
sock_wire_send(struct sock *s, const struct iovec *iov, int n)
{
    struct msghdr message = {.msg_iov = (struct iovec *) iov, .msg_iovlen = (size_t) n};
    ssize_t sent;

    if (!(s->flags & SOCK_WRITABLE))
        return IO_PENDING;
    do
        sent = n == 1 ? send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                      : sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN)
        return -errno;
    if (sent < 0) {
        s->flags &= (uint8_t) ~SOCK_WRITABLE;
        return IO_PENDING;
    }
    s->sent += (size_t) sent;
    return sent;
}

ssize_t
sock_send_now(struct sock *s, const void *at, size_t n)
{
    struct iovec iov = {(void *) at, n};

    if (s->layer)
        return s->layer->ops->send_now(s, &iov, n ? 1 : 0);
    return n ? sock_wire_send(s, &iov, 1) : 0;
}

bool
sock_finish(struct sock *s)
{
    if (s->layer)
        s->layer->ops->finish(s);
    return shutdown(s->fd, SHUT_WR) == 0;
}

int
sock_consume(struct iovec **iov, int count, size_t n)
{
    while (count && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        count--;
    }
    if (count) {
        (*iov)->iov_base = (char *) (*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
    return count;
}

/* Until the layer has taken everything and the wire everything of the layer. */
static enum err
layer_send(struct sock *s, struct iovec *iov, int count, uint64_t progress_us)
{
    for (;;) {
        ssize_t n = s->layer->ops->send_now(s, iov, count);
        enum err e;

        if (n == 0 && count == 0)
            return OK;
        if (n >= 0) {
            count = sock_consume(&iov, count, (size_t) n);
            continue;
        }
        if (n != IO_PENDING)
            return err_from_errno((int) -n);
        e = sock_wire_wait(s, IO_WRITABLE,
                           progress_us == TIMER_NEVER ? TIMER_NEVER : loop_now_us() + progress_us);
        if (e != OK)
            return e;
    }
}

enum err
sock_send(struct sock *s, struct iovec *iov, int count, uint64_t progress_us)
{
    count = sock_consume(&iov, count, 0);
    if (__builtin_expect(s->layer != NULL, 0))
        return layer_send(s, iov, count, progress_us);
    while (count) {
        struct wait w;
        ssize_t n = io_send(s, &w.io, iov, count, on_done);

        if (n == IO_PENDING)
            n = finish(&w, progress_us == TIMER_NEVER ? TIMER_NEVER : loop_now_us() + progress_us);
        if (n < 0)
            return error_of(&w, n);
        s->sent += (size_t) n;
        count = sock_consume(&iov, count, (size_t) n);
    }
    return OK;
}

enum err
sock_wire_wait(struct sock *s, enum io_kind kind, uint64_t deadline_us)
{
    struct wait w;
    ssize_t n = io_ready(s, &w.io, kind, on_done);

    if (n == IO_PENDING)
        n = finish(&w, deadline_us);
    return n < 0 ? error_of(&w, n) : OK;
}

enum err
sock_wait(struct sock *s, enum io_kind kind, uint64_t deadline_us)
{
    if (kind == IO_READABLE && sock_has_pending(s))
        return OK;
    return sock_wire_wait(s, kind, deadline_us);
}

void
sock_tune_loopback(int fd, const union address *peer)
{
    bool v4 = peer->any.sa_family == AF_INET && ntohl(peer->v4.sin_addr.s_addr) >> 24 == 127;
    bool v6 = peer->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&peer->v6.sin6_addr);

    if (v4 || v6)
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static int
bind_source(int fd, const union address *source)
{
    int one = 1;

    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, &source->any, address_length(source)) == 0 ? 0 : -errno;
}

static void
tune_tcp(int fd, const union address *to, const struct sock_options *o)
{
    int one = 1, seconds = o ? (int) o->keepalive_s : 0;

    if (to->any.sa_family == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    sock_tune_loopback(fd, to);
    if (o && o->fast_open)
        setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
    if (seconds) {
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
    }
}

static int
open_socket(const union address *to, const struct sock_options *o)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int failed = 0;

    if (fd < 0)
        return -errno;
    tune_tcp(fd, to, o);
    if (o && o->source && o->source->any.sa_family == to->any.sa_family)
        failed = bind_source(fd, o->source);
    if (failed == 0)
        return fd;
    close(fd);
    return failed;
}

enum err
sock_connect(struct sock *s, const union address *to, const struct sock_options *options,
             uint64_t deadline_us)
{
    struct wait w;
    ssize_t result;
    int fd = open_socket(to, options);

    if (fd < 0)
        return err_from_errno(-fd);
    sock_init(s, fd);
    result = io_connect(s, &w.io, to, on_done);
    if (result == IO_PENDING)
        result = finish(&w, deadline_us);
    if (result == 0)
        return OK;
    sock_close(s);
    return error_of(&w, result);
}

static void
on_wake(struct timer *t)
{
    /* Somebody else may have made it ready in the same round. */
    fiber_resume(container_of(t, struct wait, timer)->fiber);
}

enum err
fiber_sleep_until(uint64_t at_us)
{
    /* An operation that is in no loop's hands: only the timer or fiber_cancel() ends the wait. */
    struct wait w = {.fiber = fiber_self(), .timer.fire = on_wake};

    if (w.fiber->cancelled != OK)
        return w.fiber->cancelled;
    timer_set(&loop_current->timers, &w.timer, at_us);
    w.fiber->waits = &w.io;
    fiber_suspend();
    w.fiber->waits = NULL;
    timer_clear(&loop_current->timers, &w.timer);
    return w.fiber->cancelled;
}

struct patience {
    struct timer  timer;
    struct fiber *fiber;
    bool          over;
};

static void
on_over(struct timer *t)
{
    struct patience *p = container_of(t, struct patience, timer);

    p->over = true;
    fiber_resume(p->fiber);
}

bool
fiber_wait_for(const bool *done, uint64_t deadline_us)
{
    struct patience p = {.timer.fire = on_over, .fiber = fiber_self()};

    if (!*done && deadline_us != TIMER_NEVER)
        timer_set(&loop_current->timers, &p.timer, deadline_us);
    while (!*done && !p.over)
        fiber_suspend();
    timer_clear(&loop_current->timers, &p.timer);
    return *done;
}
