/* SPDX-License-Identifier: Apache-2.0 */
/* store/blocks.c - buddies in bitmaps, lists of those that may be lent. */
#include "store/blocks.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* 256 GiB: sums of unit numbers never overflow. */
#define UNITS_LIMIT (UINT32_C(1) << 31)

static inline uint32_t
size_of(unsigned order)
{
    return (uint32_t) 1 << order;
}

/* The smallest order that holds so many units. */
static inline unsigned
order_for(uint32_t units)
{
    return units <= 1 ? 0 : 32 - (unsigned) __builtin_clz(units - 1);
}

static inline bool
is_free(const struct blocks *b, unsigned order, uint32_t unit)
{
    uint32_t i = unit >> order;

    return b->is_free[order][i / 64] >> (i % 64) & 1;
}

static inline void
flip(struct blocks *b, unsigned order, uint32_t unit)
{
    uint32_t i = unit >> order;

    b->is_free[order][i / 64] ^= UINT64_C(1) << (i % 64);
}

static void
list_block(struct blocks *b, unsigned order, uint32_t unit)
{
    list_push(&b->free[order], blocks_at(b, unit));
    b->listed |= (uint32_t) 1 << order;
}

static void
unlist_block(struct blocks *b, unsigned order, uint32_t unit)
{
    list_remove(blocks_at(b, unit));
    if (list_is_empty(&b->free[order]))
        b->listed &= ~((uint32_t) 1 << order);
}

/* ------------------------------------------------------------------ giving back */

/* A free block finds its place: listed below the bound, back to the kernel above it. */
static void
settle(struct blocks *b, unsigned order, uint32_t unit)
{
    size_t bytes = (size_t) size_of(order) * BLOCKS_UNIT;

    if (unit + size_of(order) <= b->open) {
        list_block(b, order, unit);
    } else if (unit >= b->open) {
        if (bytes >= PAGE)
            madvise(blocks_at(b, unit), bytes, MADV_DONTNEED);
    } else {
        flip(b, order, unit);
        for (uint32_t half = 0; half < 2; half++) {
            flip(b, order - 1, unit + half * size_of(order - 1));
            settle(b, order - 1, unit + half * size_of(order - 1));
        }
    }
}

/* Falls together with its buddy as long as that is free and on the same side of the bound. */
static void
give_block(struct blocks *b, unsigned order, uint32_t unit)
{
    CHECK(!is_free(b, order, unit));
    while (order + 1 < BLOCKS_ORDERS) {
        uint32_t buddy = unit ^ size_of(order);

        if (buddy >= b->fresh || !is_free(b, order, buddy) ||
            (buddy >= b->open) != (unit >= b->open))
            break;
        if (buddy < b->open)
            unlist_block(b, order, buddy);
        flip(b, order, buddy);
        unit &= ~size_of(order);
        order++;
    }
    flip(b, order, unit);
    settle(b, order, unit);
}

/* Cut into blocks as large as their places allow. */
static void
give_range(struct blocks *b, uint32_t unit, uint32_t end)
{
    while (unit < end) {
        unsigned order = unit ? (unsigned) __builtin_ctz(unit) : BLOCKS_ORDERS - 1;

        if (order > BLOCKS_ORDERS - 1)
            order = BLOCKS_ORDERS - 1;
        while (order > 0 && size_of(order) > end - unit)
            order--;
        give_block(b, order, unit);
        unit += size_of(order);
    }
}

void
blocks_give(struct blocks *b, void *at, uint32_t units)
{
    uint32_t unit = blocks_unit_of(b, at);

    CHECK(units <= b->used && unit + units <= b->fresh);
    b->used -= units;
    give_range(b, unit, unit + units);
}

void
blocks_renew(struct blocks *b, void *at, uint32_t units)
{
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), from = (uintptr_t) at;
    uintptr_t begin = (from + page - 1) & ~(page - 1);
    uintptr_t end = (from + (size_t) units * BLOCKS_UNIT) & ~(page - 1);

    CHECK(blocks_unit_of(b, at) + units <= b->fresh);
    if (begin < end)
        CHECK(madvise((void *) begin, end - begin, MADV_DONTNEED) == 0);
}

/* ------------------------------------------------------------------ taking */

/* The next that was never touched, as large as it can be; false at the bound. */
static bool
touch_fresh(struct blocks *b)
{
    uint32_t unit = b->fresh, n = BLOCKS_RUN_MAX;

    if (unit >= b->open)
        return false;
    n -= unit & (BLOCKS_RUN_MAX - 1);
    if (n > b->open - unit)
        n = b->open - unit;
    b->fresh += n;
    give_range(b, unit, unit + n);
    return true;
}

/* Takes the first of the list for the first `units` of it; the tail goes back. */
static void *
cut(struct blocks *b, unsigned order, uint32_t units)
{
    void *at = b->free[order].next;
    uint32_t unit = blocks_unit_of(b, at);

    unlist_block(b, order, unit);
    flip(b, order, unit);
    b->used += units;
    give_range(b, unit + units, unit + size_of(order));
    return at;
}

void *
blocks_take(struct blocks *b, uint32_t units)
{
    unsigned order = order_for(units);
    uint32_t fit;

    CHECK(units > 0 && units <= BLOCKS_RUN_MAX);
    while (!(fit = b->listed >> order << order))
        if (!touch_fresh(b))
            return NULL;
    return cut(b, (unsigned) __builtin_ctz(fit), units);
}

void *
blocks_take_some(struct blocks *b, uint32_t want, uint32_t least, uint32_t *got)
{
    void *at = blocks_take(b, want);
    unsigned largest;

    *got = want;
    if (at || !b->listed)
        return at;
    largest = 31 - (unsigned) __builtin_clz(b->listed);
    *got = size_of(largest) < want ? size_of(largest) : want;
    return *got < least ? NULL : cut(b, largest, *got);
}

/* ------------------------------------------------------------------ bounds */

static inline bool
next_free(const struct blocks *b, unsigned order, uint32_t *unit, uint32_t end)
{
    for (; *unit < end; *unit += size_of(order)) {
        uint32_t i = *unit >> order;

        if (i % 64 == 0 && b->is_free[order][i / 64] == 0)
            *unit += 63 * size_of(order);
        else if (is_free(b, order, *unit))
            return true;
    }
    return false;
}

void
blocks_set_open(struct blocks *b, uint32_t open)
{
    uint32_t before = b->open, low, high;

    if (open > b->reserved)
        open = b->reserved;
    low = open < before ? open : before;
    high = open < before ? before : open;
    if (high > b->fresh)
        high = b->fresh;
    b->open = open;
    /* Smaller ones first: what a straddling one is cut into has its place already. */
    for (unsigned order = 0; order < BLOCKS_ORDERS; order++) {
        uint32_t unit = low & ~(size_of(order) - 1);

        for (; next_free(b, order, &unit, high); unit += size_of(order)) {
            bool was_listed = unit + size_of(order) <= before;

            if (was_listed ? unit + size_of(order) <= open : unit >= open)
                continue;
            if (was_listed)
                unlist_block(b, order, unit);
            settle(b, order, unit);
        }
    }
}

static bool
map_bits(struct blocks *b)
{
    size_t words = 0;
    uint64_t *at;

    for (unsigned order = 0; order < BLOCKS_ORDERS; order++)
        words += (b->reserved >> order) / 64 + 1;
    b->maps_bytes = words * sizeof(*at);
    at = mmap(NULL, b->maps_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    /* Sparse: huge pages would be mostly empty. */
    madvise(at, b->maps_bytes, MADV_NOHUGEPAGE);
    b->maps = at;
    for (unsigned order = 0; order < BLOCKS_ORDERS; order++) {
        b->is_free[order] = at;
        at += (b->reserved >> order) / 64 + 1;
    }
    return true;
}

bool
blocks_init(struct blocks *b, uint64_t reserve, uint64_t open)
{
    const uint64_t limit = (uint64_t) UNITS_LIMIT * BLOCKS_UNIT;
    void *at;

    *b = (struct blocks){0};
    if (open > limit)
        open = limit;
    if (reserve > limit)
        reserve = limit;
    /* The kernel, or a limit on addresses, may grant less. */
    do {
        if (reserve < open)
            reserve = open;
        at = mmap(NULL, reserve, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at != MAP_FAILED || reserve == open)
            break;
        reserve /= 2;
    } while (true);
    if (at == MAP_FAILED)
        return false;
    madvise(at, reserve, MADV_DONTDUMP);
    b->base = at;
    b->reserved = (uint32_t) (reserve / BLOCKS_UNIT);
    b->open = (uint32_t) (open / BLOCKS_UNIT);
    for (unsigned order = 0; order < BLOCKS_ORDERS; order++)
        list_init(&b->free[order]);
    if (map_bits(b))
        return true;
    munmap(b->base, reserve);
    return false;
}

void
blocks_exit(struct blocks *b)
{
    munmap(b->maps, b->maps_bytes);
    munmap(b->base, (size_t) b->reserved * BLOCKS_UNIT);
    *b = (struct blocks){0};
}
