/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_write.c - the thread that writes, and makes room.
 *
 * Objects are copied into one buffer, which goes to the open segment when it is full, or when no
 * more are waiting.  What has reached the file is put into the index, unless it was purged or
 * replaced meanwhile; the log then says that the record is none.
 */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    RULES_MAX = PURGES_TAGS_MAX / 4 * 3,
    TICK_MS = 100,
    COPY_SHARE = 4,    /* of a segment that goes, at most one part in so many moves on */
    RECORD_SHARE = 4,  /* nothing takes more of the disk */
};
#define TEND_US UINT64_C(1000000)
#define LAST_US UINT64_C(1000000)
#define ILL_US UINT64_C(5000000)
#define NOMINAL_LEAST (UINT64_C(256) << 10)
#define NOMINAL_MOST (UINT64_C(32) << 20)

/* One that lies in the buffer, or in the file already. */
struct written {
    struct store_object *object; /* a reference; NULL: moved on from another segment */
    struct store_key     key;
    struct disk_entry    entry;
    uint16_t             before_slot, before_ordinal; /* of one that moves */
};

struct batch {
    struct disk           *d;
    char                  *buffer, *front;
    size_t                 n;         /* bytes in the buffer */
    uint64_t               file_at;   /* where they belong */
    uint64_t               next_at;   /* where the next record will stand */
    struct written         written[DISK_BATCH];
    size_t                 written_n;
    struct segment_entry  *entries;   /* of the open segment */
    bool                   failed;
};

static uint64_t
nominal_of(uint64_t max_bytes)
{
    uint64_t nominal = max_bytes / 64;

    if (nominal > NOMINAL_MOST)
        nominal = NOMINAL_MOST;
    if (nominal < max_bytes / (DISK_SEGMENTS_MAX / 2))
        nominal = max_bytes / (DISK_SEGMENTS_MAX / 2);
    return nominal > NOMINAL_LEAST ? nominal : NOMINAL_LEAST;
}

/* ------------------------------------------------------------------ segments */

/* No more is written to it; without a footer it is read from front to back at the next start. */
static void
close_segment(struct batch *b)
{
    struct disk_segment *g = b->d->open;

    if (!g)
        return;
    (void) disk_segment_seal(b->d, g, b->entries, g->records);
    pthread_mutex_lock(&b->d->lock);
    b->d->open = NULL;
    pthread_mutex_unlock(&b->d->lock);
}

static enum err
open_segment(struct batch *b)
{
    struct disk *d = b->d;
    uint64_t number = d->next_number;
    struct segment_header h;
    struct disk_segment *g;
    char path[64];
    int fd;

    disk_segment_path(number, path);
    fd = openat(d->folder_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    segment_header_make(&h, number, d->process);
    if (disk_write_all(fd, &h, sizeof(h), 0) != OK)
        goto failed;
    pthread_mutex_lock(&d->lock);
    g = disk_segment_add(d, number, fd);
    d->open = g;
    pthread_mutex_unlock(&d->lock);
    if (!g)
        goto failed;
    b->file_at = b->next_at = g->bytes;
    return OK;
failed:
    (void) unlinkat(d->folder_fd, path, 0);
    close(fd);
    return ERR_IO;
}

/* ------------------------------------------------------------------ into the index */

static void
note_gone(struct disk *d, struct store_key key)
{
    struct segment_log_entry e = {.kind = SEGMENT_NOTE_FORGET, .a = key.high, .b = key.low};

    e.segment = d->open->number;
    e.ordinal = d->open->records;
    disk_log_put(d, &e, SLICE(""));
}

/* With disk.lock: it still is where it was. */
static bool
is_there_still(struct disk *d, const struct written *w)
{
    const struct disk_entry *e = disk_index_find(d, w->key);

    return e && e->slot == w->before_slot && e->ordinal == w->before_ordinal;
}

static void
index_one(struct disk *d, struct written *w)
{
    struct shard *shard = store_shard_of(d->store, w->key);
    bool there = disk_index_reserve(d, w->key);

    /* Who purges takes it out of memory first, under this lock, and then out of the index. */
    pthread_mutex_lock(&shard->lock);
    pthread_mutex_lock(&d->lock);
    if (w->object) {
        there = there && w->object->indexed;
        w->entry.flags = atomic_load(&w->object->soft) ? DISK_SOFT : 0;
    } else {
        there = there && is_there_still(d, w);
        if (there)
            w->entry.flags = disk_index_find(d, w->key)->flags & DISK_SOFT;
    }
    there = there && disk_index_put(d, w->key, &w->entry);
    if (!there)
        note_gone(d, w->key);
    d->written += there;
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_unlock(&shard->lock);
}

static void
let_go(struct batch *b)
{
    struct disk *d = b->d;

    pthread_mutex_lock(&d->lock);
    d->writing_n = 0;
    pthread_mutex_unlock(&d->lock);
    while (b->written_n > 0) {
        struct store_object *o = b->written[--b->written_n].object;

        if (o)
            store_leave(o);
    }
}

/* ------------------------------------------------------------------ into the file */

static struct disk_segment *
oldest(struct disk *d)
{
    struct disk_segment *g;

    pthread_mutex_lock(&d->lock);
    g = list_is_empty(&d->segments) ? NULL
                                    : list_entry(d->segments.next, struct disk_segment, link);
    pthread_mutex_unlock(&d->lock);
    return g;
}

/* What was under way is not written; a while later it is tried again. */
static void
fail(struct batch *b, enum err e)
{
    struct disk *d = b->d;
    struct disk_segment *g = d->open;
    const bool full = errno == ENOSPC || errno == EDQUOT;

    disk_tell(d, true, "cannot write to %s: %s; trying again in 5 seconds", d->folder,
              full ? "no space left" : err_sentence(e));
    b->failed = true;
    b->n = 0;
    pthread_mutex_lock(&d->lock);
    d->errors++;
    d->dropped += b->written_n;
    d->ill_until_us = clock_monotonic_us() + ILL_US;
    if (g)
        g->records -= (uint32_t) b->written_n;
    d->open = NULL;
    pthread_mutex_unlock(&d->lock);
    let_go(b);
    if (g) {
        (void) !ftruncate(g->fd, (off_t) g->bytes);
        (void) disk_segment_seal(d, g, b->entries, g->records);
    }
    if (full && oldest(d))
        disk_segment_drop(d, oldest(d));
}

/* The buffer's bytes reach the file. */
static bool
write_buffer(struct batch *b)
{
    enum err e;

    if (b->failed)
        return false;
    errno = 0;
    e = b->n ? disk_write_all(b->d->open->fd, b->buffer, b->n, b->file_at) : OK;
    if (e != OK) {
        fail(b, e);
        return false;
    }
    b->file_at += b->n;
    b->n = 0;
    return true;
}

/* All that was begun is in the file, and found from now on. */
static bool
finish(struct batch *b)
{
    struct disk *d = b->d;

    if (!d->open || !write_buffer(b))
        return false;
    pthread_mutex_lock(&d->lock);
    d->segments_bytes += b->next_at - d->open->bytes;
    d->open->bytes = b->next_at;
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < b->written_n; i++)
        index_one(d, &b->written[i]);
    let_go(b);
    disk_log_flush(d);
    return true;
}

static bool
put(struct batch *b, struct slice bytes)
{
    while (bytes.n) {
        size_t n = DISK_BUFFER - b->n;

        if (n == 0 && !write_buffer(b))
            return false;
        n = DISK_BUFFER - b->n < bytes.n ? DISK_BUFFER - b->n : bytes.n;
        memcpy(b->buffer + b->n, bytes.at, n);
        b->n += n;
        bytes = slice_from(bytes, n);
    }
    return !b->failed;
}

static bool
fill_up(struct batch *b, const struct segment_record *r)
{
    static const char zeros[SEGMENT_UNIT];
    uint64_t n = segment_bytes(r) - segment_front_bytes(r) - r->body_n;

    return put(b, slice_of(zeros, (size_t) n));
}

/* ------------------------------------------------------------------ records */

/* A place for one of so many bytes in the open segment. */
static bool
begin_place(struct batch *b, uint64_t bytes)
{
    struct disk *d = b->d;
    const uint64_t nominal = nominal_of(d->max_bytes);

    if (d->open && (d->open->records == SEGMENT_RECORDS_MAX ||
                    (d->open->records && b->next_at + bytes > nominal))) {
        if (!finish(b))
            return false;
        close_segment(b);
    }
    if (b->written_n == DISK_BATCH && !finish(b))
        return false;
    if (!d->open) {
        enum err e = open_segment(b);

        if (e != OK) {
            fail(b, e);
            return false;
        }
    }
    return true;
}

/* With the shard's lock and disk.lock: it was not purged or replaced since it was looked at. */
static bool
is_right_still(struct disk *d, const struct written *w, struct segment_record *r)
{
    if (w->object) {
        r->soft = atomic_load(&w->object->soft);
        return w->object->indexed;
    }
    if (!is_there_still(d, w))
        return false;
    if (disk_index_find(d, w->key)->flags & DISK_SOFT)
        r->soft = 1;
    return true;
}

/* The record takes that place, if it is still right: from here on, whoever purges it sees that it
 * is being written, and notes that what stands there is none.  Before, he does not need to. */
static bool
take_place(struct batch *b, struct segment_record *r, struct written *w)
{
    struct disk *d = b->d;
    struct disk_segment *g = d->open;
    struct shard *shard = store_shard_of(d->store, r->key);
    bool right;

    w->key = r->key;
    r->segment = g->number;
    r->ordinal = g->records;
    pthread_mutex_lock(&shard->lock);
    pthread_mutex_lock(&d->lock);
    right = is_right_still(d, w, r);
    if (right) {
        g->records++;
        if (r->measured < g->measured)
            g->measured = r->measured;
        if (r->measured > g->newest)
            g->newest = r->measured;
        d->writing[d->writing_n++] = r->key;
    }
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_unlock(&shard->lock);
    if (!right)
        return false;
    w->entry = (struct disk_entry){.slot = g->slot,
                                   .ordinal = (uint16_t) r->ordinal,
                                   .at = (uint32_t) (b->next_at / SEGMENT_UNIT),
                                   .units =
                                       (uint32_t) (segment_bytes(r) / SEGMENT_UNIT) & 0x3FFFFFFF};
    b->entries[r->ordinal] =
        (struct segment_entry){.key = r->key, .at = b->next_at, .bytes = segment_bytes(r)};
    b->written[b->written_n++] = *w;
    b->next_at += segment_bytes(r);
    return true;
}

/* ------------------------------------------------------------------ moving on */

/* What is asked for is served from memory mostly: the disk would not know of it. */
static bool
is_wanted_in_memory(struct store *s, struct store_key key)
{
    struct shard *shard = store_shard_of(s, key);
    struct store_object *o, *gone;
    bool wanted;

    pthread_mutex_lock(&shard->lock);
    o = store_index_find(s, shard, key, ROLE_FOUND, &gone);
    wanted = o && store_is_complete(o) && store_hits(o) > 0;
    pthread_mutex_unlock(&shard->lock);
    if (gone)
        store_leave(gone);
    return wanted;
}

/* It is found there, and was asked for since it was written. */
static bool
is_wanted(struct disk *d, const struct disk_segment *from, struct store_key key, uint32_t ordinal,
          struct disk_entry *entry)
{
    const struct disk_entry *e;
    bool found;

    pthread_mutex_lock(&d->lock);
    e = disk_index_find(d, key);
    found = e && e->slot == from->slot && e->ordinal == ordinal;
    if (found)
        *entry = *e;
    pthread_mutex_unlock(&d->lock);
    return found && ((entry->flags & DISK_HIT) || is_wanted_in_memory(d->store, key));
}

static bool
copy_body(struct batch *b, struct disk_segment *from, uint64_t at, uint64_t n)
{
    char *chunk = malloc(SEGMENT_PIECE);
    bool ok = chunk != NULL;

    while (ok && n > 0) {
        size_t some = n < SEGMENT_PIECE ? (size_t) n : SEGMENT_PIECE;

        ok = disk_read_all(from->fd, chunk, some, at) == OK && put(b, slice_of(chunk, some));
        at += some;
        n -= some;
    }
    free(chunk);
    return ok;
}

/* False: nothing more can be moved. */
static bool
move_one(struct batch *b, struct disk_segment *from, const struct disk_entry *e)
{
    struct disk *d = b->d;
    uint64_t at = (uint64_t) e->at * SEGMENT_UNIT, bytes = (uint64_t) e->units * SEGMENT_UNIT;
    size_t n = bytes < SEGMENT_FRONT_MAX ? (size_t) bytes : SEGMENT_FRONT_MAX;
    struct written w = {.before_slot = e->slot, .before_ordinal = e->ordinal};
    struct segment_record now;
    struct segment_view view;
    struct purge_facts facts;

    if (disk_read_all(from->fd, b->front, n, at) != OK ||
        segment_record_view(slice_of(b->front, n), from->number, &view) != SEGMENT_GOOD ||
        view.bytes != bytes)
        return true;
    now = view.record;
    facts = (struct purge_facts){view.tags, now.tags_n, view.path};
    switch (purges_measure(&d->store->purges, &facts, now.measured, &now.measured)) {
    case VERDICT_HARD: return true;
    case VERDICT_SOFT: now.soft = 1; break;
    case VERDICT_KEEP: break;
    }
    if (from->process != d->process)
        now.made_us = 0;
    if (!begin_place(b, bytes))
        return false;
    if (!take_place(b, &now, &w))
        return true;
    segment_front_move(b->front, view.front_n, &now);
    if (put(b, slice_of(b->front, view.front_n)) &&
        copy_body(b, from, at + view.front_n, now.body_n) && fill_up(b, &now)) {
        d->moved++;
        return true;
    }
    if (!b->failed)
        fail(b, ERR_IO);
    return false;
}

static struct segment_entry *
read_footer(const struct disk_segment *g)
{
    const uint64_t entries_n = g->records * sizeof(struct segment_entry);
    struct segment_entry *entries = g->sealed ? malloc(entries_n) : NULL;

    if (entries &&
        disk_read_all(g->fd, entries, entries_n,
                      g->bytes - sizeof(struct segment_trailer) - entries_n) == OK)
        return entries;
    free(entries);
    return NULL;
}

static void
move_on(struct batch *b, struct disk_segment *from)
{
    struct segment_entry *entries = read_footer(from);
    uint64_t left = from->bytes / COPY_SHARE;

    for (uint32_t i = 0; entries && i < from->records; i++) {
        struct disk_entry e;

        if (entries[i].bytes > left || !is_wanted(b->d, from, entries[i].key, i, &e))
            continue;
        if (!move_one(b, from, &e))
            break;
        left -= entries[i].bytes;
    }
    free(entries);
    (void) finish(b);
}

/* Makes room for so many more: the oldest goes, and what is wanted of it moves on. */
static bool
make_room(struct batch *b, uint64_t bytes)
{
    struct disk *d = b->d;
    const uint64_t reserve = nominal_of(d->max_bytes) / COPY_SHARE;

    /* With what the footer will take. */
    bytes += sizeof(struct segment_entry) * ((d->open ? d->open->records : 0) + 1) +
             sizeof(struct segment_header) + sizeof(struct segment_trailer);
    while (!b->failed && d->segments_n > 0 &&
           (d->segments_bytes + (b->next_at - (d->open ? d->open->bytes : b->next_at)) + bytes +
                    reserve + d->log.bytes > d->max_bytes ||
            d->segments_n + 1 >= DISK_SEGMENTS_MAX)) {
        struct disk_segment *g = oldest(d);

        if (g != d->open)
            move_on(b, g);
        else if (!finish(b))
            return false;
        disk_segment_drop(d, g);
    }
    return !b->failed;
}

/* ------------------------------------------------------------------ one object */

static bool
put_body(struct batch *b, struct store_object *o)
{
    struct slice chunk;
    uint64_t at = 0;

    while (store_read(o, at, 0, &chunk) == OK) {
        if (!put(b, chunk))
            return false;
        at += chunk.n;
    }
    return true;
}

static void
sum_pieces(struct store_object *o, uint64_t *sums, char *piece)
{
    struct slice chunk;
    uint64_t at = 0;
    size_t n = 0;

    while (store_read(o, at, 0, &chunk) == OK) {
        chunk = slice_first(chunk, SEGMENT_PIECE - n);
        memcpy(piece + n, chunk.at, chunk.n);
        n += chunk.n;
        at += chunk.n;
        if (n == SEGMENT_PIECE) {
            *sums++ = segment_sum(piece, n);
            n = 0;
        }
    }
    if (n)
        *sums = segment_sum(piece, n);
}

/* What stands in front of its body; false: too much, or no memory. */
static bool
make_front(struct batch *b, struct store_object *o, const struct segment_record *r)
{
    struct slice head = store_head(o), path = slice_of(head.at + o->head_n, o->path_n);
    uint64_t *sums = malloc((size_t) segment_pieces(r->body_n) * sizeof(*sums) + SEGMENT_PIECE);

    if (!sums)
        return false;
    sum_pieces(o, sums, (char *) (sums + segment_pieces(r->body_n)));
    segment_front_make(r, o->tags, sums, head, path, b->front);
    free(sums);
    return true;
}

static bool
may_write(struct store_object *o, struct segment_record *r)
{
    struct store *s = o->store;
    struct shard *shard = store_shard_of(s, o->key);
    bool may;

    pthread_mutex_lock(&shard->lock);
    may = o->indexed && o->role != ROLE_ASIDE && store_is_complete(o) &&
          store_measure(s, o) != VERDICT_HARD;
    r->measured = atomic_load(&o->measured);
    r->soft = atomic_load(&o->soft);
    pthread_mutex_unlock(&shard->lock);
    return may;
}

static void
write_object(struct batch *b, struct store_object *o)
{
    struct disk *d = b->d;
    struct segment_record r = {.key = o->key,
                               .body_n = (uint64_t) store_length(o),
                               .made_us = o->made_us,
                               .tags_n = o->tags_n,
                               .head_n = o->head_n,
                               .path_n = o->path_n};
    struct written w = {.object = o};
    uint64_t bytes;

    if (!may_write(o, &r) || segment_front_bytes(&r) > SEGMENT_FRONT_MAX) {
        store_leave(o);
        return;
    }
    bytes = segment_bytes(&r);
    if (bytes > d->max_bytes / RECORD_SHARE || !make_room(b, bytes) || !begin_place(b, bytes)) {
        d->dropped++;
        store_leave(o);
        return;
    }
    if (!take_place(b, &r, &w)) {
        store_leave(o);
        return;
    }
    if (!make_front(b, o, &r))
        fail(b, ERR_NO_MEMORY);
    else if (put(b, slice_of(b->front, segment_front_bytes(&r))) && put_body(b, o))
        (void) fill_up(b, &r);
}

/* ------------------------------------------------------------------ the thread */

static struct store_object *
next_object(struct disk *d, bool wait)
{
    struct store_object *o = NULL;
    struct timespec until;

    pthread_mutex_lock(&d->lock);
    if (wait && d->queue_n == 0 && !d->ending) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&d->wake, &d->lock, &until);
    }
    if (d->queue_n > 0) {
        o = d->queue[d->queue_at];
        d->queue_at = (d->queue_at + 1) % DISK_QUEUE;
        d->queue_n--;
        d->queue_bytes -= (uint64_t) store_length(o);
    }
    pthread_mutex_unlock(&d->lock);
    return o;
}

void
disk_queue_clear(struct disk *d)
{
    struct store_object *o;

    while ((o = next_object(d, false))) {
        d->dropped++;
        store_leave(o);
    }
}

static bool
is_ill(struct disk *d)
{
    return clock_monotonic_us() < d->ill_until_us;
}

static void
write_some(struct batch *b)
{
    struct store_object *o = next_object(b->d, true);

    b->failed = false;
    while (o && !b->failed) {
        if (is_ill(b->d)) {
            store_leave(o);
            disk_queue_clear(b->d);
            return;
        }
        write_object(b, o);
        o = b->failed ? NULL : next_object(b->d, false);
    }
    if (!b->failed)
        (void) finish(b);
    /* Its bound may have come down. */
    if (!b->failed && !is_ill(b->d))
        (void) (make_room(b, 0) && finish(b));
}

/* Rules are kept for what is old: rather that goes than all, when there are too many of them. */
static void
drop_for_rules(struct batch *b)
{
    struct disk_segment *g = oldest(b->d);

    if (purges_tags(&b->d->store->purges) > RULES_MAX && g && g != b->d->open)
        disk_segment_drop(b->d, g);
}

static bool
is_ending(struct disk *d)
{
    bool ending;

    pthread_mutex_lock(&d->lock);
    ending = d->ending;
    pthread_mutex_unlock(&d->lock);
    return ending;
}

void
disk_write(struct disk *d)
{
    struct batch b = {.d = d,
                      .buffer = malloc(DISK_BUFFER),
                      .front = malloc(SEGMENT_FRONT_MAX),
                      .entries = malloc(SEGMENT_RECORDS_MAX * sizeof(struct segment_entry))};
    uint64_t tended_us = 0, end_us;

    if (b.buffer && b.front && b.entries) {
        while (!is_ending(d)) {
            write_some(&b);
            if (clock_monotonic_us() - tended_us >= TEND_US) {
                tended_us = clock_monotonic_us();
                disk_log_tend(d);
                drop_for_rules(&b);
            } else {
                disk_log_flush(d);
            }
        }
        for (end_us = clock_monotonic_us() + LAST_US;
             d->queue_n > 0 && clock_monotonic_us() < end_us && !is_ill(d);)
            write_some(&b);
        close_segment(&b);
    }
    free(b.buffer);
    free(b.front);
    free(b.entries);
}
