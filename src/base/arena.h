/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/arena.h - memory that is released all at once.
 *
 * An arena hands out pieces of blocks and frees none until arena_reset() or arena_free().  It is
 * bounded: past max_bytes an allocation returns NULL, so that a peer cannot make it grow for ever.
 * One thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

#include <stdarg.h>

struct arena_block;

struct arena {
    char               *at;        /* next free byte of the newest block */
    char               *end;
    struct arena_block *blocks;    /* malloc'd, newest first */
    char               *first;     /* the caller's own first block, may be NULL */
    size_t              first_n;
    size_t              used;      /* bytes of malloc'd blocks */
    size_t              max_bytes;
    size_t              block_bytes; /* size of the next block; doubles up to 64 KiB */
};

#define ARENA_DEFAULT_BLOCK 1024u

/* first may be NULL; it stays the caller's.  It must be aligned for any type. */
void arena_init(struct arena *a, void *first, size_t first_n, size_t max_bytes);
/* All pieces are gone; the first block may be used again. */
void arena_reset(struct arena *a);
/* As reset.  The arena can be initialised again. */
void arena_free(struct arena *a);

/* Takes over every block of from, which becomes empty (its first block must be NULL). */
void arena_adopt(struct arena *a, struct arena *from);

void *arena_alloc_slow(struct arena *a, size_t n);

/* n bytes aligned for any type, not cleared; NULL when the bound or memory is used up. */
static inline void *
arena_alloc(struct arena *a, size_t n)
{
    size_t rounded = (n + 15) & ~(size_t) 15;

    if (rounded >= n && rounded <= (size_t) (a->end - a->at)) {
        void *p = a->at;

        a->at += rounded;
        return p;
    }
    return arena_alloc_slow(a, n);
}

/* As arena_alloc, cleared; also NULL when count * size overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size);
/* A copy, ending in a zero byte that n does not count; at is NULL when out of memory. */
struct slice arena_copy(struct arena *a, struct slice s);
/* at is NULL when out of memory. */
struct slice arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct slice arena_vprintf(struct arena *a, const char *format, va_list args);

#define arena_new(a, type) ((type *) arena_calloc((a), 1, sizeof(type)))

#endif
