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

struct text_body {
    struct body base;
    struct text text;
    bool        given;
};

static enum err
text_body_next(struct body *b, struct slice *chunk)
{
    struct text_body *self = container_of(b, struct text_body, base);

    if (self->given || self->text.n == 0)
        return ERR_END;
    self->given = b->ended = true;
    b->ready = false;
    *chunk = text_slice(&self->text);
    return OK;
}

static void
text_body_close(struct body *b)
{
    text_free(&container_of(b, struct text_body, base)->text);
}

static const struct body_ops text_body_ops = {.next = text_body_next, .close = text_body_close};

struct body *
body_from_text(struct arena *arena, struct text *t)
{
    struct text_body *self = arena_new(arena, struct text_body);

    if (!self) {
        text_free(t);
        return NULL;
    }
    *self = (struct text_body){
        .base = {.ops = &text_body_ops, .length = (int64_t) t->n, .ready = t->n > 0}, .text = *t};
    *t = (struct text){0};
    return &self->base;
}

enum err
body_read(struct body *b, size_t max_bytes, struct text *out)
{
    struct slice chunk;
    enum err e;

    while ((e = body_next(b, &chunk)) == OK) {
        if (chunk.n > max_bytes - out->n)
            return ERR_LIMIT;
        text_put(out, chunk);
        if (out->full)
            return ERR_NO_MEMORY;
    }
    return e == ERR_END ? OK : e;
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
