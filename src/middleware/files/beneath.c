/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/beneath.c - opening files without ever leaving a folder.
 *
 * The kernel itself sees to it (openat2(), Linux 5.6), so that no link that is changed at the wrong
 * moment leads out.  Where there is none, folders are walked one by one and links refused.
 */
#include "middleware/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
open_or_errno(int folder, const char *name, int flags)
{
    int fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int
files_walk_beneath(int folder, const char *name, int flags)
{
    struct slice rest = slice_str(*name ? name : ".");
    int at = folder;

    while (slice_is_present(rest)) {
        struct slice segment = slice_cut(&rest, '/');
        bool last = !slice_is_present(rest);
        char text[256];
        int fd;

        if (segment.n == 0 || segment.n >= sizeof(text) || slice_eq(segment, SLICE("..")))
            fd = -ENOENT;
        else {
            memcpy(text, segment.at, segment.n);
            text[segment.n] = '\0';
            fd = open_or_errno(at, text, last ? flags : O_PATH | O_DIRECTORY);
        }
        if (at != folder)
            close(at);
        if (fd < 0)
            return fd;
        at = fd;
    }
    return at;
}

static int
open_by_kernel(int folder, const char *name, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t) (flags | O_CLOEXEC), .resolve = resolve};
    long fd = syscall(SYS_openat2, folder, *name ? name : ".", &how, sizeof(how));

    return fd < 0 ? -errno : (int) fd;
}

/* Older kernels do not know what is cached: as if nothing were, a thread of the pool asks then. */
static int
open_cached(int folder, const char *name, int flags, uint64_t resolve)
{
    int fd = open_by_kernel(folder, name, flags, resolve | RESOLVE_CACHED);

    return fd == -EINVAL || fd == -ENOSYS || fd == -EPERM ? -EAGAIN : fd;
}

int
files_open_root(const char *path, bool cached)
{
    enum { HOW = O_PATH | O_DIRECTORY | O_CLOEXEC };
    int fd;

    if (cached)
        return open_cached(AT_FDCWD, path, HOW, 0);
    fd = open(path, HOW);
    return fd < 0 ? -errno : fd;
}

int
files_open_beneath(int folder, const char *name, int flags, bool cached)
{
    enum { RACES_MAX = 8 }; /* the kernel gives up when folders are moved while it looks */
    static const uint64_t inside = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int fd = 0;

    if (cached)
        return open_cached(folder, name, flags, inside);
    for (int i = 0; i < RACES_MAX; i++)
        if ((fd = open_by_kernel(folder, name, flags, inside)) != -EAGAIN)
            break;
    if (fd == -ENOSYS || fd == -EPERM)
        return files_walk_beneath(folder, name, flags);
    return fd == -EAGAIN ? -EBUSY : fd;
}
