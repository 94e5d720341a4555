/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/state.h - what must outlive the process: accounts, certificates, the local authority.
 * Private to the room.
 *
 * A folder of small files that only their owner can read.  A file is never half there: it is
 * written beside, brought to the disk, and renamed into its place.  Most end in a line with a hash
 * of what stands before, so that what a disk has spoiled is not taken for good.
 *
 *     STATE/acme/accounts/NAME.pem       the account's key
 *     STATE/acme/accounts/NAME.url       its URL
 *     STATE/acme/certificates/AUTHORITY/NAME.pem   key and chain
 *     STATE/local/ca.pem, ca.key         the local authority: certificate and key, without such a
 *                                        line, as others read them
 *
 * All of these wait, on a fiber, for a thread of the pool.
 */
#ifndef ACME_STATE_H
#define ACME_STATE_H

#include "base/err.h"
#include "base/text.h"

enum { ACME_PATH_MAX = 512, ACME_FILE_MAX = 256 * 1024 };

/* "STATE/FOLDER/NAME.SUFFIX" into out; a star of a wildcard becomes `_`.  False: too long, or the
 * name is not one for a file. */
bool acme_state_path(struct slice state, const char *folder, struct slice name, const char *suffix,
                     char out[ACME_PATH_MAX]);
/* The whole file; ERR_NOT_FOUND: there is none. */
enum err acme_state_read(const char *path, struct text *out);
/* Makes folders that are missing. */
enum err acme_state_write(const char *path, struct slice content);
/* With that line: added, or checked and taken off (ERR_MALFORMED: missing or wrong). */
enum err acme_state_write_sealed(const char *path, struct slice content);
enum err acme_state_read_sealed(const char *path, struct text *out);

#endif
