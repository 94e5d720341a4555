/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/tier.h - what lies behind the memory of a store and is larger and slower: a disk.
 *
 * To the store it is one more filler: who asks for what memory does not have asks the tier before
 * he is sent to fetch it, and a tier that has it fills the object as anybody would, so that all who
 * ask meanwhile share that one read and are woken the same way.  What was filled by others is
 * offered to it when it is complete, to be written at its leisure.
 *
 * Threads  any worker calls; a tier has its own locks, and must not ask the store under them.
 */
#ifndef STORE_TIER_H
#define STORE_TIER_H

#include "store/store.h"

struct tier;
struct purge_rule;

struct tier_ops {
    /* Has it that one?  Then it fills it: here and now, or with a reference of its own from a fiber
     * of its own (store_publish, store_append, store_finish; store_break when the disk fails).
     * False: not there; nothing was done to the object.  On a fiber; may wait. */
    bool (*fetch)(struct tier *t, struct store_key key, struct store_object *o);
    /* It is complete, and not from the tier: keeps a reference while it writes it.  Must not wait.
     * An older one of that key is not right any more from now on. */
    void (*offer)(struct tier *t, struct store_key key, struct store_object *o);
    /* It may have it: a look-up that would fill nothing is worth a fetch().  Must not wait. */
    bool (*has)(struct tier *t, struct store_key key);
    /* It was purged, or removed.  Must not wait. */
    void (*forget)(struct tier *t, struct store_key key, bool soft);
    /* There is a new rule, which the purges have already.  Must not wait. */
    void (*note)(struct tier *t, const struct purge_rule *rule);
    /* What was said by forget() and note() holds after a restart when this returns.  No lock; may
     * wait. */
    void (*commit)(struct tier *t);
    /* All that it keeps has been measured against the purges up to that epoch: later ones are not
     * forgotten.  UINT64_MAX when it keeps nothing.  store_sweep_wake() when that has changed. */
    uint64_t (*measured)(struct tier *t);
    /* With store.memory: what it has taken of the blocks for that shard and lies from that unit on
     * upwards moves down, if there is room. */
    void (*settle)(struct tier *t, unsigned shard, uint32_t open);
};

struct tier {
    const struct tier_ops *ops;
};

/* Before anybody asks, once.  The tier outlives the store. */
void store_attach(struct store *s, struct tier *t);

#endif
