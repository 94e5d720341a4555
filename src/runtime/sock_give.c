/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/sock_give.c - sending memory without copying it: its pages are put into a pipe by
 * reference (vmsplice(2)) and handed on to the socket from there (splice(2)).
 *
 * Each loop has a pipe, which is empty between two calls: what the peer does not take now is
 * dropped from it, and put in again when he does.  Heads, and what fills no whole page, are copied
 * into it, so that all of it leaves in order and together.  Where the machine does not have these
 * system calls, or forbids them, everything is copied.
 */
#include "runtime/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PIPE_BYTES = 512 * 1024,
    /* Two system calls more, and references instead of bytes: on a loopback 64 KiB cost 12 us in
     * place of 19, 32 KiB 11 of 12, and 16 KiB nothing less. */
    WORTH_BYTES = 32 * 1024,
};

struct given {
    int    in, out, nowhere;
    size_t page;    /* bytes */
    bool   refused; /* sockets take nothing from pipes here */
};

static void
close_given(struct given *g)
{
    if (g->in >= 0) {
        close(g->in);
        close(g->out);
    }
    if (g->nowhere >= 0)
        close(g->nowhere);
    free(g);
}

void
sock_give_exit(struct loop *l)
{
    if (l->given)
        close_given(l->given);
    l->given = NULL;
}

/* NULL: there are no descriptors now. */
static struct given *
given_of(struct loop *l)
{
    struct given *g = l->given ? l->given : malloc(sizeof(*g));
    int ends[2];

    if (!g || l->given)
        return g && !g->refused ? g : NULL;
    *g = (struct given){.in = -1,
                        .out = -1,
                        .nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC),
                        .page = (size_t) sysconf(_SC_PAGESIZE)};
    if (g->nowhere < 0 || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        close_given(g);
        return NULL;
    }
    g->out = ends[0];
    g->in = ends[1];
    /* A user who has many pipes may not have larger ones: 64 KiB do as well. */
    (void) fcntl(g->in, F_SETPIPE_SZ, PIPE_BYTES);
    return l->given = g;
}

bool
sock_can_give(const struct sock *s, const struct iovec *iov, int n)
{
    for (int i = 0; i < n && !s->layer; i++)
        if (iov[i].iov_len >= WORTH_BYTES)
            return true;
    return false;
}

/* ------------------------------------------------------------------ into the pipe */

static size_t
copy_in(const struct given *g, const char *at, size_t n)
{
    ssize_t put = n ? write(g->in, at, n) : 0;

    return put > 0 ? (size_t) put : 0;
}

/* The part before the first whole page, the pages, and what is left: how much went in. */
static size_t
give_in(const struct given *g, const char *at, size_t n)
{
    size_t before = (size_t) (-(uintptr_t) at & (g->page - 1)), put;
    struct iovec pages;
    ssize_t taken;

    if (n < WORTH_BYTES || n < before + g->page)
        return copy_in(g, at, n);
    put = copy_in(g, at, before);
    if (put < before)
        return put;
    pages = (struct iovec){(char *) at + before, (n - before) & ~(g->page - 1)};
    taken = vmsplice(g->in, &pages, 1, SPLICE_F_NONBLOCK);
    if (taken < 0)
        return put;
    put += (size_t) taken;
    return (size_t) taken < pages.iov_len ? put : put + copy_in(g, at + put, n - put);
}

/* As much as there is room for. */
static size_t
fill(const struct given *g, const struct iovec *iov, int n, int first)
{
    size_t total = 0;

    for (int i = 0; i < n; i++) {
        size_t put = i < first ? copy_in(g, iov[i].iov_base, iov[i].iov_len)
                               : give_in(g, iov[i].iov_base, iov[i].iov_len);

        total += put;
        if (put < iov[i].iov_len)
            break;
    }
    return total;
}

/* ------------------------------------------------------------------ out of it */

/* The pipe is empty afterwards, whatever it takes. */
static void
drop(struct loop *l, size_t bytes)
{
    struct given *g = l->given;

    while (bytes) {
        ssize_t n = splice(g->out, NULL, g->nowhere, NULL, bytes, SPLICE_F_NONBLOCK);

        if (n <= 0 && !g->refused) {
            sock_give_exit(l);
            return;
        }
        if (n <= 0)
            return; /* it is not used again */
        bytes -= (size_t) n;
    }
}

static bool
is_refusal(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM || error == EOPNOTSUPP;
}

/* Bytes that the wire took, 0: it takes none in this way; IO_PENDING or -errno. */
static ssize_t
hand_on(struct sock *s, struct given *g, size_t bytes)
{
    size_t left = bytes;

    while (left) {
        ssize_t n = splice(g->out, NULL, s->fd, NULL, left, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

        if (n > 0) {
            left -= (size_t) n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            s->flags &= (uint8_t) ~SOCK_WRITABLE;
        if (left < bytes)
            return (ssize_t) (bytes - left); /* a fault comes again, at the start of the next */
        if (n < 0 && errno == EAGAIN)
            return IO_PENDING;
        g->refused = n < 0 && is_refusal(errno);
        return g->refused ? 0 : n == 0 ? -EIO : -errno;
    }
    return (ssize_t) bytes;
}

/* 0: it does not go this way. */
static ssize_t
give_now(struct sock *s, struct loop *l, const struct iovec *iov, int n, int first)
{
    struct given *g = l->given;
    size_t bytes;
    ssize_t sent;

    if (!(s->flags & SOCK_WRITABLE))
        return IO_PENDING;
    bytes = fill(g, iov, n, first);
    sent = bytes ? hand_on(s, g, bytes) : 0;
    if (sent > 0)
        s->sent += (size_t) sent;
    if (sent < (ssize_t) bytes)
        drop(l, sent > 0 ? bytes - (size_t) sent : bytes);
    return sent;
}

enum err
sock_give(struct sock *s, struct iovec *iov, int n, int first, uint64_t progress_us)
{
    struct loop *l = loop_current;

    while (sock_can_give(s, iov, n) && given_of(l)) {
        ssize_t sent = give_now(s, l, iov, n, first);
        int left;
        enum err e;

        if (sent == IO_PENDING) {
            e = sock_wire_wait(s, IO_WRITABLE,
                               progress_us == TIMER_NEVER ? TIMER_NEVER
                                                          : loop_now_us() + progress_us);
            if (e != OK)
                return e;
            continue;
        }
        if (sent == 0)
            break;
        if (sent < 0)
            return err_from_errno((int) -sent);
        left = sock_consume(&iov, n, (size_t) sent);
        first = first > n - left ? first - (n - left) : 0;
        n = left;
    }
    return sock_send(s, iov, n, progress_us);
}
