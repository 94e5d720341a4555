/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_read.c - bringing an object back.
 *
 * A small one comes with one read, and is complete when the look-up returns.  Of a large one the
 * head comes first; a fiber of its own brings the body, which readers follow as they follow any
 * fill.  Each piece is checked before anybody sees a byte of it: with a wrong one the object has
 * broken off, and is found no more.
 *
 * Nobody waits long for a disk that hangs: the object is fetched from where it came, and so are all
 * others for a while.  What such a read uses stays until the disk has answered.
 */
#include "runtime/fiber.h"
#include "store/disk.h"

#include <stdlib.h>

enum { CHUNK = 4 * SEGMENT_PIECE, SLOW_US = 5000000 };

/* What the disk is given; longer there than the fiber waits, if it hangs. */
struct request {
    struct file_reading  file;
    struct disk         *d;
    struct disk_segment *segment; /* a reference */
    struct store_object *object;  /* a reference: with it the disk stays as well */
    char                *buffer;  /* lent */
};

struct reading {
    struct disk         *d;
    struct store_object *object;
    struct store_key     key;
    struct request      *request; /* NULL: the disk has it */
    struct disk_entry    entry;
    struct segment_view  view;
    char                *front;   /* of a large one: for its sums */
    uint64_t             process; /* that wrote it */
    size_t               got;     /* bytes in the buffer */
    uint64_t             at;      /* of the segment: where they are from */
    uint64_t             body_at; /* so much of the body is in the store */
};

/* ------------------------------------------------------------------ what the disk is given */

/* Without its buffer. */
static void
end_request(struct request *q)
{
    struct disk *d = q->d;
    struct store_object *o = q->object;

    pthread_mutex_lock(&d->lock);
    d->reads--;
    pthread_mutex_unlock(&d->lock);
    disk_segment_leave(d, q->segment);
    free(q);
    store_leave(o);
}

/* The disk has answered, and nobody waits any more. */
static void
on_late(struct file_reading *file)
{
    struct request *q = container_of(file, struct request, file);

    buffer_drop(BUFFER_LARGE, q->buffer);
    end_request(q);
}

static void
end_reading(struct reading *r)
{
    free(r->front);
    if (!r->request)
        return;
    buffer_give(BUFFER_LARGE, r->request->buffer);
    end_request(r->request);
}

/* ------------------------------------------------------------------ where */

static bool
find(struct reading *r, struct request *q)
{
    struct disk *d = r->d;
    struct disk_entry *e = NULL;

    pthread_mutex_lock(&d->lock);
    if (d->state == DISK_READY && d->reads < DISK_READS && clock_monotonic_us() >= d->slow_until_us)
        e = disk_index_find(d, r->key);
    if (e) {
        d->reads++;
        r->entry = *e;
        q->segment = d->slots[e->slot];
        q->segment->refs++;
        r->process = q->segment->process;
        e->flags |= DISK_HIT;
    }
    pthread_mutex_unlock(&d->lock);
    return e != NULL;
}

/* Finds it, and has what is needed to read it. */
static bool
begin(struct reading *r)
{
    struct request *q = calloc(1, sizeof(*q));

    if (!q)
        return false;
    q->buffer = buffer_take(BUFFER_LARGE);
    if (!q->buffer || !find(r, q)) {
        if (q->buffer)
            buffer_give(BUFFER_LARGE, q->buffer);
        free(q);
        return false;
    }
    q->d = r->d;
    q->object = r->object;
    store_hold(q->object);
    r->request = q;
    return true;
}

/* It is not what it should be. */
static void
give_up(struct reading *r)
{
    struct disk *d = r->d;
    struct disk_entry *e;

    pthread_mutex_lock(&d->lock);
    d->broken++;
    e = disk_index_find(d, r->key);
    if (e && e->slot == r->entry.slot && e->ordinal == r->entry.ordinal)
        disk_index_remove(d, r->key.high % STORE_SHARDS, e);
    pthread_mutex_unlock(&d->lock);
    disk_tell(d, true, "%s: what is read is not what was written; it is fetched anew", d->folder);
}

/* ------------------------------------------------------------------ bytes */

/* No read is tried for a while; those that wait already will find out for themselves. */
static void
note_slow(struct disk *d)
{
    const uint64_t now_us = clock_monotonic_us();
    bool tell;

    pthread_mutex_lock(&d->lock);
    tell = now_us >= d->slow_until_us;
    d->slow_until_us = now_us + SLOW_US;
    pthread_mutex_unlock(&d->lock);
    if (tell)
        disk_tell(d, true, "%s does not answer; for 5 seconds all is fetched anew", d->folder);
}

/* Up to a buffer full from there on.  OK; ERR_TIMEOUT; ERR_IO: it cannot be read. */
static enum err
bring(struct reading *r, uint64_t at)
{
    const uint64_t end = ((uint64_t) r->entry.at + r->entry.units) * SEGMENT_UNIT;
    struct request *q = r->request;
    enum err e;

    q->file = (struct file_reading){.fd = q->segment->fd,
                                    .at = q->buffer,
                                    .n = end - at < CHUNK ? (size_t) (end - at) : CHUNK,
                                    .offset = at,
                                    .late = on_late,
                                    .pool = &disk_pool,
                                    .call = disk_calls.read};
    e = file_read_until(&q->file, clock_monotonic_us() + r->d->read_us);
    if (e == ERR_TIMEOUT) {
        r->request = NULL;
        note_slow(r->d);
        return e;
    }
    r->at = at;
    r->got = q->file.got;
    return e == OK && r->got == q->file.n ? OK : ERR_IO;
}

static bool
has_record(struct reading *r)
{
    const struct request *q = r->request;

    return segment_record_view(slice_of(q->buffer, r->got), q->segment->number, &r->view) ==
               SEGMENT_GOOD &&
           r->view.bytes == (uint64_t) r->entry.units * SEGMENT_UNIT;
}

static bool
is_ours(const struct reading *r)
{
    return r->view.record.key.high == r->key.high && r->view.record.key.low == r->key.low;
}

/* ------------------------------------------------------------------ into the store */

/* False: purged since. */
static bool
measure(struct reading *r)
{
    const struct segment_record *record = &r->view.record;
    struct purge_facts facts = {r->view.tags, record->tags_n, r->view.path};
    enum verdict verdict;
    uint64_t now;

    verdict = purges_measure(&r->d->store->purges, &facts, record->measured, &now);
    if (verdict == VERDICT_SOFT || record->soft || (r->entry.flags & DISK_SOFT))
        atomic_store(&r->object->soft, true);
    return verdict != VERDICT_HARD;
}

static bool
publish(struct reading *r)
{
    const struct segment_record *record = &r->view.record;
    struct store_facts facts = {.length = (int64_t) record->body_n,
                                .tags = r->view.tags,
                                .tags_n = record->tags_n,
                                .path = r->view.path};

    if (store_publish(r->object, r->view.head, &facts) != OK)
        return false;
    /* What was made of it in this process still belongs to it. */
    if (r->process == r->d->process && record->made_us)
        r->object->made_us = record->made_us;
    return true;
}

/* The whole pieces of the body that are in the buffer.  OK; ERR_IO: they are wrong; else the store
 * does not take them. */
static enum err
append(struct reading *r)
{
    const uint64_t start = (uint64_t) r->entry.at * SEGMENT_UNIT + r->view.front_n;
    const uint64_t body_n = r->view.record.body_n;

    while (r->body_at < body_n) {
        size_t n = body_n - r->body_at < SEGMENT_PIECE ? (size_t) (body_n - r->body_at)
                                                       : SEGMENT_PIECE;
        const char *piece = r->request->buffer + (start + r->body_at - r->at);
        enum err e;

        if (start + r->body_at + n > r->at + r->got)
            return OK;
        if (segment_sum(piece, n) != r->view.sums[r->body_at / SEGMENT_PIECE])
            return ERR_IO;
        e = store_append(r->object, slice_of(piece, n));
        if (e != OK)
            return e;
        r->body_at += n;
    }
    return OK;
}

/* The rest of a large one, on a fiber of its own. */
static void
follow(void *arg)
{
    struct reading *r = arg;
    const uint64_t start = (uint64_t) r->entry.at * SEGMENT_UNIT + r->view.front_n;
    enum err e = OK;

    while (e == OK && r->body_at < r->view.record.body_n)
        if ((e = bring(r, start + r->body_at)) == OK)
            e = append(r);
    if (e == OK) {
        store_finish(r->object);
    } else {
        if (e == ERR_IO)
            give_up(r);
        store_break(r->object);
    }
    store_leave(r->object);
    end_reading(r);
    free(r);
}

/* The buffer is read into again, and the sums are wanted to the end. */
static bool
keep_sums(struct reading *r)
{
    const size_t n = (size_t) segment_pieces(r->view.record.body_n) * sizeof(uint64_t);

    r->front = malloc(n);
    if (!r->front)
        return false;
    memcpy(r->front, r->view.sums, n);
    r->view.sums = (const uint64_t *) (const void *) r->front;
    return true;
}

static void
follow_later(const struct reading *r)
{
    struct reading *own = malloc(sizeof(*own));

    if (own) {
        *own = *r;
        store_hold(own->object);
        if (keep_sums(own)) {
            if (!fiber_self()) {
                follow(own);
                return;
            }
            if (fiber_start("disk read", follow, own))
                return;
            free(own->front);
        }
        store_leave(own->object);
        free(own);
    }
    store_break(r->object);
    end_reading((struct reading *) r);
}

/* A small one is checked as a whole before anybody hears of it. */
static bool
body_is_good(const struct reading *r)
{
    const char *body = r->request->buffer + r->view.front_n;
    uint64_t n = r->view.record.body_n;

    for (uint64_t at = 0; at < n; at += SEGMENT_PIECE) {
        size_t some = n - at < SEGMENT_PIECE ? (size_t) (n - at) : SEGMENT_PIECE;

        if (segment_sum(body + at, some) != r->view.sums[at / SEGMENT_PIECE])
            return false;
    }
    return true;
}

static bool
serve(struct reading *r)
{
    const bool whole = r->view.bytes <= r->got;

    if (whole && !body_is_good(r)) {
        give_up(r);
        end_reading(r);
        return false;
    }
    if (!publish(r)) {
        /* It is declined then: who waits goes on by himself. */
        end_reading(r);
        return true;
    }
    switch (append(r)) {
    case OK: break;
    case ERR_IO:
        give_up(r);
        store_break(r->object);
        end_reading(r);
        return true;
    default: end_reading(r); return true;
    }
    if (whole) {
        store_finish(r->object);
        end_reading(r);
    } else {
        follow_later(r);
    }
    return true;
}

bool
disk_fetch(struct tier *t, struct store_key key, struct store_object *o)
{
    struct disk *d = disk_of(t);
    struct reading r = {.d = d, .object = o, .key = key};
    enum err e;

    if (!begin(&r))
        return false;
    e = bring(&r, (uint64_t) r.entry.at * SEGMENT_UNIT);
    if (e == OK && !has_record(&r))
        e = ERR_IO;
    if (e == ERR_IO)
        give_up(&r);
    if (e != OK || !is_ours(&r) || !measure(&r)) {
        end_reading(&r);
        return false;
    }
    pthread_mutex_lock(&d->lock);
    d->hits++;
    pthread_mutex_unlock(&d->lock);
    return serve(&r);
}
