/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/files.h - files that the supervisor opens for the worker.
 *
 * The supervisor may have greater rights than the worker: once that serves, only files that were
 * read before, or that lie below the folder of the configuration, are opened for it.  What the
 * configuration in force was made of is kept, so that the successor of a worker that died starts
 * with it, whatever the disk says by then.
 */
#ifndef MAIN_FILES_H
#define MAIN_FILES_H

#include <stdbool.h>

/* Path of the configuration file, whose folder is open to the worker; may be NULL. */
void files_allow_below(const char *path);
/* A descriptor for reading, or -errno. */
int files_open(const char *path);
/* fds: the names of what is in a folder, for reading, each ending in a zero byte; and an inotify
 * descriptor that tells of changes there.  0 or an errno.  Folders that are opened before
 * files_restrict() stay open, and what is in them may be read then as well: it is expected to
 * change, so it is not kept. */
int files_open_folder(const char *path, int fds[2]);
/* All that was opened since the last call is the configuration in force. */
void files_keep(void);
/* The next worker gets the kept texts. */
void files_use_kept(void);
/* From now on only what is allowed; the disk is read again. */
void files_restrict(void);

#endif
