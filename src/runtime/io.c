/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/io.c - operations, whatever loop carries them out. */
#include "runtime/io.h"

#include "runtime/sock.h"

#include <errno.h>
#include <unistd.h>

void
sock_init(struct sock *s, int fd)
{
    *s = (struct sock){.fd = fd, .flags = SOCK_READABLE | SOCK_WRITABLE};
}

void
sock_close(struct sock *s)
{
    CHECK(s->fd >= 0 && !s->reader && !s->writer);
    if (s->layer)
        s->layer->ops->free(s);
    loop_current->ops->detach(s);
    close(s->fd);
    s->fd = -1;
    s->on_hangup = NULL;
    list_append(&loop_current->closing, &s->closing);
}

static void
start(struct io *io, enum io_kind kind, io_done_f *done)
{
    io->kind = (uint8_t) kind;
    io->done = done;
    io->sock = NULL;
}

ssize_t
io_recv(struct sock *s, struct io *io, void *at, size_t n, io_done_f *done)
{
    start(io, IO_RECV, done);
    io->recv.at = at;
    io->recv.n = n;
    return loop_current->ops->recv(s, io);
}

ssize_t
io_send(struct sock *s, struct io *io, const struct iovec *iov, int n, io_done_f *done)
{
    start(io, IO_SEND, done);
    io->send.iov = iov;
    io->send.n = n;
    return loop_current->ops->send(s, io);
}

ssize_t
io_connect(struct sock *s, struct io *io, const union address *to, io_done_f *done)
{
    start(io, IO_CONNECT, done);
    if (connect(s->fd, &to->any, address_length(to)) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return -errno;
    s->flags &= (uint8_t) ~(SOCK_WRITABLE | SOCK_READABLE);
    return loop_current->ops->connect(s, io);
}

ssize_t
io_ready(struct sock *s, struct io *io, enum io_kind kind, io_done_f *done)
{
    start(io, kind, done);
    return loop_current->ops->ready(s, io);
}

void
io_cancel(struct io *io)
{
    if (io->sock)
        loop_current->ops->cancel(io->sock, io);
}
