/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/body.h - bodies are pulled.
 *
 * A body is a source with one operation, "the next chunk, please".  A middleware that changes a
 * body wraps the source in another one: it keeps the inner body, pulls from it in its own next(),
 * and closes it in its own close().  Backpressure needs no code: who does not pull does not
 * receive.
 *
 * Memory   a chunk is lent until the next call of next() or close() on the same body; of a body
 *          that is `lasting`, until close().
 * Fibers   next() may wait; one fiber at a time pulls a body.
 */
#ifndef EXCHANGE_BODY_H
#define EXCHANGE_BODY_H

#include "base/err.h"
#include "base/text.h"
#include "http/message.h"

#include <stdatomic.h>

struct body;

#define BODY_LENGTH_UNKNOWN (-1)

struct body_ops {
    /* OK: *chunk has at least one byte.  ERR_END: the body is complete (trailers are there now).
     * Any other error: it broke off, and stays so. */
    enum err (*next)(struct body *b, struct slice *chunk);
    /* Called exactly once, after which the body is gone.  What was not pulled is discarded. */
    void (*close)(struct body *b);
};

struct body {
    const struct body_ops *ops;
    int64_t                length;   /* of the whole body, known at its start; or
                                      * BODY_LENGTH_UNKNOWN */
    struct fields         *trailers; /* after ERR_END; NULL when this source has none */
    bool                   ready;    /* the next next() will not wait: its bytes are in memory */
    bool                   ended;    /* the chunk given last was the last one; trailers are there.
                                      * A source that does not know leaves it false. */
    bool                   lasting;  /* the chunk that next() gives next, and those given before,
                                      * stay as they are: whoever sends may gather some */
    atomic_bool          *given;    /* not NULL: pages of these chunks may be given to the kernel
                                     * (sock_give), after this was set: what lies in them stays
                                     * even after close() */
};

static inline enum err
body_next(struct body *b, struct slice *chunk)
{
    return b->ops->next(b, chunk);
}

/* b may be NULL: no body. */
static inline void
body_close(struct body *b)
{
    if (b)
        b->ops->close(b);
}

/* A body of bytes that live at least as long as the exchange; NULL when out of memory. */
struct body *body_from_slice(struct arena *arena, struct slice bytes);
/* A body of a text, which it takes over and frees (also when out of memory: NULL). */
struct body *body_from_text(struct arena *arena, struct text *t);
/* The whole of a body into out: OK at its end; ERR_LIMIT: it is longer than max_bytes; or why it
 * broke off.  Waits. */
enum err body_read(struct body *b, size_t max_bytes, struct text *out);
/* Pulls and drops up to max_bytes.  OK: the end was reached; ERR_LIMIT: it is longer. */
enum err body_discard(struct body *b, uint64_t max_bytes);

#endif
