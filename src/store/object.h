/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/object.h - what a store and its objects consist of; private to the room.
 *
 * Memory   an object is its record, a block of facts (tags, head, path), and a content; that of a
 *          renewed object refers to the one before it.  All of them, and the tables of the index,
 *          lie in the store's blocks, so that the budget counts every byte.
 * Counts   the index holds one reference of what is found in it; the queues hold none: an object
 *          leaves them when it is freed, or is driven out.
 * Locks    store.memory, then a shard's, then that of the purges or of a bell; a hit takes a
 *          shard's only.  What enters the index does so under store.memory, what leaves it need
 *          not.
 */
#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H

#include "base/clock.h"
#include "runtime/loop.h"
#include "store/blocks.h"
#include "store/purges.h"
#include "store/queues.h"
#include "store/sip.h"
#include "store/slots.h"
#include "store/store.h"
#include "store/tier.h"

enum {
    STORE_SHARDS = 256,
    STORE_BELLS = 64,
    STORE_OBJECT_BYTES = 2 * BLOCKS_UNIT, /* the record and, behind it, its content */
};

/* ------------------------------------------------------------------ contents */

enum content_state {
    CONTENT_ASKED,     /* nobody knows yet what it will be */
    CONTENT_PUBLISHED, /* there is a head; the body grows */
    CONTENT_COMPLETE,
    CONTENT_DECLINED,  /* it ended without a head; there will be none */
    CONTENT_BROKEN,    /* it broke off, before or after the head */
};

struct fragment {
    uint32_t         unit;
    _Atomic uint32_t units;
    uint64_t         start; /* offset in the body */
};

enum { CONTENT_INLINE = 2, CONTENT_PAGES = 5 };

/*
 * Fragments stand in pages of 16, 128, 1024... of them, the first two right here: nothing ever
 * moves, so that readers need no lock.  They look only at what lies below `length`, which the
 * filler stores last.
 */
struct content {
    _Atomic uint32_t refs;   /* of objects, and of contents that take theirs from it */
    _Atomic uint32_t count;  /* of fragments */
    _Atomic uint64_t length; /* bytes that are there */
    _Atomic uint32_t state;  /* enum content_state */
    uint32_t         pages[CONTENT_PAGES]; /* unit + 1; 0: none */
    struct fragment  first[CONTENT_INLINE];
    int64_t          announced;            /* set before it is published */
    atomic_bool      given;                /* the kernel may still be reading its pages */
    struct content  *from;                 /* where the bytes are, when they were taken over;
                                            * itself of none. Set before it is complete */
    struct list      waiters;              /* under its bell's lock */
};

_Static_assert(sizeof(struct content) <= BLOCKS_UNIT, "one unit");

/* ------------------------------------------------------------------ objects */

/* Of each there is at most one for a key in the index. */
enum role {
    ROLE_FOUND,
    ROLE_ASIDE, /* fills what another one is found for meanwhile */
    ROLE_BACK,  /* complete; was found until another one `covers` it, and is again if that one
                 * breaks off.  It can be driven out and purged like all others.  (One whose cover
                 * was purged and not itself stays behind until then, or until the next cover.) */
    ROLES,
};

struct store_object {
    struct store_key key;
    _Atomic uint32_t refs;
    _Atomic uint32_t hits;
    _Atomic uint64_t measured; /* epoch of purges; written under the shard's lock */
    struct store    *store;
    struct content  *content;
    const uint64_t  *tags;     /* the block of facts: tags, head, path */
    uint32_t         head_n, path_n;
    uint16_t         tags_n;
    bool             indexed;  /* under the shard's lock */
    uint8_t          role;     /* enum role; likewise */
    bool             covers;   /* one is kept back for it; likewise, and only while it is indexed */
    bool             fetched;  /* its filler is the tier */
    bool             fleeting; /* not for the tier */
    _Atomic bool     soft;
    uint64_t         made_us;
    struct place     place;
};

_Static_assert(sizeof(struct store_object) <= BLOCKS_UNIT, "one unit");

struct shard {
    pthread_mutex_t lock;
    struct slots    slots;
    uint64_t        hits, misses, shared;
    uint64_t        purges; /* of keys */
} __attribute__((aligned(64)));

/* Goes through the index in steps. */
struct sweep {
    struct message message; /* to the loop that the store was opened on */
    struct timer   timer;
    bool           posted;  /* under store.memory */
    bool           running; /* a round has begun; the rest belongs to whoever sweeps */
    bool           behind;  /* a fill under way still has to be measured */
    uint32_t       shard;   /* the round is there */
    uint32_t       room;    /* of the shard's table */
    uint32_t       free;    /* a slot of it that was free */
    uint32_t       slots;   /* so many behind that one are still to be looked at */
    uint32_t       open;    /* what lies from this unit on has to go */
    uint64_t       epoch;   /* when the round began */
    uint64_t       until;   /* what everybody has been measured against so far */
};

/* Of the keys.  Those of a folder that is taken on are put in front; the ones before stay for who
 * is just reading them. */
struct secrets {
    struct sip_secret first, more;
    struct secrets   *before;
};

struct store {
    struct store    *next;  /* of all stores, under their lock */
    char            *name;
    uint32_t         refs;  /* likewise */
    struct secrets *_Atomic secrets;
    struct tier *_Atomic tier; /* NULL: none */
    struct loop     *home;  /* where it was opened; NULL: no loop, nobody sweeps by himself */

    pthread_mutex_t  memory; /* of all that follows */
    struct blocks    blocks;
    struct queues    queues;
    struct ghost    *ghosts;
    size_t           ghosts_bytes;
    uint64_t         memory_bytes;
    uint64_t         holds;     /* objects, and a message under way */
    uint64_t         evicted, refused;
    bool             shrunk;    /* something may lie above the bound */
    bool             dropped;   /* nobody can ask any more; goes with its last hold */
    struct sweep     sweep;

    _Atomic uint64_t limit;       /* bytes of a body */
    _Atomic uint64_t purged, declined, broken;
    struct purges    purges;
    pthread_mutex_t  bells[STORE_BELLS];
    struct shard     shards[STORE_SHARDS];
};

/* ------------------------------------------------------------------ store.c */

/* Keys are of that secret from now on; false: no memory.  What lies in memory is found no more. */
bool store_set_secret(struct store *s, const struct sip_secret *secret);
struct sip_secret store_secret(const struct store *s);

/* ----------------------------------------------------------------- memory.c: under store.memory */

/* Drives out others until there is room; NULL: in vain. */
void *store_memory_take(struct store *s, size_t bytes);
/* As many units as wanted, or fewer when memory is in pieces. */
void *store_memory_take_some(struct store *s, uint32_t want, uint32_t *got);
void store_memory_give(struct store *s, void *at, size_t bytes);
/* With one reference and an empty content.  NULL: no memory. */
struct store_object *store_object_new(struct store *s, struct store_key key);
/* Copies head, tags and path. */
enum err store_object_describe(struct store_object *o, struct slice head,
                               const struct store_facts *facts);
/* A reference less; the last one frees. */
void store_object_drop(struct store_object *o);
void store_object_free(struct store_object *o);
/* Releases the lock, after a hold less: the last one, after the last user, frees the store. */
void store_release(struct store *s);

/* ------------------------------------------------------------------ index.c */

static inline struct shard *
store_shard_of(struct store *s, struct store_key key)
{
    return &s->shards[key.high % STORE_SHARDS];
}

/* With the shard's lock: the one that is found for that key, measured against all purges; those
 * that turn out to be purged (softly too, while there is no head) are taken out, and *gone is set
 * to one whose reference the caller gives back without the lock. */
struct store_object *store_index_find(struct store *s, struct shard *shard, struct store_key key,
                                      enum role role, struct store_object **gone);
/* With the shard's lock; false when it was not in.  The reference is the caller's then. */
bool store_index_remove(struct shard *shard, struct store_object *o);
/* With the shard's lock: takes out what is kept back for that key, and that reference is the
 * caller's; NULL: nothing is. */
struct store_object *store_index_take_back(struct store *s, struct shard *shard,
                                           struct store_key key);
/* With the shard's lock and store.memory.  Takes a reference. */
void store_index_put(struct shard *shard, struct store_object *o);
/* With store.memory: there is room for one more; false: no memory. */
bool store_index_reserve(struct store *s, struct shard *shard);
/* With store.memory: a table that lies from that unit on upwards moves down, if there is room. */
void store_index_settle(struct store *s, struct shard *shard, uint32_t open);
/* No lock. It is found no more, if it was. */
void store_unlink(struct store_object *o);
/* With the shard's lock: KEEP and SOFT are noted in it. */
enum verdict store_measure(struct store *s, struct store_object *o);

/* ------------------------------------------------------------------ content.c */

/* By the filler. */
enum err content_append(struct store *s, struct content *c, struct slice bytes);
/* Under store.memory: what the last fragment has too much goes back. */
void content_trim(struct store *s, struct content *c);
void content_free(struct store *s, struct content *c);
/* A stretch from there on; empty when there is nothing yet. */
struct slice content_at(const struct store *s, const struct content *c, uint64_t offset);
/* Some of it lies from that unit on upwards.  It is complete. */
bool content_reaches(const struct store *s, const struct content *c, uint32_t unit);
/* Units of its fragments. */
uint32_t content_units(const struct store *s, const struct content *c);

/* ------------------------------------------------------------------ bell.c */

/* Waits on a fiber until there is a head (offset: BELL_HEAD), or more than `offset` bytes, or it
 * has ended. */
#define BELL_HEAD UINT64_MAX
enum err bell_wait(struct store *s, struct content *c, uint64_t offset, uint64_t deadline_us);
/* Something has changed. */
void bell_ring(struct store *s, struct content *c);

/* ------------------------------------------------------------------ sweep.c */

void store_sweep_init(struct store *s);
/* No lock.  There is something to sweep. */
void store_sweep_wake(struct store *s);
/* Sweeps for about so long; false when the round has ended. */
bool store_sweep_step(struct store *s, uint64_t budget_us);
/* No lock; by the last user. */
void store_sweep_stop(struct store *s);

static inline enum content_state
content_state(const struct content *c)
{
    return (enum content_state) atomic_load_explicit(&c->state, memory_order_acquire);
}

/* Where its bytes are, in that state. */
static inline struct content *
content_source(struct content *c, enum content_state state)
{
    return state == CONTENT_COMPLETE && c->from ? c->from : c;
}

static inline uint64_t
content_length(const struct content *c)
{
    return atomic_load_explicit(&c->length, memory_order_acquire);
}

#endif
