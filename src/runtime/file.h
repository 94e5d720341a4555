/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/file.h - files, for code on fibers.  The disk may be slow or gone: it is the kernel
 * (io_uring) or a thread of a pool that waits for it, never a worker.
 */
#ifndef RUNTIME_FILE_H
#define RUNTIME_FILE_H

#include "base/err.h"
#include "base/text.h"
#include "runtime/file_ring.h"
#include "runtime/offload.h"

/* The whole of a regular file into out, whose bound is the limit: ERR_LIMIT when it is longer.
 * Waits. */
enum err file_read(const char *path, struct text *out);
/* Up to room bytes from an offset of an open file; *got is 0 at its end.  Waits. */
enum err file_read_at(int fd, void *at, size_t room, uint64_t offset, size_t *got);

/* A read that is waited for until a deadline only.  It lies in its owner's memory. */
struct file_reading {
    int      fd;
    void    *at;
    size_t   n;
    uint64_t offset;
    size_t   got;  /* fewer than n: the file ends there */
    /* After ERR_TIMEOUT: now it is over, and the reading with all it uses is the caller's again.
     * Any thread, maybe before file_read_until() returns. */
    void   (*late)(struct file_reading *r);
    /* Where there is no io_uring: */
    struct offload_pool *pool;
    ssize_t            (*call)(int fd, void *at, size_t n, off_t offset); /* NULL: pread */
    /* file.c's: */
    struct offload_job    job;
    struct file_ring_read ring;
    struct fiber         *fiber; /* that waits; NULL: nobody does any more */
    enum err              err;
    bool                  answered; /* by the ring */
    bool                  over;     /* err, or all that there is */
};

/* Waits, and cannot be cancelled: what it reads into would have to wait all the same. */
enum err file_read_until(struct file_reading *r, uint64_t deadline_us);

/* A new file without a name in a folder, to be read and written by us alone; what is in it is gone
 * when it is closed, or when the process ends.  Waits. */
enum err file_temporary(const char *folder, int *fd);
/* All n bytes at an offset of an open file; *full (may be NULL): it failed because no space is
 * left.  Waits. */
enum err file_write_at(int fd, const void *at, size_t n, uint64_t offset, bool *full);
/* Waits: to free what a large file took may keep the disk busy. */
void file_close(int fd);

#endif
