/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/coded_gather.c - a small body in one piece, before a coder is asked for. */
#include "base/check.h"
#include "middleware/compress/coded.h"
#include "runtime/loop.h"

struct gathered {
    struct body  body;
    struct body *inner;
    char        *buffer;
    size_t       n, room;
    unsigned     size; /* BUFFER_MEDIUM, ... */
    bool         given;
    enum err     end; /* what came after the bytes */
};

static struct gathered *
gathered_of(struct body *b)
{
    return container_of(b, struct gathered, body);
}

static enum err
gathered_next(struct body *b, struct slice *chunk)
{
    struct gathered *g = gathered_of(b);

    if (g->given || g->n == 0)
        return g->end;
    *chunk = slice_of(g->buffer, g->n);
    g->given = true;
    b->ended = g->end == ERR_END;
    return OK;
}

void
coded_gathered_forget(struct body *gathered)
{
    struct gathered *g = gathered_of(gathered);

    g->n = 0;
    if (g->buffer)
        buffer_give(g->size, take(&g->buffer));
}

static void
gathered_close(struct body *b)
{
    coded_gathered_forget(b);
    body_close(take(&gathered_of(b)->inner));
}

static const struct body_ops gathered_ops = {.next = gathered_next, .close = gathered_close};

/* Until the end, which a body of known length reaches before the buffer is full. */
static void
pull_all(struct gathered *g)
{
    struct slice chunk;

    while ((g->end = body_next(g->inner, &chunk)) == OK) {
        if (chunk.n > g->room - g->n) {
            g->end = ERR_MALFORMED;
            return;
        }
        memcpy(g->buffer + g->n, chunk.at, chunk.n);
        g->n += chunk.n;
        if (g->inner->ended) {
            g->end = ERR_END;
            return;
        }
    }
}

struct body *
coded_gather(struct arena *arena, struct body *inner, size_t max_bytes)
{
    struct gathered *g;

    CHECK(max_bytes <= BUFFER_LARGE_BYTES);
    if (inner->length < 0 || (uint64_t) inner->length > max_bytes)
        return inner;
    g = arena_new(arena, struct gathered);
    if (!g)
        return inner;
    g->size = inner->length <= (int64_t) BUFFER_MEDIUM_BYTES ? BUFFER_MEDIUM : BUFFER_LARGE;
    g->room = buffer_bytes(g->size);
    g->buffer = buffer_take(g->size);
    if (!g->buffer)
        return inner;
    g->inner = inner;
    pull_all(g);
    g->body = (struct body){
        .ops = &gathered_ops,
        .length = inner->length,
        .ready = true,
        .trailers = inner->trailers,
    };
    return &g->body;
}
