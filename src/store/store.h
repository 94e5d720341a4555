/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/store.h - keeps bodies and what belongs to them, in memory and on disk; evicts; shares one
 * fill among all who ask.  It knows no HTTP: an object is a key, a block of bytes that its user
 * understands (the head), and a body in fragments.
 *
 *     store_ask()          -> STORE_HIT      here it is: store_head(),
 *      store_read() ... store_leave()
 *                          -> STORE_FILLING  somebody fetches it: store_wait_head(),
 *                           store_read() follows
 *                          -> STORE_MISS     you are the one to fetch it:
 *                                            store_publish(head), store_append()..., store_finish()
 *                                            or store_decline() (nobody else may have it),
 *                                             store_break()
 *
 * Memory   one budget for index, heads and bodies together: what does not fit drives out something
 *          else or is not kept; an object that is being read is not reused before its readers have
 *          left.
 * Threads  any worker; shards with a lock of their own, never held across a wait.  A reader on
 *          another worker is woken through its loop.
 * Lifetime lives outside of snapshots and is found again by name after a reload.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_object;

struct store_options {
    uint64_t memory_bytes;   /* all in all; at least 256 KiB */
    uint64_t object_bytes;   /* larger bodies are not kept: store_append() says ERR_LIMIT.  0, or
                              * more than that: half of the memory */
    struct slice folder;     /* of the disk tier; empty: memory only */
    uint64_t disk_bytes;     /* all that lies there, at most */
    /* A sentence for the operator, or NULL.  Any thread. */
    void (*tell)(bool trouble, const char *sentence);
};

/* 128 bits of a hash that nobody outside can steer (keyed). */
struct store_key {
    uint64_t high, low;
};

/* Key of some bytes; the same while the process lives, and as long as the folder, if there is
 * one. */
struct store_key store_key_of(const struct store *s, const void *bytes, size_t n);
/* The same, of more: continues an earlier key. */
struct store_key store_key_with(const struct store *s, struct store_key first, const void *bytes,
                                size_t n);

/* The store of that name, which lives as long as somebody holds it: the one that is there, or a new
 * one.  options: its bounds from now on; NULL: as they are, or for a new one 64 MiB of memory, of
 * which an object takes a quarter.  NULL: out of memory.  A reference; store_drop() gives it
 * back. */
struct store *store_open(struct slice name, const struct store_options *options);
/* A reference to the one that is there; NULL: there is none. */
struct store *store_find(struct slice name);
void store_drop(struct store *s);

/* ------------------------------------------------------------------ asking */

enum store_outcome {
    STORE_MISS,    /* nobody has it: *object is to be filled by you */
    STORE_HIT,     /* complete, or broken off no more: head and body are there */
    STORE_FILLING, /* being filled by somebody else */
    STORE_NONE,    /* not kept and not to be filled (no memory):
                    * fetch it for yourself. *object is NULL */
};

/* On a worker; waits only for the disk.  Whatever the object is, store_leave() it in the end
 * (filler and readers alike).  fill: false only looks: no MISS comes with an object. */
enum store_outcome store_ask(struct store *s, struct store_key key, bool fill,
                             struct store_object **object);
/* A complete object that is there is to be fetched anew: STORE_MISS for one, who fills *fresh (or
 * renews it, or declines or breaks it); STORE_FILLING for all others until that is done.
 * store_ask() goes on giving the old one until the fresh one is published. */
enum store_outcome store_refill(struct store_object *old, struct store_object **fresh);
void store_hold(struct store_object *o);
void store_leave(struct store_object *o);

/* Waits until the filler knows what it will be.  OK: store_head() is there.  ERR_REFUSED: declined:
 * fetch for yourself.  ERR_RESET: broken off before its head: ask again.  Else: time-out,
 * cancelled. */
enum err store_wait_head(struct store_object *o, uint64_t deadline_us);
struct slice store_head(const struct store_object *o);
/* Of the body, once it is complete; -1 before, unless the filler has announced it. */
int64_t store_length(const struct store_object *o);
bool store_is_complete(const struct store_object *o);
/* Nobody has fetched it just now: it comes, or came, from the disk.  Once it has a head. */
bool store_is_from_disk(const struct store_object *o);
uint32_t store_hits(const struct store_object *o);
uint64_t store_made_us(const struct store_object *o); /* monotonic, when it was published */

/* What is there from `offset`: lent while the object is held.  Waits for the filler (or the disk)
 * when nothing is yet.  ERR_END: the end.  ERR_RESET: the filler broke off. */
enum err store_read(struct store_object *o, uint64_t offset, uint64_t deadline_us,
                    struct slice *chunk);
/* Of a complete object: once this is set, nothing is written any more into the pages of memory that
 * its body fills, not even when it is gone: the store takes new ones for their addresses. */
atomic_bool *store_given(struct store_object *o);

/* ------------------------------------------------------------------ filling */

/* What others may know of an object besides its head. */
struct store_facts {
    int64_t         length;   /* announced, -1: not */
    const uint64_t *tags;     /* hashes (store_tag_of) that purges can name */
    size_t          tags_n;
    struct slice    path;     /* "host/path?query", for purges by prefix; copied */
    bool            fleeting; /* it can be made again, and is not worth a disk */
};

/* Once, by the filler: readers go on.  It is found from now on in place of an older one of that
 * key, which is kept back until this one is whole.  Head, tags and path are copied.  ERR_LIMIT (an
 * announced length that is too much), ERR_NO_MEMORY: it is declined. */
enum err store_publish(struct store_object *o, struct slice head, const struct store_facts *facts);
/* Copies all of it or nothing.  ERR_LIMIT, ERR_NO_MEMORY: it has broken off; readers that follow
 * get what there was before and ERR_RESET, so serve them before: the filler should go on reading
 * for itself only. */
enum err store_append(struct store_object *o, struct slice bytes);
/* A body of another length than announced has broken off. */
void store_finish(struct store_object *o);
/* Nobody else may have it: those who wait go on by themselves.  Before store_publish(). */
void store_decline(struct store_object *o);
/* It broke off.  After store_publish(): what there was is found no more, but the older one again,
 * if it was not purged or driven out meanwhile. */
void store_break(struct store_object *o);
/* The old body is still right (304, RFC 9111 4.3.4): fresh, from store_refill(old), takes it over
 * under a new head, and is complete.  In place of store_publish(). */
enum err store_renew(struct store_object *fresh, struct store_object *old, struct slice head,
                     const struct store_facts *facts);

/* ------------------------------------------------------------------ letting go */

/* It is found no more. */
void store_remove(struct store_object *o);

uint64_t store_tag_of(struct slice tag);
/* Hard: found no more.  Soft: found, and store_is_soft() says so.  Each takes microseconds, however
 * many objects it concerns: an object that was published before is measured against the purges
 * since when it is asked for, and a sweep in small steps frees their memory.  What is being filled
 * and has no head yet is not found after a purge that is known to concern it, soft ones included;
 * who waits for it already gets it.  With a disk, returns when the purge holds after a restart too:
 * may wait for that. */
void store_purge_key(struct store *s, struct store_key key, bool soft);
void store_purge_tag(struct store *s, uint64_t tag, bool soft);
void store_purge_prefix(struct store *s, struct slice prefix, bool soft); /* of store_facts.path */
void store_purge_all(struct store *s, bool soft);
bool store_is_soft(const struct store_object *o);
/* False: since its filler began, or since it was measured last, there were purges, and before it
 * has a head nobody can say whether they concern it. */
bool store_is_measured(const struct store_object *o);
/* It has a head: a purge until now concerns it, hard or soft. */
bool store_is_purged(struct store_object *o);
/* What `o` is filled with was asked for when `from` began: purges since then concern it too.
 * Before store_publish(). */
void store_begin_with(struct store_object *o, const struct store_object *from);
/* When something was asked for that had no object yet. */
struct store_moment {
    uint64_t epoch, keys;
};
struct store_moment store_moment(struct store *s, struct store_key key);
/* What `o` is filled with was asked for then; its key is that one.  False: it may have been purged
 * since, and is not to be filled with that.  Before store_publish(). */
bool store_begin_at(struct store_object *o, const struct store_moment *moment);

struct store_status {
    uint64_t objects, memory_bytes, memory_max, disk_objects, disk_bytes, disk_max;
    /* refused: did not fit */
    uint64_t hits, misses, shared, evicted, purged, declined, broken, refused;
    /* disk_hits are among the misses, dropped: were not written (no room in the queue, or trouble),
     * broken: what was read was not what was written */
    uint64_t disk_hits, disk_written, disk_dropped, disk_broken;
};
void store_status(const struct store *s, struct store_status *out);
/* All stores of the process; see() must neither open nor drop one. */
void store_each(void (*see)(void *arg, struct slice name, const struct store_status *status),
                void *arg);

#endif
