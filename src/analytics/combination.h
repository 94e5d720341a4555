/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/combination.h - counting what comes in few combinations.
 *
 * Route, upstream, method, threat, host, status and version of a request are nearly always those of
 * some earlier one, all seven of them.  So they are counted together, in a small table, and go into
 * their lists when another combination needs the place, or when somebody looks.
 */
#ifndef ANALYTICS_COMBINATION_H
#define ANALYTICS_COMBINATION_H

#include "analytics/packed.h"
#include "analytics/top.h"

enum {
    COMBINATIONS = 64, /* a power of two */
    COMBINATION_TEXTS = TEXT_HOST + 1,
    COMBINATION_MAX = 2 * PACKED_NAME + 2 * PACKED_WORD + PACKED_HOST,
};

/* All that tells two combinations apart, but for the bytes of their texts. */
struct combination_head {
    uint8_t  n[COMBINATION_TEXTS];
    uint8_t  version;
    uint16_t status;
};

struct combination {
    uint64_t                hash; /* of head and texts; 0: free */
    struct top_counts       counts;
    struct combination_head head;
    char                    texts[COMBINATION_MAX]; /* one behind the other */
};

/* Where this record is counted.  settle(arg, c) is called before a combination loses its place. */
struct combination *combination_find(struct combination table[COMBINATIONS],
                                     const struct packed *r,
                                     void (*settle)(void *arg, struct combination *c), void *arg);

#endif
