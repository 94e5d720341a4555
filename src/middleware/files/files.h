/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/files.h - what the parts of `files` share; private to the folder.
 *
 *     files.c     options, and the way from a request to an answer
 *     name.c      from the path of a URL to the name of a file
 *     types.c     media types by extension
 *     beneath.c   opening without leaving the root
 *     find.c      which file a name means: index, precompressed forms
 *     cache.c     files that were opened a moment ago, kept by each worker
 *     send.c      a file as a representation, its bytes as a body
 *     listing.c   what is in a folder, as a page
 */
#ifndef MIDDLEWARE_FILES_FILES_H
#define MIDDLEWARE_FILES_FILES_H

#include "base/list.h"
#include "exchange/exchange.h"

enum {
    FILES_CODINGS = 3,               /* br, zstd, gzip */
    FILES_CONTENT_BYTES = 64 * 1024, /* files up to here are kept in memory, not as descriptors */
    FILES_OPENED_MAX = 1024,         /* kept by each worker; of them: */
    FILES_DESCRIPTORS_MAX = 128,     /* those with a descriptor */
    FILES_MEMORY_MAX = 16 << 20,     /* bytes of those in memory */
    FILES_FRESH_US = 1000 * 1000,    /* how long nobody looks again whether a file has changed */
    FILES_LISTED_MAX = 10 * 1000,    /* names on one page */
};

/* The options.  Bound once, read by every worker. */
struct files {
    struct slice       root;
    struct option_list index; /* of struct slice */
    struct slice       fallback;
    struct slice       strip_prefix;
    struct slice       cache_control;
    struct slice       charset;
    struct option_list types;         /* of struct option_pair */
    struct option_list precompressed; /* of int, into files_codings; the preferred one first */
    bool               next, listing, hidden;
    const char        *folder; /* root as it is opened */
    uint64_t           id;     /* of these options, unique in the process */
};

/* ------------------------------------------------------------------ name.c */

/* Why a path is the name of no file; NULL when it is one: then *name is in the exchange's arena,
 * ends in a zero byte, has no slash at either end and is empty for the root itself. */
const char *files_name(const struct files *f, struct exchange *x, struct slice *name);
/* Why a decoded name is refused; NULL: no path that means it is. */
const char *files_name_fault(const struct files *f, struct slice name);

/* ------------------------------------------------------------------ types.c */

struct files_type {
    struct slice type;       /* without charset */
    bool         text;       /* a charset belongs to it */
    bool         compresses; /* worth looking for precompressed forms */
};

struct files_type files_type_of(const struct files *f, struct slice name);

/* ------------------------------------------------------------------ beneath.c */

/* A folder by its path, to open others beneath it.  cached: -EAGAIN rather than a disk that must be
 * waited for.  A descriptor or -errno. */
int files_open_root(const char *path, bool cached);
/* openat2() with RESOLVE_BENEATH: links may lead anywhere below the folder, not out of it.  flags:
 * of open(); O_CLOEXEC is added.  The rest as above. */
int files_open_beneath(int folder, const char *name, int flags, bool cached);
/* The same for kernels (and sandboxes) without openat2(): no links at all, and it may block. */
int files_walk_beneath(int folder, const char *name, int flags);

/* ------------------------------------------------------------------ find.c */

/* What one version of a file differs by from every other. */
struct files_stamp {
    uint64_t inode, size;
    int64_t  modified_s, modified_ns;
};

/* An opened file, shared by the exchanges of one worker. */
struct files_opened {
    struct list        link; /* in the cache, by use */
    struct slice       key;
    uint64_t           until_us;     /* fresh until then */
    unsigned           users;
    bool               kept;         /* the cache has it */
    int                fd;           /* -1: content has it all */
    const char        *content;
    struct files_stamp stamp;
    struct slice       coding;       /* absent: the plain form */
    struct slice       etag, type;   /* values of fields; type with its charset */
    bool               varies;       /* by Accept-Encoding */
    char               modified[29]; /* Last-Modified */
    char               memory[];     /* of the slices, and the content */
};

struct files_search {
    const struct files  *files;
    struct slice         key;     /* of what is asked here, and of nothing else */
    const char          *name;    /* as files_name() makes it */
    bool                 slash;   /* the URL ends in a slash: a folder */
    uint8_t              n;       /* codings that the client takes, in its order */
    uint8_t              codings[FILES_CODINGS];
    /* what was found: */
    int                  error;   /* an errno; 0: one of the next two */
    struct files_opened *opened;
    bool                 folder;
};

struct files_coding {
    struct slice name, suffix;
};

extern const struct files_coding files_codings[FILES_CODINGS];

/* Never waits for a disk when it may not: then error is EAGAIN.  Needs no fiber. */
void files_search(struct files_search *s, bool may_wait);
/* Of a file that is open; 0 or an errno. */
int files_stamp_of(int fd, struct files_stamp *stamp);
bool files_stamp_equals(const struct files_stamp *a, const struct files_stamp *b);
/* Reads at an offset; bytes, or -errno.  -EAGAIN: not without waiting. */
ssize_t files_read(int fd, void *at, size_t n, uint64_t offset, bool may_wait);

/* ------------------------------------------------------------------ cache.c */

/* The fresh one of that key, with one more user; NULL. */
struct files_opened *files_cache_find(struct slice key);
/* What was just opened, by its only user: others will find it now. */
void files_cache_keep(struct files_opened *o);
/* One user less; the last one closes it, unless the cache has it. */
void files_opened_leave(struct files_opened *o);
/* Closes all that nobody uses: descriptors are short. */
void files_cache_drop(void);

/* What has been done since the start of the process. */
struct files_counts {
    uint64_t found;  /* requests whose file was open already */
    uint64_t opened; /* files opened */
    uint64_t waited; /* searches that a thread of the pool made: the disk was asked */
    uint64_t broken; /* answers that broke off: files that changed or could not be read */
};

enum files_count { FILES_FOUND, FILES_OPENED, FILES_WAITED, FILES_BROKEN, FILES_COUNTS };

/* One more, by this worker. */
void files_count(enum files_count what);
/* Sums up all workers.  Any thread. */
void files_counts_read(struct files_counts *out);

/* ------------------------------------------------------------------ send.c */

/* x->response has the status; the rest is said here.  Takes over one use of the file. */
void files_send(const struct files *f, struct exchange *x, struct files_opened *o);

/* ------------------------------------------------------------------ listing.c */

/* A page of what is in a folder, or an error page.  Waits. */
void files_list(const struct files *f, struct exchange *x, struct slice name);

#endif
