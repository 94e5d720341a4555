/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/coding.h - what a content coding is: gzip, br, zstd.
 *
 * Both directions are machines of one kind, a coder: bytes go in, bytes come out, nothing waits.
 * What a coder needs of memory it keeps from one message to the next; a worker lends coders out of
 * a pool (coder_take), so that a message costs no allocation.
 *
 * Threads   a coder works for one fiber at a time; its steps may run on any thread (offload()), but
 *           it is taken and given on the worker's own.
 */
#ifndef MIDDLEWARE_COMPRESS_CODING_H
#define MIDDLEWARE_COMPRESS_CODING_H

#include "base/err.h"
#include "base/slice.h"

struct coder_setup {
    int          level;      /* encoders only */
    int64_t      length;     /* of the plain form; -1: not known */
    struct slice dictionary; /* bytes that both sides have; lives as
                              * long as the message.  zstd only */
    const uint8_t *dictionary_id; /* its SHA-256, which goes before all others (RFC 9842 5) */
    size_t       padding;    /* bytes without meaning, up to CODER_PADDING_MAX, that hide how long
                              * the encoded form is */
};

enum { CODER_PADDING_MAX = 1024, CODER_ROOM_MIN = 64 };

enum coder_how {
    CODER_GO_ON, /* more will come */
    CODER_FLUSH, /* the other side can read all of it once this is out */
    CODER_FINISH /* that is all */
};

/* Where a step writes; `n` grows. */
struct coder_room {
    char  *at;
    size_t n, room;
};

/* One direction of one coding by one library. */
struct coder_ops {
    void *(*create)(void); /* NULL: out of memory */
    /* A new message.  False: out of memory. */
    bool (*start)(void *state, const struct coder_setup *setup);
    /*
     * Takes from *in and writes to *out, of which at least CODER_ROOM_MIN bytes are free.  OK: what
     * was asked for is done when *in is empty and *out not full, else the same has to be asked
     * again.  ERR_END: finished.  ERR_MALFORMED (decoders), ERR_NO_MEMORY.
     */
    enum err (*step)(void *state, struct slice *in, struct coder_room *out, enum coder_how how);
    void (*destroy)(void *state);
};

struct coding {
    struct slice name; /* as in Content-Encoding */
    int          fastest, best; /* levels */
    int          heavy; /* from this level on, steps belong on a thread of their own */
    const struct coder_ops *(*encoder)(int level);
    const struct coder_ops *decoder;
};

/* In the order in which they are preferred where the client has no preference. */
enum coding_id { CODING_ZSTD, CODING_BR, CODING_GZIP, CODING_COUNT };

extern const struct coding coding_zstd, coding_br, coding_gzip;
extern const struct coding *const codings[CODING_COUNT];

/* NULL: none of ours.  Any case. */
const struct coding *coding_named(struct slice name);

/* ------------------------------------------------------------------ coders of this worker */

struct coder {
    const struct coder_ops *ops;
    void                   *state;
    struct coder           *next; /* in the pool */
};

/* Started; NULL: out of memory, or this worker has too many under way. */
struct coder *coder_take(const struct coder_ops *ops, const struct coder_setup *setup);
void coder_give(struct coder *c);
/* How many are lent out by this worker. */
size_t coder_count(void);
/* All of a text at once: into fresh memory, which the caller frees; absent when it would not be
 * shorter than max_bytes, or out of memory.  Any thread, no pool. */
struct slice coder_encode_whole(const struct coding *coding, int level, struct slice plain,
                                size_t max_bytes);

/* What a worker's coders have done so far, for metrics. */
struct coding_counts {
    uint64_t messages, bytes_in, bytes_out;
};

struct coding_counts *coding_counts(enum coding_id id);

/* ------------------------------------------------------------------ shared by encoders */

/* Bytes that go out before all others: headers, padding. */
struct coder_lead {
    size_t n, sent;
    char   bytes[CODER_PADDING_MAX + 64];
};

/* True when all of them are out. */
bool coder_lead_out(struct coder_lead *lead, struct coder_room *out);

#endif
