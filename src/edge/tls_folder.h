/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_folder.h - a folder of certificates that is looked after while the proxy runs.  Private
 * to the room.
 *
 * Threads  the control thread only; workers see stores that are whole (tls_server_swap()).
 */
#ifndef EDGE_TLS_FOLDER_H
#define EDGE_TLS_FOLDER_H

#include "config/config.h"
#include "tls/tls.h"

/* Hears of what is wrong with a file; the rest of the folder goes on. */
typedef void tls_folder_say_f(void *arg, const char *sentence);

struct tls_folder_options {
    const char                 *path;    /* copied; NULL: there is none, only what is fixed */
    const struct config_source *source;  /* reads the files; outlives the folder */
    struct slice                preset;  /* whose certificate is the default; may be absent */
    struct tls_identity       **fixed;   /* certificates that are not in the folder: first; taken
                                          * references of */
    size_t                      n_fixed;
};

struct tls_folder;

/* Reads the folder for the first time.  NULL when out of memory. */
struct tls_folder *tls_folder_new(const struct tls_folder_options *o, tls_folder_say_f *say,
                                  void *arg);
/* All identities, in a new store that the caller releases; NULL when out of memory. */
struct tls_store *tls_folder_store(const struct tls_folder *f);
/* The file that an identity came from, of the folder or the i-th of those that are fixed (NULL, and
 * *fixed is i); NULL and SIZE_MAX: neither. */
const char *tls_folder_file(const struct tls_folder *f, const struct tls_identity *id,
                            size_t *fixed);
/* From now on changes go to the server, which outlives the folder.  Without a loop (a check on the
 * command line) nothing happens.  False: it cannot be watched, because it could not be read. */
bool tls_folder_watch(struct tls_folder *f, struct tls_server *server);
void tls_folder_free(struct tls_folder *f);

#endif
