/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/io.h - the loop's contract: operations that complete.
 *
 * "n bytes were received into this buffer": that is what both kinds of kernel interface can say.
 * With epoll an operation is tried at once and again when the descriptor is ready; with io_uring it
 * is queued and completes by itself.  Whatever loops there are pass the same tests (io_test.c).
 *
 * Above this file nobody knows which kind it is.  Code on fibers uses runtime/sock.h.
 */
#ifndef RUNTIME_IO_H
#define RUNTIME_IO_H

#include "base/address.h"
#include "base/err.h"
#include "base/list.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io;
struct loop;
struct sock;
struct sock_layer;

typedef void io_done_f(struct io *io);

/* One operation in flight.  Lies in its owner's memory and stays there until done() was called. */
struct io {
    io_done_f   *done;
    ssize_t      result; /* bytes, or -errno */
    struct sock *sock;   /* NULL: not in flight */
    uint8_t      kind;   /* enum io_kind */
    /* Operands, until it completes: */
    union {
        struct {
            void  *at;
            size_t n;
        } recv;
        struct {
            const struct iovec *iov;
            int                 n;
        } send;
    };
};

enum io_kind { IO_NONE, IO_RECV, IO_SEND, IO_CONNECT, IO_READABLE, IO_WRITABLE };

#define IO_PENDING ((ssize_t) -4096)

/* A descriptor that a loop knows.  Embedded in its owner. */
struct sock {
    int         fd;     /* -1: closed */
    uint8_t     flags;  /* enum sock_flags */
    uint64_t    sent;   /* bytes that the kernel took, ever */
    struct io  *reader, *writer;
    /* The peer is gone (closed or reset), and nobody is reading.  May be NULL.  Called in the
     * loop's context; must not free the sock. */
    void      (*on_hangup)(struct sock *s);
    /* Last step of closing, when no event can name it any more: here its memory may be freed.  May
     * be NULL. */
    void      (*release)(struct sock *s);
    struct list closing;
    /* What lies between the owner and the wire, such as TLS (runtime/sock.h); NULL: nothing. */
    struct sock_layer *layer;
};

enum sock_flags {
    SOCK_ATTACHED = 1, /* the loop waits for its events */
    SOCK_READABLE = 2, /* a receive may find something */
    SOCK_WRITABLE = 4,
    SOCK_HANGUP = 8,   /* the peer has closed its side, or the connection broke */
    SOCK_LEVEL = 16,   /* what one round leaves is announced again:
                        * listening sockets, event counters */
    SOCK_SHARED = 32,  /* somebody else holds the same description: closing it here is not enough */
};

/*
 * The two implementations.  Each starting function returns a result (>= 0, or -errno) when the
 * operation completed at once, without calling done(); else IO_PENDING, and done() is called later
 * from the loop's context.  One operation a direction waits at a time: a second one gets -EBUSY.
 */
struct loop_ops {
    const char *name;
    enum err  (*init)(struct loop *l);
    void      (*exit)(struct loop *l);
    /* Waits for events until `until_us` (monotonic; 0: do not wait) and completes what can be. */
    void      (*wait)(struct loop *l, uint64_t until_us);
    ssize_t   (*recv)(struct sock *s, struct io *io);
    ssize_t   (*send)(struct sock *s, struct io *io);
    /* connect() was called and is under way. */
    ssize_t   (*connect)(struct sock *s, struct io *io);
    ssize_t   (*ready)(struct sock *s, struct io *io); /* IO_READABLE, IO_WRITABLE: no
                                                        * bytes are moved */
    /* done() is called with -ECANCELED, or with its result if that was faster; maybe at once, maybe
     * later. */
    void      (*cancel)(struct sock *s, struct io *io);
    /* From now on on_hangup is called.  OK when already so. */
    enum err  (*watch)(struct sock *s);
    void      (*detach)(struct sock *s);
};

extern const struct loop_ops loop_epoll;

/* ------------------------------------------------------------------ starting operations */

/* The operations are the wire's: they know nothing of a layer, which itself is built on them. */

/* Zero the sock first.  The descriptor is non-blocking; it is closed by sock_close(). */
void sock_init(struct sock *s, int fd);
/* Operations must have completed (cancel them before); release() is called later from the loop.  A
 * layer is freed at once. */
void sock_close(struct sock *s);

ssize_t io_recv(struct sock *s, struct io *io, void *at, size_t n, io_done_f *done);
/* iov must stay until done. */
ssize_t io_send(struct sock *s, struct io *io, const struct iovec *iov, int n, io_done_f *done);
ssize_t io_connect(struct sock *s, struct io *io, const union address *to, io_done_f *done);
/* kind: IO_READABLE or IO_WRITABLE.  A parked connection waits so: without buffer, without
 * stack. */
ssize_t io_ready(struct sock *s, struct io *io, enum io_kind kind, io_done_f *done);
/* Nothing when it is not in flight. */
void io_cancel(struct io *io);

static inline bool
io_in_flight(const struct io *io)
{
    return io->sock != NULL;
}

/* For implementations: it is complete. */
static inline void
io_complete(struct io *io, ssize_t result)
{
    io->result = result;
    io->sock = NULL;
    io->done(io);
}

#endif
