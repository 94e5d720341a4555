/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/address_set.c - see address_set.h. */
#include "middleware/address_set.h"

#include "base/check.h"

#include <stdlib.h>

typedef unsigned __int128 u128;

enum { MAPPED_BITS = 96 };

static u128
load128(const uint8_t bytes[16])
{
    u128 v = 0;

    for (size_t i = 0; i < 16; i++)
        v = v << 8 | bytes[i];
    return v;
}

static bool
is_mapped(u128 v)
{
    return v >> 32 == 0xFFFF;
}

/* All ones in the lowest n bits, n up to 128. */
static u128
low_ones(unsigned n)
{
    return n == 128 ? ~(u128) 0 : ((u128) 1 << n) - 1;
}

static int
compare4(const void *a, const void *b)
{
    const struct range4 *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static int
compare6(const void *a, const void *b)
{
    const struct range6 *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

/* How many are left of a sorted table when ranges that overlap or touch are one. */
static size_t
join4(struct range4 *r, size_t n)
{
    size_t kept = 0;

    for (size_t i = 1; i < n; i++) {
        if (r[i].first <= r[kept].last || r[i].first == r[kept].last + 1) {
            if (r[i].last > r[kept].last)
                r[kept].last = r[i].last;
        } else {
            r[++kept] = r[i];
        }
    }
    return n ? kept + 1 : 0;
}

static size_t
join6(struct range6 *r, size_t n)
{
    size_t kept = 0;

    for (size_t i = 1; i < n; i++) {
        if (r[i].first <= r[kept].last || r[i].first == r[kept].last + 1) {
            if (r[i].last > r[kept].last)
                r[kept].last = r[i].last;
        } else {
            r[++kept] = r[i];
        }
    }
    return n ? kept + 1 : 0;
}

static void
add(struct address_set *set, const struct network *n)
{
    u128 first, last;

    if (n->bits == NETWORK_UNIX) {
        set->unix_peers = true;
        return;
    }
    CHECK(n->bits <= 128);
    last = low_ones(128u - n->bits);
    first = load128(n->bytes) & ~last;
    last |= first;
    if (n->bits >= MAPPED_BITS && is_mapped(first))
        set->v4[set->n4++] = (struct range4){(uint32_t) first, (uint32_t) last};
    else
        set->v6[set->n6++] = (struct range6){first, last};
}

bool
address_set_compile(struct address_set *set, const struct network *networks, size_t n,
                    struct arena *arena)
{
    *set = (struct address_set){0};
    if (n == 0)
        return true;
    set->v4 = arena_calloc(arena, n, sizeof *set->v4);
    set->v6 = arena_calloc(arena, n, sizeof *set->v6);
    if (!set->v4 || !set->v6)
        return false;
    for (size_t i = 0; i < n; i++)
        add(set, &networks[i]);
    qsort(set->v4, set->n4, sizeof *set->v4, compare4);
    qsort(set->v6, set->n6, sizeof *set->v6, compare6);
    set->n4 = join4(set->v4, set->n4);
    set->n6 = join6(set->v6, set->n6);
    return true;
}

/* The only candidate is the last range that starts at or before the address. */
static bool
has4(const struct address_set *set, uint32_t a)
{
    size_t low = 0, high = set->n4;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->v4[middle].first <= a)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && a <= set->v4[low - 1].last;
}

static bool
has6(const struct address_set *set, u128 a)
{
    size_t low = 0, high = set->n6;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->v6[middle].first <= a)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && a <= set->v6[low - 1].last;
}

bool
address_set_has(const struct address_set *set, const union address *a)
{
    u128 v6;

    if (a->any.sa_family == AF_UNIX)
        return set->unix_peers;
    if (a->any.sa_family == AF_INET)
        return has4(set, ntohl(a->v4.sin_addr.s_addr));
    if (a->any.sa_family != AF_INET6)
        return false;
    v6 = load128(a->v6.sin6_addr.s6_addr);
    return is_mapped(v6) ? has4(set, (uint32_t) v6) : has6(set, v6);
}
