/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/breaker.h - a group that fails too often is left alone for a while.  Private to the
 * room.
 *
 *     closed --errors--> open --open_us--> probing --an answer--> closed
 *                         ^                   |
 *                         +----- a failure ---+
 *
 * (Nygard, "Release It!", chapter 5.)  Limits of requests, pending ones and connections are the
 * guard's own: they refuse, they do not open.
 *
 * Threads   all workers at once: the state is one word that changes by compare-and-swap.
 */
#ifndef UPSTREAM_BREAKER_H
#define UPSTREAM_BREAKER_H

#include "upstream/guard.h"
#include "upstream/recent.h"

struct breaker {
    _Atomic uint64_t word; /* state, how many probe, since when */
    struct recent    recent; /* all: requests, some: failures */
};

/* What an exchange that was let pass gives back. */
struct breaker_pass {
    uint64_t probe; /* the round of probes that it belongs to; 0: it is none */
    uint16_t epoch; /* of what is counted: what began before the breaker closed does not count */
};

enum breaker_verdict {
    BREAKER_UNKNOWN, /* it ended before there was anything to judge */
    BREAKER_ANSWERED,
    BREAKER_FAILED,
};

/* False when out of memory. */
bool breaker_init(struct breaker *b, unsigned workers);
void breaker_free(struct breaker *b);
/* False: it is open; *retry_after_s says how long about. */
bool breaker_enter(struct breaker *b, const struct breaker_config *config, uint64_t now_us,
                   struct breaker_pass *pass, unsigned *retry_after_s);
void breaker_leave(struct breaker *b, const struct breaker_config *config, unsigned worker,
                   uint64_t now_us, const struct breaker_pass *pass, enum breaker_verdict verdict);
/* "closed", "open", "probing". */
const char *breaker_words(const struct breaker *b);

#endif
