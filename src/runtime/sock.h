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

/* At least one byte in *got, or ERR_END: the peer has finished sending. */
enum err sock_recv(struct sock *s, void *at, size_t room, uint64_t deadline_us, size_t *got);
/* What is there already, without waiting: bytes > 0, 0 (the end), IO_PENDING (nothing now) or
 * -errno.  In any context. */
ssize_t sock_recv_now(struct sock *s, void *at, size_t room);
/* All of it; each time the peer takes some, the deadline starts anew from progress_us. iov is
 * consumed. */
enum err sock_send(struct sock *s, struct iovec *iov, int n, uint64_t progress_us);
/*
 * Creates a socket for the address and connects it; source may be NULL.  s is zeroed and set.  On
 * failure s->fd is -1, and when s->closing is in a list the memory must stay until the end of the
 * round: set s->release to free it.
 */
enum err sock_connect(struct sock *s, const union address *to, const union address *source,
                      uint64_t deadline_us);
/* IO_READABLE or IO_WRITABLE. */
enum err sock_wait(struct sock *s, enum io_kind kind, uint64_t deadline_us);
/* A listening socket, not yet in any loop; non-blocking, close-on-exec.  -errno on failure. */
int sock_listen(const union address *at, int backlog, bool reuse_port);
/* On the loopback there is no congestion to control, and pacing (bbr) only costs timers: Reno
 * there.  Elsewhere the machine's own choice stands. */
void sock_tune_loopback(int fd, const union address *peer);

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
