/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/loop_epoll.c - operations that complete, made of epoll.
 *
 * Each descriptor is registered once, edge-triggered, for both directions.  The flags remember what
 * the edges said, so that a receive which filled less than its room is known to have emptied the
 * socket, and no system call is spent on hearing EAGAIN.  A descriptor that never has to wait is
 * never registered: a short connection costs no epoll_ctl at all.
 */
#include "runtime/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64 };

struct epoll_loop {
    int                fd;
    struct epoll_event events[EVENTS];
};

static enum err
epoll_init(struct loop *l)
{
    struct epoll_loop *e = calloc(1, sizeof(*e));

    if (!e)
        return ERR_NO_MEMORY;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0) {
        free(e);
        return err_from_errno(errno);
    }
    l->impl = e;
    return OK;
}

static void
epoll_exit(struct loop *l)
{
    struct epoll_loop *e = take(&l->impl);

    close(e->fd);
    free(e);
}

/* 0 or -errno. */
static int
attach(struct sock *s)
{
    struct epoll_loop *e = loop_current->impl;
    struct epoll_event event = {.data.ptr = s};

    if (s->flags & SOCK_ATTACHED)
        return 0;
    event.events = s->flags & SOCK_LEVEL
                       ? (uint32_t) EPOLLIN
                       : (uint32_t) EPOLLIN | EPOLLOUT | EPOLLRDHUP | (uint32_t) EPOLLET;
    if (epoll_ctl(e->fd, EPOLL_CTL_ADD, s->fd, &event) != 0)
        return -errno;
    s->flags |= SOCK_ATTACHED;
    return 0;
}

static ssize_t
wait_reading(struct sock *s, struct io *io)
{
    int failed = s->reader ? -EBUSY : attach(s);

    if (failed)
        return failed;
    s->reader = io;
    io->sock = s;
    return IO_PENDING;
}

static ssize_t
wait_writing(struct sock *s, struct io *io)
{
    int failed = s->writer ? -EBUSY : attach(s);

    if (failed)
        return failed;
    s->writer = io;
    io->sock = s;
    return IO_PENDING;
}

/* IO_PENDING: the socket is empty. */
static ssize_t
try_recv(struct sock *s, struct io *io)
{
    ssize_t n;

    do
        n = recv(s->fd, io->recv.at, io->recv.n, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            return -errno;
        s->flags &= (uint8_t) ~SOCK_READABLE;
        return IO_PENDING;
    }
    /* Short: empty, until the next edge; but once the end was announced no edge will come. */
    if ((size_t) n < io->recv.n && !(s->flags & SOCK_HANGUP))
        s->flags &= (uint8_t) ~SOCK_READABLE;
    return n;
}

/* IO_PENDING: the peer takes nothing now. */
static ssize_t
try_send(struct sock *s, struct io *io)
{
    struct msghdr message = {.msg_iov = (struct iovec *) io->send.iov,
                             .msg_iovlen = (size_t) io->send.n};
    ssize_t n;

    do
        n = io->send.n == 1
                ? send(s->fd, io->send.iov->iov_base, io->send.iov->iov_len, MSG_NOSIGNAL)
                : sendmsg(s->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        s->flags &= (uint8_t) ~SOCK_WRITABLE;
        return IO_PENDING;
    }
    return n < 0 ? -errno : n;
}

static ssize_t
epoll_recv(struct sock *s, struct io *io)
{
    if (s->flags & SOCK_READABLE) {
        ssize_t n = try_recv(s, io);

        if (n != IO_PENDING)
            return n;
    }
    return wait_reading(s, io);
}

static ssize_t
epoll_send(struct sock *s, struct io *io)
{
    if (s->flags & SOCK_WRITABLE) {
        ssize_t n = try_send(s, io);

        if (n != IO_PENDING)
            return n;
    }
    return wait_writing(s, io);
}

static ssize_t
epoll_connect(struct sock *s, struct io *io)
{
    return wait_writing(s, io);
}

static ssize_t
epoll_ready(struct sock *s, struct io *io)
{
    if (io->kind == IO_WRITABLE)
        return s->flags & SOCK_WRITABLE ? 0 : wait_writing(s, io);
    if (!(s->flags & SOCK_LEVEL) && s->flags & SOCK_READABLE && s->flags & SOCK_ATTACHED)
        return 0;
    return wait_reading(s, io);
}

static void
epoll_cancel(struct sock *s, struct io *io)
{
    if (s->reader == io)
        s->reader = NULL;
    if (s->writer == io)
        s->writer = NULL;
    io_complete(io, -ECANCELED);
}

static enum err
epoll_watch(struct sock *s)
{
    return err_from_errno(-attach(s));
}

static void
epoll_detach(struct sock *s)
{
    struct epoll_loop *e = loop_current->impl;

    /* close() removes it from the set, unless somebody else holds the description too. */
    if ((s->flags & SOCK_ATTACHED) && (s->flags & SOCK_SHARED))
        (void) epoll_ctl(e->fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->flags &= (uint8_t) ~SOCK_ATTACHED;
}

static ssize_t
finish_reading(struct sock *s, struct io *io)
{
    return io->kind == IO_RECV ? try_recv(s, io) : 0;
}

static ssize_t
finish_writing(struct sock *s, struct io *io)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (io->kind == IO_SEND)
        return try_send(s, io);
    if (io->kind == IO_CONNECT && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    return -error;
}

static void
on_readable(struct sock *s)
{
    struct io *io = s->reader;
    ssize_t result;

    if (!io)
        return;
    result = finish_reading(s, io);
    if (result == IO_PENDING)
        return;
    s->reader = NULL;
    io_complete(io, result);
}

static void
on_writable(struct sock *s)
{
    struct io *io = s->writer;
    ssize_t result;

    if (!io)
        return;
    result = finish_writing(s, io);
    if (result == IO_PENDING)
        return;
    s->writer = NULL;
    io_complete(io, result);
}

static void
dispatch(struct sock *s, uint32_t events)
{
    /* Closed by what an earlier event of this round led to. */
    if (s->fd < 0)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->flags |= SOCK_READABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->flags |= SOCK_HANGUP;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        s->flags |= SOCK_WRITABLE;
        on_writable(s);
    }
    if (s->fd >= 0 && s->flags & SOCK_READABLE && s->reader)
        on_readable(s);
    else if (s->fd >= 0 && s->flags & SOCK_HANGUP && s->on_hangup)
        s->on_hangup(s);
}

static void
epoll_wait_events(struct loop *l, uint64_t until_us)
{
    struct epoll_loop *e = l->impl;
    int timeout_ms = -1, n;

    if (until_us == 0)
        timeout_ms = 0;
    else if (until_us != TIMER_NEVER) {
        uint64_t left_us = until_us > l->now_us ? until_us - l->now_us : 0;

        timeout_ms = left_us > 3600000000u ? 3600000 : (int) ((left_us + 999) / 1000);
    }
    n = epoll_wait(e->fd, e->events, EVENTS, timeout_ms);
    CHECK(n >= 0 || errno == EINTR);
    l->now_us = clock_monotonic_us();
    for (int i = 0; i < n; i++)
        dispatch(e->events[i].data.ptr, e->events[i].events);
}

const struct loop_ops loop_epoll = {
    .name = "epoll",
    .init = epoll_init,
    .exit = epoll_exit,
    .wait = epoll_wait_events,
    .recv = epoll_recv,
    .send = epoll_send,
    .connect = epoll_connect,
    .ready = epoll_ready,
    .cancel = epoll_cancel,
    .watch = epoll_watch,
    .detach = epoll_detach,
};
