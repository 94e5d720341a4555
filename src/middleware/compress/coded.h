/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/coded.h - a body that passes through a coder, either way.
 *
 * One that is `eager` never holds back what could be read already: before it waits for the inner
 * body it lets the coder flush, and gives what there is.  The others wait until a chunk is worth
 * sending.  While it waits it holds no buffer, only its coder.
 */
#ifndef MIDDLEWARE_COMPRESS_CODED_H
#define MIDDLEWARE_COMPRESS_CODED_H

#include "exchange/exchange.h"
#include "middleware/compress/coding.h"

struct coded;

struct coded_setup {
    const struct coder_ops *ops;
    struct coder_setup      coder;
    bool                    eager;
    bool                    encodes; /* or decodes */
    bool                    heavy; /* each step runs on a thread of its own while the fiber waits */
    uint64_t                max_bytes; /* of what comes out; 0: no limit */
    uint64_t                max_ratio; /* of what comes out to what went in; 0: no limit */
    struct coding_counts   *counts; /* of this worker, or NULL */
    /* Optional: the coder gave up (ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY), told once. */
    void (*failed)(void *arg, enum err e);
    void (*release)(void *arg); /* optional, when the body is closed */
    void  *arg;
};

/* NULL: out of memory, or of coders; inner is untouched then. */
struct body *coded_body(struct arena *arena, struct body *inner, const struct coded_setup *setup);
/* Makes all of it now, if it fits into one buffer, and sets the length: for small bodies, which
 * then leave together with their head.  Waits for the inner body. */
void coded_complete(struct body *b);

/*
 * Pulls all of a body of known length, up to max_bytes, into memory; waits.  So a coder is needed
 * only while there is work for it, and the next body gets the same one, whose tables are in the
 * cache still.  The body itself when there is no memory.
 */
struct body *coded_gather(struct arena *arena, struct body *inner, size_t max_bytes);
/* The bytes of one that coded_gather() made are needed no more. */
void coded_gathered_forget(struct body *gathered);

#endif
