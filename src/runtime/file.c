/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/file.c - reading and writing by way of the offload threads. */
#include "runtime/file.h"

#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct reading {
    const char  *path;
    struct text *out;
    int          fd;
    void        *at;
    size_t       room, got;
    uint64_t     offset;
    enum err     err;
};

static void
read_some(void *arg)
{
    struct reading *r = arg;
    ssize_t n;

    do
        n = pread(r->fd, r->at, r->room, (off_t) r->offset);
    while (n < 0 && errno == EINTR);
    r->err = n < 0 ? err_from_errno(errno) : OK;
    r->got = n < 0 ? 0 : (size_t) n;
}

static void
read_whole(void *arg)
{
    struct reading *r = arg;
    char chunk[16 * 1024];

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0) {
        r->err = err_from_errno(errno);
        return;
    }
    r->at = chunk;
    r->room = sizeof(chunk);
    do {
        read_some(r);
        text_put(r->out, slice_of(chunk, r->got));
        r->offset += r->got;
    } while (r->err == OK && r->got && !r->out->full);
    if (r->out->full)
        r->err = ERR_LIMIT;
    close(r->fd);
}

enum err
file_read(const char *path, struct text *out)
{
    struct reading r = {.path = path, .out = out};

    offload(read_whole, &r);
    return r.err;
}

enum err
file_read_at(int fd, void *at, size_t room, uint64_t offset, size_t *got)
{
    struct reading r = {.fd = fd, .at = at, .room = room, .offset = offset};

    offload(read_some, &r);
    *got = r.got;
    return r.err;
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
