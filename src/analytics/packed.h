/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/packed.h - a record as it lies in a ring: numbers, then texts without gaps.
 *
 * The host stands directly before the path: together they are the key of the list of paths.  What
 * comes in few combinations (combination.h) stands before them.
 */
#ifndef ANALYTICS_PACKED_H
#define ANALYTICS_PACKED_H

#include "analytics/analytics.h"

/* How many bytes of each text are kept.  One that is longer ends in "~" and eight digits of its
 * hash, so that two that begin alike are still two. */
enum {
    PACKED_HOST = 96,
    PACKED_PATH = 160,
    PACKED_AGENT = 160,
    PACKED_REFERRER = 160,
    PACKED_NAME = 64, /* routes, upstreams */
    PACKED_WORD = 24, /* methods, threats */
    PACKED_ADDRESS = 16,
};

enum packed_text {
    TEXT_ROUTE,
    TEXT_UPSTREAM,
    TEXT_METHOD,
    TEXT_THREAT,
    TEXT_HOST,
    TEXT_PATH,
    TEXT_AGENT,
    TEXT_REFERRER,
    PACKED_TEXTS,
};

enum packed_flags {
    PACKED_SECURE = 1,
    PACKED_HIT = 2,
    PACKED_ASKED = 4,  /* a server */
    PACKED_REUSED = 8, /* its connection */
    PACKED_FIRST = 16, /* of its client's connection */
};

struct packed {
    uint64_t took_us, origin_us, saved_us, bytes_in, bytes_out;
    uint16_t status;
    uint8_t  version, flags;
    uint8_t  address_n; /* 4, 16, or 0 where the client has no IP address */
    uint8_t  n[PACKED_TEXTS];
    uint8_t  address[PACKED_ADDRESS];
    char     text[];
};

enum {
    PACKED_MAX = sizeof(struct packed) + PACKED_HOST + PACKED_PATH + PACKED_AGENT +
                 PACKED_REFERRER + 2 * PACKED_NAME + 2 * PACKED_WORD,
};

/* Writes PACKED_MAX bytes at most; how many. */
size_t packed_write(const struct analytics_fact *fact, struct packed *out);
/* Where the texts begin; [PACKED_TEXTS] is their end. */
void packed_texts(const struct packed *p, const char *at[PACKED_TEXTS + 1]);

#endif
