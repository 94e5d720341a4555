/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/purges.h - what was said about all objects with a tag, a prefix, or about all.
 *
 * A purge does not look for its objects: it becomes a rule with a number (the epoch).  An object
 * remembers the epoch up to which it was measured; when it is asked for, and the epoch has gone on,
 * it is measured against the rules since.  A sweep measures those that nobody asks for, and what
 * all objects have been measured against is forgotten.
 *
 * Bounds   so many tags and prefixes; one that does not fit any more, or finds no memory, becomes a
 *          rule about all: too much is purged, never too little.
 * Threads  any; a lock of its own, under which nothing else is taken.
 */
#ifndef STORE_PURGES_H
#define STORE_PURGES_H

#include "base/slice.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PURGES_TAGS_MAX = 65536, PURGES_PREFIXES_MAX = 2048 };

enum verdict { VERDICT_KEEP, VERDICT_SOFT, VERDICT_HARD };

/* The newest of each kind; 0: none. */
struct purge_epochs {
    uint64_t hard, soft;
};

struct purge_tag {
    uint64_t            tag;
    struct purge_epochs at;
};

struct purge_prefix {
    struct purge_epochs at;
    struct slice        prefix; /* malloc */
};

struct purges {
    pthread_mutex_t      lock;
    _Atomic uint64_t     epoch;  /* of the newest rule */
    uint64_t             forgot; /* rules up to here are gone */
    struct purge_epochs  all;
    struct purge_tag    *tags;   /* open addressing; free: both epochs are 0 */
    size_t               tags_n, tags_room;
    struct purge_prefix *prefixes;
    size_t               prefixes_n;
};

void purges_init(struct purges *p);
void purges_exit(struct purges *p);

/* What an object shows of itself. */
struct purge_facts {
    const uint64_t *tags;
    size_t          tags_n;
    struct slice    path;
};

/* Their epoch. */
uint64_t purges_add_tag(struct purges *p, uint64_t tag, bool soft);
uint64_t purges_add_prefix(struct purges *p, struct slice prefix, bool soft);
uint64_t purges_add_all(struct purges *p, bool soft);

/* A rule by itself, for who writes them down. */
enum purge_kind { PURGE_TAG, PURGE_PREFIX, PURGE_ALL };
struct purge_rule {
    enum purge_kind kind;
    uint64_t        tag;
    struct slice    prefix;
    uint64_t        epoch;
    bool            soft;
};

/* Of all that are not forgotten; see() must not call for more. */
void purges_each(struct purges *p, void (*see)(void *arg, const struct purge_rule *rule),
                 void *arg);
/* One of an earlier process, with its epoch. */
void purges_restore(struct purges *p, const struct purge_rule *rule);
/* All rules to come are newer than that. */
void purges_advance(struct purges *p, uint64_t epoch);

/* Of one that was measured up to `since`; *now becomes the epoch that it is measured up to. */
enum verdict purges_measure(struct purges *p, const struct purge_facts *facts, uint64_t since,
                            uint64_t *now);
/* Everybody was measured up to there. */
void purges_forget(struct purges *p, uint64_t until);
bool purges_any(struct purges *p);
/* How many tags there are rules about. */
size_t purges_tags(struct purges *p);

static inline uint64_t
purges_epoch(const struct purges *p)
{
    return atomic_load_explicit(&p->epoch, memory_order_acquire);
}

#endif
