/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/keeper.h - the one who takes records out of the rings and keeps the sketches.
 *
 * Private to the room.  keeper_turn() is what the thread does when it wakes; tests call it
 * themselves.
 *
 * Locks    `merging` before `lock`.  lock: live, minute_s, countries; held for a few hundred
 *          records.  merging: scratch; held while rows are merged, by the keeper or by a question.
 */
#ifndef ANALYTICS_KEEPER_H
#define ANALYTICS_KEEPER_H

#include "analytics/country.h"
#include "analytics/history.h"
#include "analytics/period.h"
#include "analytics/ring.h"

#include <pthread.h>

/* What the budget is spent on. */
struct shares {
    size_t ring;    /* room of each */
    size_t history; /* bound of what SQLite and the queue may take */
    size_t listed;  /* entries of each list that go to disk */
    int    scale;   /* of the sketches */
};

/* False: so little memory is not enough for so many workers. */
bool keeper_share(uint64_t memory, int64_t top, unsigned workers, struct shares *out);

struct rings {
    unsigned    n;
    struct ring ring[];
};

struct rings *keeper_rings_new(unsigned n, size_t room); /* NULL: out of memory */
void keeper_rings_free(struct rings *r);

struct keeper {
    struct shares    shares;
    struct rings    *rings; /* not the keeper's own */
    struct history  *history;
    int64_t          keep_s;
    size_t           top;
    pthread_mutex_t  lock, merging;
    struct period   *live;
    int64_t          minute_s; /* when the running minute began */
    uint64_t         turn;     /* odd while a minute is on its way to the history */
    uint64_t         missed;   /* by all rings, as far as it is in a tally */
    struct countries *countries; /* NULL: none */
    enum analytics_anonymize anonymize;
    struct period   *scratch;
    _Atomic bool     stopping;
    pthread_t        thread;
};

/* Without a thread yet.  NULL after a message. */
struct keeper *keeper_new(const struct analytics_config *config, const struct shares *shares,
                          struct rings *rings, const char *folder);
bool keeper_start(struct keeper *k);
/* Ends the thread.  False: it hangs (in a disk), and the keeper must stay. */
bool keeper_stop(struct keeper *k);
/* What is in memory goes to disk.  The thread has ended, or there was none. */
void keeper_free(struct keeper *k);
void keeper_use_countries(struct keeper *k, const struct analytics_config *config);

void keeper_turn(struct keeper *k);
/* The thread shall look at the rings.  Any thread. */
void keeper_wake(void);
size_t keeper_memory(struct keeper *k);

#endif
