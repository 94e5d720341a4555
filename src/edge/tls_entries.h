/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_entries.h - the certificates that lie in a folder.  Private to the room.
 */
#ifndef EDGE_TLS_ENTRIES_H
#define EDGE_TLS_ENTRIES_H

#include "config/config.h"
#include "tls/tls.h"

/* Hears of what is wrong with a file; the rest of the folder goes on. */
typedef void tls_entries_say_f(void *arg, const char *sentence);

/* Which folder, and who reads it. */
struct tls_entries_from {
    const char                 *path;
    const struct config_source *source;
    tls_entries_say_f          *say;
    void                       *arg;
};

struct tls_entry {
    char                *path; /* of the certificate */
    uint64_t             stamp, content; /* hashes; 0: not known */
    struct tls_identity *id; /* NULL: it has never been good */
};

/* Sorted by path. */
struct tls_entries {
    struct tls_entry *at;
    size_t            n, room;
};

/* Reads the folder into `now`, which is zeroed.  Files that are as they were in `before` keep their
 * identity, and so does one that is broken.  A descriptor that tells of changes goes to *watch.
 * False, and nothing in `now`, when the folder cannot be read, which was said, or out of memory. */
bool tls_entries_read(struct tls_entries *now, const struct tls_entries *before,
                      const struct tls_entries_from *from, int *watch);
/* The same identities. */
bool tls_entries_same(const struct tls_entries *a, const struct tls_entries *b);
void tls_entries_free(struct tls_entries *list);

#endif
