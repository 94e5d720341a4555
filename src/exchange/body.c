/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/body.c - the simplest source, bytes that are there already, and the simplest sink. */
#include "exchange/body.h"

#include "base/check.h"

struct slice_body {
    struct body  base;
    struct slice left;
};

static enum err
slice_body_next(struct body *b, struct slice *chunk)
{
    struct slice_body *self = container_of(b, struct slice_body, base);

    if (self->left.n == 0)
        return ERR_END;
    *chunk = self->left;
    self->left.n = 0;
    b->ready = false;
    b->ended = true;
    return OK;
}

/* Its memory is the arena's. */
static void
slice_body_close(struct body *b)
{
    container_of(b, struct slice_body, base)->left = (struct slice){NULL, 0};
}

static const struct body_ops slice_body_ops = {
    .next = slice_body_next,
    .close = slice_body_close,
};

struct body *
body_from_slice(struct arena *arena, struct slice bytes)
{
    struct slice_body *self = arena_new(arena, struct slice_body);

    if (!self)
        return NULL;
    *self = (struct slice_body){
        {.ops = &slice_body_ops, .length = (int64_t) bytes.n, .ready = bytes.n > 0}, bytes};
    return &self->base;
}

enum err
body_discard(struct body *b, uint64_t max_bytes)
{
    struct slice chunk;
    enum err e;

    while ((e = body_next(b, &chunk)) == OK) {
        if (chunk.n > max_bytes)
            return ERR_LIMIT;
        max_bytes -= chunk.n;
    }
    return e == ERR_END ? OK : e;
}
