/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/file.c - reading by io_uring, or like writing by way of the offload threads. */
#include "runtime/file.h"

#include "runtime/fiber.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ some bytes */

/* One more result. */
static void
note_result(struct file_reading *r, ssize_t n)
{
    if (n < 0)
        r->err = err_from_errno((int) -n);
    else
        r->got += (size_t) n;
    r->over = n <= 0 || r->got == r->n;
}

static void
on_ring_read(struct file_ring_read *ring)
{
    struct file_reading *r = container_of(ring, struct file_reading, ring);

    r->answered = true;
    if (!r->fiber)
        r->late(r);
    else if (r->fiber != fiber_self())
        fiber_resume(r->fiber);
}

/* ERR_UNSUPPORTED: what is missing has to be read by a thread. */
static enum err
read_by_ring(struct file_reading *r, uint64_t deadline_us)
{
    r->ring.done = on_ring_read;
    r->fiber = fiber_self();
    while (!r->over) {
        r->answered = false;
        if (!file_ring_start(&r->ring, r->fd, (char *) r->at + r->got, r->n - r->got,
                             r->offset + r->got))
            return ERR_UNSUPPORTED;
        if (!fiber_wait_for(&r->answered, deadline_us)) {
            r->fiber = NULL;
            file_ring_cancel(&r->ring);
            return ERR_TIMEOUT;
        }
        if (r->ring.result == -EAGAIN || r->ring.result == -EINTR)
            return ERR_UNSUPPORTED;
        note_result(r, r->ring.result);
    }
    return r->err;
}

static void
read_here(void *arg)
{
    struct file_reading *r = arg;
    ssize_t (*call)(int fd, void *at, size_t n, off_t offset) = r->call ? r->call : pread;

    while (!r->over) {
        ssize_t n = call(r->fd, (char *) r->at + r->got, r->n - r->got,
                         (off_t) (r->offset + r->got));

        if (n >= 0 || errno != EINTR)
            note_result(r, n < 0 ? -errno : n);
    }
}

static void
be_late(void *arg)
{
    struct file_reading *r = arg;

    r->late(r);
}

enum err
file_read_until(struct file_reading *r, uint64_t deadline_us)
{
    enum err e = ERR_UNSUPPORTED;

    r->got = 0;
    r->err = OK;
    r->over = r->n == 0;
    if (loop_current && fiber_self())
        e = read_by_ring(r, deadline_us);
    if (e != ERR_UNSUPPORTED)
        return e;
    r->job = (struct offload_job){.work = read_here, .late = be_late, .arg = r};
    e = offload_until(r->pool, &r->job, deadline_us);
    return e == OK ? r->err : e;
}

enum err
file_read_at(int fd, void *at, size_t room, uint64_t offset, size_t *got)
{
    struct file_reading r = {.fd = fd, .at = at, .n = room, .offset = offset};
    enum err e = file_read_until(&r, TIMER_NEVER);

    *got = e == OK ? r.got : 0;
    return e;
}

/* ------------------------------------------------------------------ a whole file */

struct whole {
    const char  *path;
    struct text *out;
    enum err     err;
};

static void
read_whole(void *arg)
{
    struct whole *w = arg;
    char chunk[16 * 1024];
    ssize_t n = 1;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        w->err = err_from_errno(errno);
        return;
    }
    while (n > 0 && !w->out->full) {
        n = read(fd, chunk, sizeof(chunk));
        if (n > 0)
            text_put(w->out, slice_of(chunk, (size_t) n));
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    w->err = w->out->full ? ERR_LIMIT : n < 0 ? err_from_errno(errno) : OK;
    close(fd);
}

enum err
file_read(const char *path, struct text *out)
{
    struct whole w = {.path = path, .out = out};

    offload(read_whole, &w);
    return w.err;
}

/* ------------------------------------------------------------------ temporary files */

struct making {
    const char *folder;
    int         fd;
    enum err    err;
};

/* Where the file system has no files without a name, one that loses it at once. */
static int
make_and_unlink(const char *folder)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/maitred-XXXXXX", folder), fd;

    if (n < 0 || (size_t) n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static void
make_temporary(void *arg)
{
    struct making *m = arg;

    m->fd = open(m->folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (m->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        m->fd = make_and_unlink(m->folder);
    m->err = m->fd < 0 ? err_from_errno(errno) : OK;
}

enum err
file_temporary(const char *folder, int *fd)
{
    struct making m = {.folder = folder};

    offload(make_temporary, &m);
    *fd = m.fd;
    return m.err;
}

struct writing {
    int         fd;
    const char *at;
    size_t      left;
    uint64_t    offset;
    bool        full;
    enum err    err;
};

static void
write_all(void *arg)
{
    struct writing *w = arg;

    while (w->left) {
        ssize_t n = pwrite(w->fd, w->at, w->left, (off_t) w->offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            w->full = n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
            w->err = n < 0 ? err_from_errno(errno) : ERR_IO;
            return;
        }
        w->at += n;
        w->left -= (size_t) n;
        w->offset += (uint64_t) n;
    }
}

enum err
file_write_at(int fd, const void *at, size_t n, uint64_t offset, bool *full)
{
    struct writing w = {.fd = fd, .at = at, .left = n, .offset = offset};

    offload(write_all, &w);
    if (full)
        *full = w.full;
    return w.err;
}

static void
close_it(void *arg)
{
    close(*(int *) arg);
}

void
file_close(int fd)
{
    offload(close_it, &fd);
}
