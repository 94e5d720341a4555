/* SPDX-License-Identifier: Apache-2.0 */
/* base/arena.c - blocks of an arena come from malloc and double up to 64 KiB. */
#include "base/arena.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *next;
    size_t              n;
};

enum { HEADER = 16, BLOCK_MAX = 64 * 1024 };

_Static_assert(sizeof(struct arena_block) <= HEADER, "a block's header fits its alignment");

void
arena_init(struct arena *a, void *first, size_t first_n, size_t max_bytes)
{
    *a = (struct arena){
        .at = first,
        .end = first ? (char *) first + first_n : NULL,
        .first = first,
        .first_n = first_n,
        .max_bytes = max_bytes,
        .block_bytes = ARENA_DEFAULT_BLOCK,
    };
}

static void
free_blocks(struct arena *a)
{
    struct arena_block *b = take(&a->blocks);

    while (b) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    a->used = 0;
}

void
arena_reset(struct arena *a)
{
    free_blocks(a);
    a->at = a->first;
    a->end = a->first ? a->first + a->first_n : NULL;
    a->block_bytes = ARENA_DEFAULT_BLOCK;
}

void
arena_free(struct arena *a)
{
    arena_reset(a);
}

void
arena_adopt(struct arena *a, struct arena *from)
{
    struct arena_block **last = &from->blocks;

    CHECK(from->first == NULL);
    while (*last)
        last = &(*last)->next;
    *last = a->blocks;
    a->blocks = take(&from->blocks);
    a->used += from->used;
    from->used = 0;
    from->at = from->end = NULL;
}

void *
arena_alloc_slow(struct arena *a, size_t n)
{
    size_t rounded = (n + 15) & ~(size_t) 15;
    size_t want = a->block_bytes;
    struct arena_block *b;

    if (rounded < n || rounded > SIZE_MAX / 2 - HEADER)
        return NULL;
    if (want < rounded + HEADER)
        want = rounded + HEADER;
    if (want > a->max_bytes - a->used) {
        want = rounded + HEADER;
        if (a->used > a->max_bytes || want > a->max_bytes - a->used)
            return NULL;
    }
    b = malloc(want);
    if (!b)
        return NULL;
    *b = (struct arena_block){a->blocks, want};
    a->blocks = b;
    a->used += want;
    if (a->block_bytes < BLOCK_MAX)
        a->block_bytes *= 2;
    a->at = (char *) b + HEADER + rounded;
    a->end = (char *) b + want;
    return (char *) b + HEADER;
}

void *
arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t n;
    void *p;

    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    p = arena_alloc(a, n);
    if (p)
        memset(p, 0, n);
    return p;
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

    if (!p)
        return (struct slice){NULL, 0};
    if (s.n)
        memcpy(p, s.at, s.n);
    p[s.n] = '\0';
    return slice_of(p, s.n);
}

struct slice
arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    int n;
    char *p;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return (struct slice){NULL, 0};
    p = arena_alloc(a, (size_t) n + 1);
    if (!p)
        return (struct slice){NULL, 0};
    vsnprintf(p, (size_t) n + 1, format, args);
    return slice_of(p, (size_t) n);
}

struct slice
arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    struct slice s;

    va_start(args, format);
    s = arena_vprintf(a, format, args);
    va_end(args);
    return s;
}
