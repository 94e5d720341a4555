/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/file_ring.h - reads from files by io_uring: what lies in the page cache comes with one
 * system call, for the rest the kernel does the waiting.  file.h is its door.
 *
 * Each loop has a ring of its own, made with the first read; its descriptor is one more that the
 * loop waits for.
 */
#ifndef RUNTIME_FILE_RING_H
#define RUNTIME_FILE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* One read.  Lies in its owner's memory until done() was called. */
struct file_ring_read {
    /* On the loop's thread, from wherever it is; maybe before file_ring_start() returns. */
    void  (*done)(struct file_ring_read *r);
    int     result; /* bytes, or -errno */
};

/* False: the kernel will not do it; nothing was begun. */
bool file_ring_start(struct file_ring_read *r, int fd, void *at, size_t n, uint64_t offset);
/* done() is called soon if it can be; if not, when the disk answers. */
void file_ring_cancel(struct file_ring_read *r);
/* With the loop.  What is under way is never heard of again: its memory has to stay. */
void file_ring_exit(struct loop *l);

/* For tests: false, and all loops that have no ring yet get none. */
void file_ring_allow(bool allowed);

#endif
