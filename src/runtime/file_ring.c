/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/file_ring.c - a ring for each loop.
 *
 * A read is given to the kernel at once, and what is complete by then is taken at once: with a warm
 * page cache nobody waits.  The ring's descriptor is readable while something is complete, which is
 * how the rest is heard of.  An operation that the kernel did not take is made one that does
 * nothing, so that it is not done twice.
 *
 * Where io_uring is not to be had (an old kernel, a container's seccomp filter, a sysctl), or not
 * with what is needed here, loop.files is `none` from then on.
 */
#include "runtime/file_ring.h"

#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEPTH = 64 };

struct ring {
    struct io_uring uring;
    struct sock     sock; /* a second descriptor of it */
    struct io       io;
};

static struct ring none;
static atomic_bool allowed = true;

void
file_ring_allow(bool allow)
{
    atomic_store(&allowed, allow);
}

/* ------------------------------------------------------------------ completions */

static void
take_completions(struct ring *r)
{
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        struct file_ring_read *read = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&r->uring, cqe);
        if (read) {
            read->result = result;
            read->done(read);
        }
    }
}

static void
on_completions(struct io *io)
{
    struct ring *r = container_of(io, struct ring, io);

    if (io->result == -ECANCELED)
        return;
    take_completions(r);
    CHECK(io_ready(&r->sock, io, IO_READABLE, on_completions) == IO_PENDING);
}

/* ------------------------------------------------------------------ a ring */

static bool
can_read(struct io_uring *uring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
    bool can = probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
               io_uring_opcode_supported(probe, IORING_OP_ASYNC_CANCEL);

    io_uring_free_probe(probe);
    return can;
}

/* A thread that is just running is not interrupted; kernels before 5.19 cannot help it. */
static bool
init_uring(struct io_uring *uring)
{
    return io_uring_queue_init(DEPTH, uring, IORING_SETUP_COOP_TASKRUN) == 0 ||
           io_uring_queue_init(DEPTH, uring, 0) == 0;
}

static void
release(struct sock *s)
{
    struct ring *r = container_of(s, struct ring, sock);

    io_uring_queue_exit(&r->uring);
    free(r);
}

/* NULL: it is not to be had. */
static struct ring *
ring_new(void)
{
    struct ring *r = calloc(1, sizeof(*r));
    int fd;

    if (!r || !init_uring(&r->uring)) {
        free(r);
        return NULL;
    }
    fd = can_read(&r->uring) ? fcntl(r->uring.ring_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0) {
        io_uring_queue_exit(&r->uring);
        free(r);
        return NULL;
    }
    sock_init(&r->sock, fd);
    r->sock.flags = SOCK_LEVEL | SOCK_SHARED;
    r->sock.release = release;
    if (io_ready(&r->sock, &r->io, IO_READABLE, on_completions) == IO_PENDING)
        return r;
    sock_close(&r->sock);
    return NULL;
}

/* Of this loop; NULL: there is none. */
static struct ring *
ring_self(void)
{
    struct loop *l = loop_current;

    if (!l->files) {
        struct ring *r = atomic_load(&allowed) ? ring_new() : NULL;

        l->files = r ? r : &none;
    }
    return l->files == &none ? NULL : l->files;
}

void
file_ring_exit(struct loop *l)
{
    struct ring *r = take(&l->files);

    if (!r || r == &none)
        return;
    io_cancel(&r->io);
    sock_close(&r->sock);
}

/* ------------------------------------------------------------------ operations */

/* False: the kernel is short of memory and has not taken it. */
static bool
submit(struct ring *r, struct io_uring_sqe *sqe)
{
    (void) io_uring_submit(&r->uring);
    if (io_uring_sq_ready(&r->uring) == 0)
        return true;
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    return false;
}

bool
file_ring_start(struct file_ring_read *read, int fd, void *at, size_t n, uint64_t offset)
{
    struct ring *r = ring_self();
    struct io_uring_sqe *sqe = r ? io_uring_get_sqe(&r->uring) : NULL;

    if (!sqe)
        return false;
    io_uring_prep_read(sqe, fd, at, n > INT32_MAX ? INT32_MAX : (unsigned) n, offset);
    io_uring_sqe_set_data(sqe, read);
    if (!submit(r, sqe))
        return false;
    take_completions(r);
    return true;
}

void
file_ring_cancel(struct file_ring_read *read)
{
    struct ring *r = ring_self();
    struct io_uring_sqe *sqe = r ? io_uring_get_sqe(&r->uring) : NULL;

    if (!sqe)
        return;
    io_uring_prep_cancel(sqe, read, 0);
    io_uring_sqe_set_data(sqe, NULL);
    (void) submit(r, sqe);
}
