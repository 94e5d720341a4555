/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer.h - bodies that are kept between two who are not equally fast.  Private to
 * buffer.
 *
 *     buffer.c           the options, and which exchanges it is for
 *     buffer_response.c  a response that is read ahead of its client
 *     buffer_request.c   a request that is taken in full before a server hears of it
 *     buffer_spool.c     where the bytes are meanwhile: memory, then a temporary file
 *     buffer_budget.c    how much of both there may be, and what became of it
 *
 * Prefix `spool_` for all of them: `buffer_` are the loop's lent buffers.
 */
#ifndef MIDDLEWARE_BUFFER_H
#define MIDDLEWARE_BUFFER_H

#include "base/counter.h"
#include "exchange/exchange.h"

#include <stdatomic.h>

/* ------------------------------------------------------------------ options */

struct spool_limits {
    uint64_t memory, file; /* bytes */
};

/* A folder of temporary files, and whether it is in trouble; one for each name in the process. */
struct spool_disk;

/* How much is in use at this moment. */
struct spool_used {
    _Atomic uint64_t memory, file;
};

struct buffer {
    bool                response, request;
    struct spool_limits each;   /* of one body */
    struct spool_limits route;  /* of all that pass this entry of a `use:` */
    struct spool_limits total;  /* of the whole process: what others keep counts too */
    struct slice        folder; /* ends in a zero byte */
    struct spool_disk  *disk;   /* that folder, shared with the other entries that name it */
    struct spool_used  *used;   /* of this entry; this and the disk are all that is written */
};

/* ------------------------------------------------------------------ budgets and counters */

/* Memory or disk for a body that has `have` already and may have `most` (UINT64_MAX: whatever the
 * route and the process allow).  False: the budget is used up, nothing was taken. */
bool spool_take_memory(const struct buffer *o, uint64_t bytes, uint64_t have, uint64_t most);
bool spool_take_file(const struct buffer *o, uint64_t bytes, uint64_t have);
/* Taken whatever the budget says, and counted: what little is needed to read a file again. */
void spool_owe_memory(const struct buffer *o, uint64_t bytes);
void spool_give_memory(const struct buffer *o, uint64_t bytes);
void spool_give_file(const struct buffer *o, uint64_t bytes);

/* What has happened since the start.  A row here is a field of struct spool_counts. */
#define SPOOL_COUNTS(X)                                                                           \
    X(responses)    /* were read ahead */                                                         \
    X(requests)     /* were taken in full, in more than one piece */                              \
    X(memory_bytes) /* went through memory */                                                     \
    X(file_bytes)   /* went through temporary files */                                            \
    X(files)        /* were opened */                                                             \
    X(passed)       /* times that there was no room, and the sender had to wait */                \
    X(file_failed)  /* times that the folder was full, slow or gone */

struct spool_counts {
#define SPOOL_COUNT(name) _Atomic uint64_t name;
    SPOOL_COUNTS(SPOOL_COUNT)
#undef SPOOL_COUNT
};

/* The calling worker's own; only it adds to them, everybody reads. */
struct spool_counts *spool_counts(void);
/* Those of all workers, and what is in use in the process now. */
void spool_read_counts(struct spool_counts *sum, struct spool_limits *used);

/* The one of that name, which lasts until everybody has given it back; NULL: out of memory.  From
 * any thread. */
struct spool_disk *spool_disk_open(struct slice folder);
void spool_disk_close(struct spool_disk *disk);
/* The folder is left alone for a while after it failed, by all workers and by each entry that names
 * it; others are not. */
bool spool_disk_rests(const struct spool_disk *disk);
/* It is from now on.  why: for the log. */
void spool_disk_failed(const struct buffer *o, const char *why);

/* ------------------------------------------------------------------ the bytes */

struct spool_block;

/*
 * Bytes on their way, first in first out: one fiber puts, another one takes.  What is in memory is
 * older than what is in the file, and that is older than what is staged for it.
 */
struct spool {
    const struct buffer *options;
    uint64_t             memory_max;
    struct spool_block  *first, *last; /* in memory */
    struct spool_block  *stage;        /* gathers small pieces for the file */
    struct spool_block  *page;         /* what was read from the file last */
    uint64_t             memory;       /* what it has taken of the budget */
    int                  fd;           /* -1: no file yet */
    uint64_t             written, read; /* in all; their places in the file are the remainders by
                                         * the largest size, so that it is used round and round */
    uint64_t             size;         /* of the file, counted in the budget */
    bool                 flushing;     /* the stage is being written */
    bool                 no_file;      /* it failed this body once */
};

/* memory_max: how much of it in memory.  Nothing is taken yet. */
void spool_init(struct spool *s, const struct buffer *options, uint64_t memory_max);
/* How many of the bytes were kept; 0: there is no room now.  May wait for the disk. */
size_t spool_put(struct spool *s, struct slice bytes);
/* The same, but never into the file. */
size_t spool_put_in_memory(struct spool *s, struct slice bytes);
/* The oldest bytes, lent until the next call.  ERR_END: there are none now; ERR_IO: they are lost.
 * May wait for the disk. */
enum err spool_take(struct spool *s, struct slice *chunk);
/* spool_take() would say ERR_END now, and nothing is being written. */
bool spool_is_empty(const struct spool *s);
/* Nothing is in the file that was not taken; what is put goes into memory again. */
bool spool_is_out_of_file(const struct spool *s);
/* spool_take() would not wait for the disk. */
bool spool_is_in_memory(const struct spool *s);
/* May wait for the disk. */
void spool_free(struct spool *s);

/* ------------------------------------------------------------------ both directions */

/* Reads the response ahead of its client from now on, if there is anything to be read ahead. */
void spool_response(const struct buffer *o, struct exchange *x);
/* Takes the request's body in full, as far as there is room.  False: it broke off, and was
 * answered.  Waits. */
bool spool_request(const struct buffer *o, struct exchange *x);
/* Trailers whose body goes before they are needed; false: out of memory. */
bool spool_copy_trailers(struct arena *arena, struct fields *to, const struct fields *from);

#endif
