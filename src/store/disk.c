/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk.c - opening, closing, and what the store asks of its disk. */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    START_MS = 1000,
    END_MS = 3000,
    IN_USE_MS = 200,
    RETRY_MS = 5000,
    POOL_THREADS = 8,
    READ_US = 2000000
};

struct disk_calls disk_calls = {pread, pwrite};
OFFLOAD_POOL(disk_pool, POOL_THREADS);

/* ------------------------------------------------------------------ the system */

enum err
disk_read_all(int fd, void *at, size_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t got = disk_calls.read(fd, at, n, (off_t) offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? err_from_errno(errno) : ERR_END;
        at = (char *) at + got;
        n -= (size_t) got;
        offset += (uint64_t) got;
    }
    return OK;
}

enum err
disk_write_all(int fd, const void *at, size_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t put = disk_calls.write(fd, at, n, (off_t) offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? err_from_errno(errno) : ERR_IO;
        at = (const char *) at + put;
        n -= (size_t) put;
        offset += (uint64_t) put;
    }
    return OK;
}

void
disk_tell(struct disk *d, bool trouble, const char *format, ...)
{
    char sentence[1024];
    va_list args;

    if (!d->tell)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    d->tell(trouble, sentence);
}

/* ------------------------------------------------------------------ what the store says */

static bool
is_being_written(const struct disk *d, struct store_key key)
{
    for (uint32_t i = 0; i < d->writing_n; i++)
        if (d->writing[i].low == key.low && d->writing[i].high == key.high)
            return true;
    return false;
}

static void
note_forgotten(struct disk *d, struct store_key key, bool soft)
{
    struct segment_log_entry e = {
        .kind = SEGMENT_NOTE_FORGET, .soft = soft, .a = key.high, .b = key.low};

    e.segment = d->open ? d->open->number : d->next_number;
    e.ordinal = d->open ? d->open->records : 0;
    disk_log_put(d, &e, SLICE(""));
}

/* With disk.lock. */
static void
forget_early(struct disk *d, struct store_key key, bool soft)
{
    if (d->early_n < DISK_EARLY) {
        d->early[d->early_n].key = key;
        d->early[d->early_n++].soft = soft;
    } else {
        d->early_lost = true;
    }
    note_forgotten(d, key, soft);
}

/* With disk.lock.  Of those that wait to be written, those that are purged are seen to be it when
 * their turn comes. */
static void
forget(struct disk *d, struct store_key key, bool soft)
{
    struct disk_entry *e;

    switch (d->state) {
    case DISK_OFF: break;
    case DISK_OPENING: d->missed = true; break;
    case DISK_LOADING: forget_early(d, key, soft); break;
    case DISK_READY:
        e = disk_index_find(d, key);
        if (e || is_being_written(d, key))
            note_forgotten(d, key, soft);
        if (e && soft)
            e->flags |= DISK_SOFT;
        else if (e)
            disk_index_remove(d, key.high % STORE_SHARDS, e);
        break;
    }
}

static void
disk_forget(struct tier *t, struct store_key key, bool soft)
{
    struct disk *d = disk_of(t);

    pthread_mutex_lock(&d->lock);
    forget(d, key, soft);
    pthread_mutex_unlock(&d->lock);
}

static void
disk_offer(struct tier *t, struct store_key key, struct store_object *o)
{
    struct disk *d = disk_of(t);
    const uint64_t bytes = (uint64_t) store_length(o);
    bool queued;

    /* An older one is not right any more, whether this one is written or not. */
    pthread_mutex_lock(&d->lock);
    if (d->state >= DISK_LOADING)
        forget(d, key, false);
    queued = d->state >= DISK_LOADING && !d->ending && d->queue_n < DISK_QUEUE &&
             (d->queue_n == 0 ||
              d->queue_bytes + bytes <= d->store->memory_bytes / DISK_QUEUE_SHARE);
    if (queued) {
        store_hold(o);
        d->queue[(d->queue_at + d->queue_n++) % DISK_QUEUE] = o;
        d->queue_bytes += bytes;
        pthread_cond_signal(&d->wake);
    } else if (d->state != DISK_OFF) {
        d->dropped++;
    }
    pthread_mutex_unlock(&d->lock);
}

static void
disk_note(struct tier *t, const struct purge_rule *rule)
{
    static const uint32_t kinds[] = {[PURGE_TAG] = SEGMENT_NOTE_TAG,
                                     [PURGE_PREFIX] = SEGMENT_NOTE_PREFIX,
                                     [PURGE_ALL] = SEGMENT_NOTE_ALL};
    struct segment_log_entry e = {
        .kind = kinds[rule->kind], .soft = rule->soft, .epoch = rule->epoch, .a = rule->tag};
    struct disk *d = disk_of(t);

    pthread_mutex_lock(&d->lock);
    if (d->state == DISK_OPENING)
        d->missed = true;
    else if (d->state != DISK_OFF)
        disk_log_put(d, &e, rule->prefix);
    pthread_mutex_unlock(&d->lock);
}

static void
flush(void *arg)
{
    disk_log_flush(arg);
}

static void
disk_commit(struct tier *t)
{
    struct disk *d = disk_of(t);
    bool wanted;

    pthread_mutex_lock(&d->lock);
    /* Somebody else may be writing them just now: that is to be waited for. */
    wanted = d->committed < d->noted && d->state >= DISK_LOADING;
    pthread_mutex_unlock(&d->lock);
    if (wanted)
        offload_to(&disk_pool, flush, d);
}

static bool
disk_has(struct tier *t, struct store_key key)
{
    struct disk *d = disk_of(t);
    bool has;

    pthread_mutex_lock(&d->lock);
    has = d->state == DISK_READY && disk_index_find(d, key);
    pthread_mutex_unlock(&d->lock);
    return has;
}

static uint64_t
disk_measured(struct tier *t)
{
    struct disk *d = disk_of(t);
    uint64_t least = UINT64_MAX;
    struct disk_segment *g;

    pthread_mutex_lock(&d->lock);
    if (d->reading || d->state == DISK_LOADING)
        least = 0;
    for (struct list *l = d->segments.next; least > 0 && l != &d->segments; l = l->next) {
        g = list_entry(l, struct disk_segment, link);
        if (g->measured < least)
            least = g->measured;
    }
    pthread_mutex_unlock(&d->lock);
    return least;
}

static void
disk_settle(struct tier *t, unsigned shard, uint32_t open)
{
    disk_index_settle(disk_of(t), shard, open);
}

static const struct tier_ops disk_ops = {
    .fetch = disk_fetch,
    .has = disk_has,
    .offer = disk_offer,
    .forget = disk_forget,
    .note = disk_note,
    .commit = disk_commit,
    .measured = disk_measured,
    .settle = disk_settle,
};

/* ------------------------------------------------------------------ the thread */

static void
drop_segments(struct disk *d, bool files)
{
    for (;;) {
        struct disk_segment *g = NULL;

        pthread_mutex_lock(&d->lock);
        if (!list_is_empty(&d->segments))
            g = list_entry(d->segments.next, struct disk_segment, link);
        if (g && !files) {
            list_remove(&g->link);
            d->slots[g->slot] = NULL;
            d->segments_n--;
            d->segments_bytes -= g->bytes;
        }
        pthread_mutex_unlock(&d->lock);
        if (!g)
            return;
        if (files)
            disk_segment_drop(d, g);
        else
            disk_segment_leave(d, g);
    }
}

void
disk_clear(struct disk *d)
{
    disk_index_clear(d);
    drop_segments(d, true);
}

/* Back to the beginning, on the disk all stays. */
static void
leave_folder(struct disk *d)
{
    pthread_mutex_lock(&d->lock);
    d->state = d->ending ? DISK_OFF : DISK_OPENING;
    d->open = NULL;
    d->early_n = 0;
    d->early_lost = d->reading = false;
    pthread_mutex_unlock(&d->lock);
    disk_queue_clear(d);
    disk_index_clear(d);
    drop_segments(d, false);
    /* Somebody may be writing to it. */
    pthread_mutex_lock(&d->log.lock);
    if (d->log.fd >= 0)
        close(d->log.fd);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    if (d->folder_fd >= 0)
        close(d->folder_fd);
    d->log.fd = d->lock_fd = d->folder_fd = -1;
    pthread_mutex_unlock(&d->log.lock);
}

static void
say_why(struct disk *d, enum err e)
{
    if (e == ERR_IN_USE)
        disk_tell(d, true,
                  "another process uses %s: without it until that one ends (no two stores or "
                  "processes may share a folder)",
                  d->folder);
    else
        disk_tell(d, true,
                  "cannot use %s: %s; memory only, and another try every 5 seconds. The folder "
                  "must exist and belong to the user that the proxy runs as (process.user; its "
                  "number is %u)",
                  d->folder, e == ERR_LIMIT ? "no space left" : err_sentence(e),
                  (unsigned) geteuid());
}

static struct timespec
in_ms(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long) (ms % 1000) * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void
settle(struct disk *d)
{
    pthread_mutex_lock(&d->lock);
    d->settled = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

/* True: the folder is ours. */
static bool
begin(struct disk *d)
{
    enum err e, told = OK;
    bool ending = false;

    while (!ending && (e = disk_start(d)) != OK) {
        struct timespec until = in_ms(e == ERR_IN_USE ? IN_USE_MS : RETRY_MS);

        leave_folder(d);
        if (e != told)
            say_why(d, e);
        told = e;
        settle(d);
        pthread_mutex_lock(&d->lock);
        if (!d->ending)
            pthread_cond_timedwait(&d->wake, &d->lock, &until);
        ending = d->ending;
        pthread_mutex_unlock(&d->lock);
    }
    if (!ending && told != OK)
        disk_tell(d, false, "%s can be used now", d->folder);
    return !ending;
}

static void *
run(void *arg)
{
    struct disk *d = arg;

    if (begin(d)) {
        settle(d);
        disk_write(d);
        disk_queue_clear(d);
        disk_log_end(d);
    }
    leave_folder(d);
    return NULL;
}

/* ------------------------------------------------------------------ coming and going */

static struct disk *
new_disk(struct store *s)
{
    struct disk *d = calloc(1, sizeof(*d));
    pthread_condattr_t monotonic;

    if (!d)
        return NULL;
    d->tier.ops = &disk_ops;
    d->store = s;
    d->process = random_u64();
    d->read_us = READ_US;
    d->folder_fd = d->lock_fd = d->log.fd = -1;
    list_init(&d->segments);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->log.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &monotonic);
    pthread_cond_init(&d->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return d;
}

static void
wait_settled(void *arg)
{
    struct disk *d = arg;
    struct timespec until = in_ms(START_MS);

    pthread_mutex_lock(&d->lock);
    while (!d->settled)
        if (pthread_cond_timedwait(&d->changed, &d->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&d->lock);
}

struct joining {
    struct disk *d;
    bool         ended;
};

static void
join(void *arg)
{
    struct joining *j = arg;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_MS / 1000;
    j->ended = pthread_timedjoin_np(j->d->thread, NULL, &until) == 0;
}

/* False: it hangs, and may use all it knows for ever. */
static bool
stop(struct disk *d)
{
    struct joining j = {.d = d, .ended = true};

    if (!d->running)
        return true;
    pthread_mutex_lock(&d->lock);
    d->ending = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    offload(join, &j);
    d->running = false;
    if (!j.ended)
        pthread_detach(d->thread);
    return j.ended;
}

static void
begin_thread(struct disk *d)
{
    sigset_t all, before;

    pthread_mutex_lock(&d->lock);
    d->ending = d->settled = d->missed = false;
    d->state = DISK_OPENING;
    pthread_mutex_unlock(&d->lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->running = pthread_create(&d->thread, NULL, run, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!d->running) {
        d->state = DISK_OFF;
        return;
    }
    pthread_setname_np(d->thread, "store-disk");
    offload(wait_settled, d);
}

static bool
is_same(const struct disk *d, struct slice folder)
{
    return d->running && slice_eq(slice_str(d->folder), folder);
}

void
disk_apply(struct store *s, const struct store_options *options)
{
    struct disk *d = s->tier && s->tier->ops == &disk_ops ? disk_of(s->tier) : NULL;

    if (d && is_same(d, options->folder)) {
        pthread_mutex_lock(&d->lock);
        d->max_bytes = options->disk_bytes;
        pthread_mutex_unlock(&d->lock);
        return;
    }
    if (d && !stop(d)) {
        struct disk *fresh = new_disk(s);

        disk_tell(d, true, "%s hangs, and is left alone", d->folder);
        pthread_mutex_lock(&s->memory);
        s->holds++; /* for ever */
        pthread_mutex_unlock(&s->memory);
        if (fresh)
            fresh->before = d;
        d = fresh;
        s->tier = d ? &d->tier : NULL;
    }
    if (options->folder.n == 0 || options->folder.n >= DISK_PATH)
        return;
    if (!d)
        d = new_disk(s);
    if (!d)
        return;
    memcpy(d->folder, options->folder.at, options->folder.n);
    d->folder[options->folder.n] = '\0';
    d->tell = options->tell;
    d->max_bytes = options->disk_bytes;
    s->tier = &d->tier;
    begin_thread(d);
}

void
disk_close(struct store *s)
{
    struct disk *d = s->tier && s->tier->ops == &disk_ops ? disk_of(s->tier) : NULL;

    if (d && !stop(d)) {
        pthread_mutex_lock(&s->memory);
        s->holds++; /* for ever */
        pthread_mutex_unlock(&s->memory);
    }
}

void
disk_free(struct store *s)
{
    struct disk *d = s->tier && s->tier->ops == &disk_ops ? disk_of(s->tier) : NULL;

    if (!d)
        return;
    text_free(&d->pending);
    pthread_cond_destroy(&d->wake);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->log.lock);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

void
disk_status(const struct store *s, struct store_status *out)
{
    struct tier *t = s->tier;
    struct disk *d = t && t->ops == &disk_ops ? disk_of(t) : NULL;

    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    out->disk_objects = d->objects;
    out->disk_bytes = d->segments_bytes;
    out->disk_max = d->state == DISK_READY ? d->max_bytes : 0;
    out->disk_hits = d->hits;
    out->disk_written = d->written;
    out->disk_dropped = d->dropped;
    out->disk_broken = d->broken;
    pthread_mutex_unlock(&d->lock);
}
