/* SPDX-License-Identifier: Apache-2.0 */
/* observe/sink.c - the workers' side of sinks: finding them, filling chunks, handing them over. */
#include "observe/sink.h"

#include "observe/writer.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ opening */

static struct sink *
find_sink(struct slice to)
{
    list_each (link, writer_sinks()) {
        struct sink *s = list_entry(link, struct sink, link);

        if (s->references > 0 && slice_eq(slice_str(s->outlet.to), to))
            return s;
    }
    return NULL;
}

static struct sink *
make_sink(void)
{
    struct sink *s = aligned_alloc(_Alignof(struct sink), sizeof(*s));

    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    list_init(&s->link);
    list_init(&s->queue);
    for (size_t i = 0; i < SINK_WORKERS; i++) {
        s->taps[i].sink = s;
        list_init(&s->taps[i].spare);
    }
    return s;
}

/* A new sink, open; NULL with the reason in error. */
static struct sink *
open_sink(struct slice to, char *error, size_t error_room)
{
    struct sink *s = make_sink();
    int failure;

    if (!s) {
        snprintf(error, error_room, "out of memory");
        return NULL;
    }
    if (!outlet_init(&s->outlet, to, error, error_room)) {
        free(s);
        return NULL;
    }
    failure = outlet_open(&s->outlet);
    if (failure == 0)
        return s;
    if (outlet_may_come(&s->outlet, failure)) {
        s->retry_us = 1;
        return s;
    }
    snprintf(error, error_room, "cannot open %s: %s", s->outlet.to, strerror(failure));
    outlet_free(&s->outlet);
    free(s);
    return NULL;
}

/* Counts a reference to the sink of that name; `fresh` becomes it when there is none (then it is
 * taken). */
static struct sink *
join_sink(struct slice to, size_t queue_bytes, struct sink **fresh)
{
    struct sink *s;

    writer_lock();
    s = find_sink(to);
    if (!s && *fresh) {
        s = take(fresh);
        list_append(writer_sinks(), &s->link);
    }
    if (s) {
        s->references++;
        s->max_chunks = queue_bytes / SINK_CHUNK_BYTES < 2 ? 2 : queue_bytes / SINK_CHUNK_BYTES;
    }
    writer_unlock();
    return s;
}

struct sink *
sink_open(struct slice to, size_t queue_bytes, char *error, size_t error_room)
{
    struct sink *fresh = NULL, *s;

    if (!writer_start()) {
        snprintf(error, error_room, "cannot start the thread that writes logs");
        return NULL;
    }
    s = join_sink(to, queue_bytes, &fresh);
    if (s)
        return s;
    /* Without the lock: opening may wait for a disk. */
    fresh = open_sink(to, error, error_room);
    if (!fresh)
        return NULL;
    s = join_sink(to, queue_bytes, &fresh);
    if (fresh) {
        outlet_free(&fresh->outlet);
        free(fresh);
    }
    return s;
}

struct sink_tap *
sink_tap(struct sink *s, unsigned worker)
{
    CHECK(worker < SINK_WORKERS);
    return &s->taps[worker];
}

/* ------------------------------------------------------------------ chunks */

/* With the lock held: what the tap has filled goes to the writer, an empty chunk to the spare ones.
 */
static void
hand_over(struct sink_tap *t)
{
    struct sink_chunk *full = take(&t->chunk);

    if (full && full->n > 0)
        writer_take(full);
    else if (full) {
        list_push(&t->spare, &full->link);
        t->n_spare++;
    }
}

/* With the lock held: a chunk that is free, or a promise (*may_allocate) that another may be made.
 */
static struct sink_chunk *
spare_chunk(struct sink_tap *t, bool *may_allocate)
{
    struct list *link = list_pop(&t->spare);

    *may_allocate = !link && t->allocated < t->sink->max_chunks;
    if (link)
        t->n_spare--;
    else if (*may_allocate)
        t->allocated++;
    return link ? list_entry(link, struct sink_chunk, link) : NULL;
}

/* The full chunk is handed over and an empty one takes its place; false when there is none. */
static bool
next_chunk(struct sink_tap *t)
{
    struct sink_chunk *chunk;
    bool may_allocate;

    writer_lock();
    hand_over(t);
    chunk = spare_chunk(t, &may_allocate);
    writer_unlock();
    if (may_allocate) {
        chunk = malloc(sizeof(*chunk));
        if (!chunk) {
            writer_lock();
            t->allocated--;
            writer_unlock();
        }
    }
    if (!chunk)
        return false;
    list_init(&chunk->link);
    chunk->tap = t;
    chunk->n = 0;
    t->chunk = chunk;
    return true;
}

struct text *
sink_begin(struct sink_tap *t)
{
    /* One byte more than the record: its newline. */
    if (unlikely(!t->chunk || SINK_CHUNK_BYTES - t->chunk->n <= SINK_RECORD_MAX) &&
        !next_chunk(t)) {
        atomic_fetch_add_explicit(&t->sink->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    text_fixed(&t->record, t->chunk->bytes + t->chunk->n, SINK_RECORD_MAX);
    return &t->record;
}

void
sink_commit(struct sink_tap *t)
{
    struct sink_chunk *chunk = t->chunk;

    if (unlikely(t->record.full)) {
        atomic_fetch_add_explicit(&t->sink->dropped, 1, memory_order_relaxed);
        return;
    }
    chunk->n += t->record.n;
    chunk->bytes[chunk->n++] = '\n';
}

void
sink_flush(struct sink_tap *t)
{
    if (!t->chunk || t->chunk->n == 0)
        return;
    writer_lock();
    hand_over(t);
    writer_unlock();
}

uint64_t
sink_dropped(const struct sink *s)
{
    return atomic_load_explicit(&s->dropped, memory_order_relaxed);
}

/* ------------------------------------------------------------------ the end, and beginning anew */

void
sink_release(struct sink *s)
{
    if (!s)
        return;
    writer_lock();
    CHECK(s->references > 0);
    if (--s->references == 0)
        for (size_t i = 0; i < SINK_WORKERS; i++)
            hand_over(&s->taps[i]);
    writer_notice();
    writer_unlock();
}

void
sink_reopen_all(void)
{
    writer_lock();
    list_each (link, writer_sinks())
        list_entry(link, struct sink, link)->reopen = true;
    writer_notice();
    writer_unlock();
}
