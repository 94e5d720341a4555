/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/file.c - reading by way of the offload threads. */
#include "runtime/file.h"

#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
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
