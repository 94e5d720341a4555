/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/file.h - files, for code on fibers.  The disk may be slow or gone: it is a thread of the
 * pool that waits for it, never a worker.
 */
#ifndef RUNTIME_FILE_H
#define RUNTIME_FILE_H

#include "base/err.h"
#include "base/text.h"

/* The whole of a regular file into out, whose bound is the limit: ERR_LIMIT when it is longer.
 * Waits. */
enum err file_read(const char *path, struct text *out);
/* Up to room bytes from an offset of an open file; *got is 0 at its end.  Waits. */
enum err file_read_at(int fd, void *at, size_t room, uint64_t offset, size_t *got);

/* A new file without a name in a folder, to be read and written by us alone; what is in it is gone
 * when it is closed, or when the process ends.  Waits. */
enum err file_temporary(const char *folder, int *fd);
/* All n bytes at an offset of an open file; *full (may be NULL): it failed because no space is
 * left.  Waits. */
enum err file_write_at(int fd, const void *at, size_t n, uint64_t offset, bool *full);
/* Waits: to free what a large file took may keep the disk busy. */
void file_close(int fd);

#endif
