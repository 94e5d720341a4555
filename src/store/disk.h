/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk.h - the disk behind a store: a tier (tier.h) over segments (segment.h) in a folder.
 *
 *     disk.c        opening, closing, and what the store asks
 *     disk_index.c  where on the disk what lies: 16 bytes an object, in the store's own memory
 *     disk_read.c   bringing an object back
 *     disk_write.c  the thread that writes, and makes room
 *     disk_segments.c  the files
 *     disk_log.c    purges and what is forgotten, so that they hold after a restart
 *     disk_start.c  what is found in the folder
 *
 * All that was filled is written as soon as it is complete, in the order in which it was.  Waiting
 * until it is driven out of memory would write less, but lose what is asked for most when the
 * process ends; writing only what is asked for twice would keep nothing of what returns more seldom
 * than memory can wait, and that is what a disk is for.  The disk sees long sequential writes only,
 * and each object once.  The oldest segment goes when there is no more room; what was asked for
 * since it was written moves to the newest.
 *
 * Trouble   a slow or a full disk costs hits, nothing else: what cannot be queued is not written,
 *           what cannot be read, or not soon, is fetched from where it came.
 * Threads   one that writes, for each folder, and a pool for reads and the log.  disk.lock is taken
 *           last: under it nothing else is, and nothing is waited for.
 * Memory    the index lies in the store's blocks; beyond the budget there are a buffer of 1 MiB,
 *           about 100 bytes a segment, and what reads under way have lent.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "base/text.h"
#include "runtime/file.h"
#include "store/object.h"
#include "store/segment.h"

#include <sys/types.h>

enum {
    DISK_SEGMENTS_MAX = 4096,
    DISK_QUEUE = 4096,   /* objects that wait to be written */
    DISK_QUEUE_SHARE = 8, /* and of the memory, several hold at most one part in so many */
    DISK_BATCH = 512,    /* objects in one buffer */
    DISK_BUFFER = 1024 * 1024,
    DISK_EARLY = 4096,
    DISK_READS = 256,    /* at once; who comes beyond has to fetch it himself */
    DISK_PATH = 4096,
};

/* ------------------------------------------------------------------ the index */

enum { DISK_SOFT = 1, DISK_HIT = 2 };

struct disk_entry {
    uint32_t tag;         /* of the key */
    uint16_t slot;        /* of the segment */
    uint16_t ordinal;     /* in it */
    uint32_t at;          /* in units */
    uint32_t units : 30;  /* 0: free */
    uint32_t flags : 2;
};

_Static_assert(sizeof(struct disk_entry) == 16, "small");

struct disk_table {
    struct disk_entry *entries; /* a power of two; open addressing */
    uint32_t           room, count;
};

struct disk_segment {
    struct list link;      /* the oldest in front */
    uint64_t    number, process;
    uint64_t    measured;  /* the least epoch of its records */
    uint64_t    newest;    /* the greatest: rules of the next process have to be newer */
    uint64_t    bytes;     /* of the file */
    int         fd;
    uint32_t    records;
    uint32_t    refs;      /* of readers, and one while it is in the list */
    uint16_t    slot;
    bool        sealed;
};

/* Where the system is called; tests put something else there. */
struct disk_calls {
    ssize_t (*read)(int fd, void *at, size_t n, off_t offset);
    ssize_t (*write)(int fd, const void *at, size_t n, off_t offset);
};
extern struct disk_calls disk_calls;

/* Threads for what may hang with a disk. */
extern struct offload_pool disk_pool;

enum disk_state {
    DISK_OFF,
    DISK_OPENING, /* the folder is not ours yet: what is purged meanwhile, its log will not know */
    DISK_LOADING, /* the log is there, the index is not */
    DISK_READY,
};

struct disk_log {
    pthread_mutex_t lock; /* of the file; taken before disk.lock */
    int             fd;   /* -1: none */
    uint64_t        number, bytes_at_start;
    _Atomic uint64_t bytes;
    bool            unsafe; /* something was written since it was last made safe */
};

struct disk {
    struct tier     tier;
    struct store   *store;
    struct disk    *before;   /* one whose thread did not end: nobody may free it */
    pthread_t       thread;
    bool            running;  /* the thread; control thread only */
    char            folder[DISK_PATH];
    void          (*tell)(bool trouble, const char *sentence);
    uint64_t        process;
    int             folder_fd, lock_fd; /* the writer's */
    struct disk_log log;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t  wake, changed;
    enum disk_state state;
    bool            settled;  /* it is ready, or will not be so soon */
    bool            missed;   /* something was purged while it was opening */
    bool            reading;  /* the rules of the log are coming back: none may be forgotten */
    bool            ending;
    _Atomic uint64_t max_bytes;
    _Atomic uint64_t ill_until_us;
    struct disk_table tables[STORE_SHARDS];
    struct disk_segment *slots[DISK_SEGMENTS_MAX];
    struct list     segments;
    uint32_t        segments_n;
    uint64_t        segments_bytes;
    uint64_t        next_number;
    struct disk_segment *open; /* written to; in the list as well */
    uint64_t        objects;

    struct store_object *queue[DISK_QUEUE];
    uint32_t        queue_at, queue_n;
    uint64_t        queue_bytes;
    struct store_key writing[DISK_BATCH]; /* taken from the queue, not in the index yet */
    uint32_t        writing_n;

    struct text     pending; /* of the log */
    bool            pending_lost;
    uint64_t        noted, committed; /* entries so far, and those that are in the file */
    struct {
        struct store_key key;
        bool             soft;
    } early[DISK_EARLY]; /* forgotten while the index is not complete */
    uint32_t        early_n;
    bool            early_lost; /* more than that */

    uint32_t        reads; /* under way */
    uint64_t        read_us;       /* so long is waited for one */
    uint64_t        slow_until_us; /* one has taken longer: none is begun */
    _Atomic uint64_t hits, written, dropped, broken, moved, errors;
};

/* ------------------------------------------------------------------ disk.c */

/* The tier of s as options say from now on: none, one, or another.  Control thread; may wait for a
 * second. */
void disk_apply(struct store *s, const struct store_options *options);
/* Ends the thread; nothing is found any more.  No fiber reads any more when it is freed. */
void disk_close(struct store *s);
void disk_free(struct store *s);
void disk_status(const struct store *s, struct store_status *out);
/* To the operator. */
void disk_tell(struct disk *d, bool trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum err disk_read_all(int fd, void *at, size_t n, uint64_t offset);
enum err disk_write_all(int fd, const void *at, size_t n, uint64_t offset);

static inline struct disk *
disk_of(struct tier *t)
{
    return container_of(t, struct disk, tier);
}

/* ------------------------------------------------------------------ disk_index.c */

/* With disk.lock.  NULL: not there. */
struct disk_entry *disk_index_find(struct disk *d, struct store_key key);
/* With disk.lock; in place of another one of that key.  False: no room was reserved. */
bool disk_index_put(struct disk *d, struct store_key key, const struct disk_entry *e);
/* With disk.lock; e is one that disk_index_find() or disk_index_each() gave. */
void disk_index_remove(struct disk *d, unsigned shard, struct disk_entry *e);
/* No lock.  Room for one more of that key; false: no memory. */
bool disk_index_reserve(struct disk *d, struct store_key key);
/* With store.memory: a table that lies from that unit on upwards moves down, if there is room. */
void disk_index_settle(struct disk *d, unsigned shard, uint32_t open);
/* No lock: all tables are given back. */
void disk_index_clear(struct disk *d);
/* With disk.lock: see() for all entries of a shard, from the last to the first; true: it is to be
 * removed. */
void disk_index_each(struct disk *d, unsigned shard,
                     bool (*see)(struct disk *d, struct disk_entry *e, void *arg), void *arg);

/* ------------------------------------------------------------------ disk_segments.c */

/* With disk.lock.  NULL: no memory, or too many. */
struct disk_segment *disk_segment_add(struct disk *d, uint64_t number, int fd);
/* No lock: a reference less. */
void disk_segment_leave(struct disk *d, struct disk_segment *g);
/* No lock; the writer.  Its file goes, and all that is found in it. */
void disk_segment_drop(struct disk *d, struct disk_segment *g);
void disk_segment_path(uint64_t number, char out[64]);
/* Writes the footer of one whose entries are these. */
enum err disk_segment_seal(struct disk *d, struct disk_segment *g,
                           const struct segment_entry *entries, size_t n);

/* ------------------------------------------------------------------ the others */

/* The tier's fetch. */
bool disk_fetch(struct tier *t, struct store_key key, struct store_object *o);
/* Writes until disk.ending. */
void disk_write(struct disk *d);
/* What is in the queue is let go. */
void disk_queue_clear(struct disk *d);

/* With disk.lock: an entry that is to be written. */
void disk_log_put(struct disk *d, struct segment_log_entry *e, struct slice bytes);
/* No lock.  Writes what is pending. */
void disk_log_flush(struct disk *d);
/* The writer: a new file beside those that were found, the last of which had that number. */
bool disk_log_begin(struct disk *d, uint64_t last);
/* The writer: a new file with all that still counts, in place of the one before. */
bool disk_log_rotate(struct disk *d);
void disk_log_path(uint64_t number, char out[64]);
/* The writer, now and then. */
void disk_log_tend(struct disk *d);
/* The writer: in peace. */
void disk_log_end(struct disk *d);

/* The folder: locked, its secret taken on, its segments found.  ERR_IN_USE: another process has it.
 * The writer's thread. */
enum err disk_start(struct disk *d);
/* All that is found is let go, files and all. */
void disk_clear(struct disk *d);

#endif
