/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/address_set.h - is this address in any of many networks?
 *
 * Compiled once from a list: networks become ranges, sorted and joined where they touch, one table
 * for IPv4 and one for IPv6.  A look-up is a binary search, about 17 steps over 4 bytes each for
 * 100,000 networks.
 */
#ifndef MIDDLEWARE_ADDRESS_SET_H
#define MIDDLEWARE_ADDRESS_SET_H

#include "base/address.h"
#include "base/arena.h"

struct range4 {
    uint32_t first, last;
};

struct range6 {
    unsigned __int128 first, last;
};

/* The tables live in the arena that they were compiled into.  A zeroed set is empty. */
struct address_set {
    struct range4 *v4;
    struct range6 *v6;
    size_t         n4, n6;
    bool           unix_peers;
};

/* False when out of memory. */
bool address_set_compile(struct address_set *set, const struct network *networks, size_t n,
                         struct arena *arena);
/* IPv4 inside IPv6 (::ffff:10.0.0.1) is IPv4; an IPv6 network wider than that, ::/0 say, has no
 * IPv4. */
bool address_set_has(const struct address_set *set, const union address *a);

#endif
