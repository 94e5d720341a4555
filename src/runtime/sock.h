/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/sock.h - sockets for code on fibers: every operation waits, until a deadline.
 *
 * deadline_us is a monotonic time (TIMER_NEVER: none).  Errors: ERR_TIMEOUT when it passed,
 * ERR_CANCELLED when the fiber was cancelled, else what happened to the connection.
 */
#ifndef RUNTIME_SOCK_H
#define RUNTIME_SOCK_H

#include "runtime/loop.h"

/*
 * What lies between a connection's owner and the wire: TLS.  It changes bytes and never waits; the
 * waiting is done here, for plain socks and for those with a layer.  s->layer points to a struct
 * that begins with this one; set once, freed by sock_close().
 */
struct sock_layer {
    const struct sock_layer_ops *ops;
};

struct sock_layer_ops {
    /* Any context.  Bytes > 0, 0 (the end), IO_PENDING (the wire has no more now) or -errno. */
    ssize_t (*recv_now)(struct sock *s, void *at, size_t room);
    /* Any context.  How many bytes of the vectors were taken: they are on the wire, or held where
     * the next call finds them; IO_PENDING: the wire takes nothing now; or -errno.  With n == 0 it
     * only moves on what is held: 0 when nothing is held any more. */
    ssize_t (*send_now)(struct sock *s, const struct iovec *iov, int n);
    /* recv_now() would give something, whatever the wire has. */
    bool    (*pending)(const struct sock *s);
    /* Tells the peer that nothing more will be sent; best effort. */
    void    (*finish)(struct sock *s);
    void    (*free)(struct sock *s);
};

/* At least one byte in *got, or ERR_END: the peer has finished sending. */
enum err sock_recv(struct sock *s, void *at, size_t room, uint64_t deadline_us, size_t *got);
/* What is there already, without waiting: bytes > 0, 0 (the end), IO_PENDING (nothing now) or
 * -errno.  In any context. */
ssize_t sock_recv_now(struct sock *s, void *at, size_t room);
/* All of it; each time the peer takes some, the deadline starts anew from progress_us. iov is
 * consumed. */
enum err sock_send(struct sock *s, struct iovec *iov, int n, uint64_t progress_us);
/* Without a copy this may be cheaper: there is no layer, and much in one place. */
bool sock_can_give(const struct sock *s, const struct iovec *iov, int n);
/* As sock_send(); but of the vectors from `first` on, whole pages of memory may be given to the
 * kernel, which reads them for as long as it likes, the peer's reading on a loopback included:
 * nothing may be written there any more.  Whoever wants to use the addresses again gets new pages
 * for them first: madvise(MADV_DONTNEED). */
enum err sock_give(struct sock *s, struct iovec *iov, int n, int first, uint64_t progress_us);
/* At the end of a loop. */
void sock_give_exit(struct loop *l);
/* How to connect; what is zero is left as the system has it. */
struct sock_options {
    const union address *source;      /* bind to it; another family than the peer's is ignored */
    bool                 fast_open;   /* the first bytes travel with the SYN (RFC 7413) */
    uint32_t             keepalive_s; /* probes after so much silence */
};

/*
 * Creates a socket for the address and connects it; options may be NULL.  s is zeroed and set.  On
 * failure s->fd is -1, and when s->closing is in a list the memory must stay until the end of the
 * round: set s->release to free it.
 */
enum err sock_connect(struct sock *s, const union address *to, const struct sock_options *options,
                      uint64_t deadline_us);
/* What the peer takes of one stretch without waiting: bytes, IO_PENDING or -errno.  0 bytes (NULL,
 * 0): 0 when a layer holds nothing back.  In any context. */
ssize_t sock_send_now(struct sock *s, const void *at, size_t n);
/* Nothing more will be sent (half-close); false when the connection is gone.  In any context. */
bool sock_finish(struct sock *s);
/* IO_READABLE or IO_WRITABLE. */
enum err sock_wait(struct sock *s, enum io_kind kind, uint64_t deadline_us);
/* A listening socket, not yet in any loop; non-blocking, close-on-exec.  -errno on failure. */
int sock_listen(const union address *at, int backlog, bool reuse_port);
/* On the loopback there is no congestion to control, and pacing (bbr) only costs timers: Reno
 * there.  Elsewhere the machine's own choice stands. */
void sock_tune_loopback(int fd, const union address *peer);

/* For layers: the wire below them, without waiting. */
ssize_t sock_wire_recv(struct sock *s, void *at, size_t room);
ssize_t sock_wire_send(struct sock *s, const struct iovec *iov, int n);
/* Drops the first bytes; how many vectors are left. */
int sock_consume(struct iovec **iov, int count, size_t bytes);
enum err sock_wire_wait(struct sock *s, enum io_kind kind, uint64_t deadline_us);

/* A layer has bytes for the owner that no event will announce. */
static inline bool
sock_has_pending(const struct sock *s)
{
    return s->layer && s->layer->ops->pending(s);
}

/* A send may be taken, as far as is known without a system call. */
static inline bool
sock_can_send(const struct sock *s)
{
    return s->flags & SOCK_WRITABLE;
}

/* The peer has closed or reset the connection, as far as is known without a system call. */
static inline bool
sock_is_hung_up(const struct sock *s)
{
    return s->flags & SOCK_HANGUP;
}

/*
 * Accepting: on_accept(arg, fd, peer) is called in the loop's context for each new connection,
 * until acceptor_stop().  When descriptors or memory are used up: on_trouble(arg, err), and a pause
 * of 100 ms.
 */
struct acceptor {
    struct sock  sock;
    struct io    io;
    struct timer pause;
    void       (*on_accept)(struct acceptor *a, int fd, const union address *peer);
    void       (*on_trouble)(struct acceptor *a, enum err err);
    void       (*on_stopped)(struct acceptor *a); /* its memory may be freed; may be NULL */
    unsigned     burst; /* how many to accept before waiting again */
    bool         stopped;
};

/* Takes over fd.  Zero the struct and set the callbacks first. */
enum err acceptor_start(struct acceptor *a, int fd);
void acceptor_stop(struct acceptor *a);

#endif
