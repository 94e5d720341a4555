/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_log.c - purges and what is forgotten, so that they hold after a restart.
 *
 * What is said about objects takes effect in memory at once, and is noted in a file before whoever
 * said it hears that it was done.  When the file has grown, a new one is written with what still
 * counts: the rules of the purges, and for each segment which of its records are live.  If a log
 * cannot be written it is removed: a folder without one is emptied at the next start.
 *
 * The bytes are safe from the end of the process once they are written, from the end of the machine
 * about a second later; see disk_start.c for what follows from that.
 */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PENDING_MAX = 1024 * 1024, NOTES_MAX = 256 * 1024 * 1024 };
#define ROTATE_BYTES (UINT64_C(1) << 20)

void
disk_log_path(uint64_t number, char out[64])
{
    snprintf(out, 64, "log-%016llx", (unsigned long long) number);
}

static void
put_entry(struct text *t, struct segment_log_entry *e, struct slice bytes)
{
    size_t n;

    e->bytes_n = (uint32_t) bytes.n;
    n = segment_log_bytes(e);
    if (t->n + n > t->room && !text_reserve(t, n))
        return;
    segment_log_make(e, bytes, t->at + t->n);
    t->n += n;
}

void
disk_log_put(struct disk *d, struct segment_log_entry *e, struct slice bytes)
{
    if (!d->pending.max_bytes)
        text_init(&d->pending, PENDING_MAX);
    put_entry(&d->pending, e, bytes);
    d->pending_lost = d->pending_lost || d->pending.full;
    d->noted++;
}

/* With the log's lock. */
static void
abandon(struct disk *d)
{
    char path[64];

    disk_tell(d, true, "cannot write the log of purges in %s: after a restart it begins empty",
              d->folder);
    disk_log_path(d->log.number, path);
    (void) unlinkat(d->folder_fd, path, 0);
    close(d->log.fd);
    d->log.fd = -1;
}

/* With the log's lock, and none of disk.lock. */
static void
note_committed(struct disk *d, uint64_t noted)
{
    pthread_mutex_lock(&d->lock);
    d->committed = noted;
    pthread_mutex_unlock(&d->lock);
}

void
disk_log_flush(struct disk *d)
{
    struct text bytes = {0};
    uint64_t noted;
    bool lost;

    pthread_mutex_lock(&d->log.lock);
    if (d->log.fd >= 0) {
        pthread_mutex_lock(&d->lock);
        bytes = d->pending;
        lost = d->pending_lost;
        noted = d->noted;
        d->pending = (struct text){0};
        d->pending_lost = false;
        pthread_mutex_unlock(&d->lock);
        if (lost || (bytes.n && disk_write_all(d->log.fd, bytes.at, bytes.n, d->log.bytes) != OK))
            abandon(d);
        d->log.bytes += bytes.n;
        d->log.unsafe = d->log.unsafe || bytes.n;
        note_committed(d, noted);
    }
    pthread_mutex_unlock(&d->log.lock);
    text_free(&bytes);
}

/* ------------------------------------------------------------------ all that still counts */

static void
put_rule(void *arg, const struct purge_rule *rule)
{
    static const uint32_t kinds[] = {[PURGE_TAG] = SEGMENT_NOTE_TAG,
                                     [PURGE_PREFIX] = SEGMENT_NOTE_PREFIX,
                                     [PURGE_ALL] = SEGMENT_NOTE_ALL};
    struct segment_log_entry e = {
        .kind = kinds[rule->kind], .soft = rule->soft, .epoch = rule->epoch, .a = rule->tag};

    put_entry(arg, &e, rule->prefix);
}

/* Of each segment two bits for each record: live, and soft. */
struct maps {
    uint8_t *of[DISK_SEGMENTS_MAX];
    uint32_t records[DISK_SEGMENTS_MAX];
    uint64_t number[DISK_SEGMENTS_MAX];
};

static size_t
half_of(uint32_t records)
{
    return (records + 7) / 8;
}

static bool
note_live(struct disk *d, struct disk_entry *e, void *arg)
{
    struct maps *m = arg;
    uint8_t *map = m->of[e->slot];

    (void) d;
    if (map && e->ordinal < m->records[e->slot]) {
        const uint8_t bit = (uint8_t) (1 << e->ordinal % 8);

        map[e->ordinal / 8] |= bit;
        if (e->flags & DISK_SOFT)
            map[half_of(m->records[e->slot]) + e->ordinal / 8] |= bit;
    }
    return false;
}

static bool
begin_maps(struct disk *d, struct maps *m)
{
    bool ok = true;

    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < DISK_SEGMENTS_MAX && ok; i++) {
        const struct disk_segment *g = d->slots[i];

        if (!g || g->records == 0)
            continue;
        m->records[i] = g->records;
        m->number[i] = g->number;
        m->of[i] = calloc(2, half_of(g->records));
        ok = m->of[i] != NULL;
    }
    pthread_mutex_unlock(&d->lock);
    return ok;
}

static void
put_live(struct disk *d, struct text *t)
{
    struct maps *m = calloc(1, sizeof(*m));
    bool ok = m && begin_maps(d, m);

    for (unsigned shard = 0; ok && shard < STORE_SHARDS; shard++) {
        pthread_mutex_lock(&d->lock);
        disk_index_each(d, shard, note_live, m);
        pthread_mutex_unlock(&d->lock);
    }
    for (unsigned i = 0; m && i < DISK_SEGMENTS_MAX; i++) {
        struct segment_log_entry e = {.kind = SEGMENT_NOTE_LIVE,
                                      .segment = m->number[i],
                                      .ordinal = m->records[i]};

        if (ok && m->of[i])
            put_entry(t, &e, slice_of((char *) m->of[i], 2 * half_of(m->records[i])));
        free(m->of[i]);
    }
    free(m);
    t->full = t->full || !ok;
}

static void
put_begin(struct disk *d, struct text *t)
{
    struct segment_log_entry e = {.kind = SEGMENT_NOTE_BEGIN,
                                  .epoch = purges_epoch(&d->store->purges)};
    char boot[64] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void) !read(fd, boot, sizeof(boot) - 1);
        close(fd);
    }
    e.a = segment_sum(boot, sizeof(boot));
    put_entry(t, &e, SLICE(""));
}

/* ------------------------------------------------------------------ files */

/* With the log's lock.  The old one, if there is one, is closed but stays. */
static bool
write_new(struct disk *d, uint64_t number, const struct text *t)
{
    char path[64];
    int fd;

    disk_log_path(number, path);
    fd = openat(d->folder_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    if (t->full || disk_write_all(fd, t->at, t->n, 0) != OK) {
        (void) unlinkat(d->folder_fd, path, 0);
        close(fd);
        return false;
    }
    if (d->log.fd >= 0)
        close(d->log.fd);
    d->log.fd = fd;
    d->log.number = number;
    d->log.bytes = d->log.bytes_at_start = t->n;
    d->log.unsafe = true;
    return true;
}

bool
disk_log_begin(struct disk *d, uint64_t last)
{
    struct text t;
    bool ok;

    text_init(&t, PENDING_MAX);
    put_begin(d, &t);
    pthread_mutex_lock(&d->log.lock);
    ok = write_new(d, last + 1, &t);
    pthread_mutex_unlock(&d->log.lock);
    text_free(&t);
    return ok;
}

bool
disk_log_rotate(struct disk *d)
{
    const uint64_t before = d->log.number;
    uint64_t noted;
    struct text t;
    char path[64];
    bool ok;

    text_init(&t, NOTES_MAX);
    pthread_mutex_lock(&d->log.lock);
    /* What is pending is in the state already, which is noted now. */
    pthread_mutex_lock(&d->lock);
    text_free(&d->pending);
    d->pending = (struct text){0};
    d->pending_lost = false;
    noted = d->noted;
    pthread_mutex_unlock(&d->lock);
    put_begin(d, &t);
    purges_each(&d->store->purges, put_rule, &t);
    put_live(d, &t);
    ok = write_new(d, before + 1, &t);
    if (!ok && d->log.fd >= 0)
        abandon(d);
    note_committed(d, noted);
    pthread_mutex_unlock(&d->log.lock);
    text_free(&t);
    disk_log_path(before, path);
    if (ok)
        (void) unlinkat(d->folder_fd, path, 0);
    return ok;
}

/* A second descriptor, so that nobody waits for the disk with the lock. */
static void
make_safe(struct disk *d)
{
    int fd = -1;

    pthread_mutex_lock(&d->log.lock);
    if (d->log.unsafe && d->log.fd >= 0)
        fd = dup(d->log.fd);
    d->log.unsafe = false;
    pthread_mutex_unlock(&d->log.lock);
    if (fd >= 0) {
        (void) fdatasync(fd);
        close(fd);
    }
}

void
disk_log_tend(struct disk *d)
{
    bool wanted;

    disk_log_flush(d);
    pthread_mutex_lock(&d->log.lock);
    wanted = d->log.fd < 0 || d->log.bytes > ROTATE_BYTES + 4 * d->log.bytes_at_start;
    pthread_mutex_unlock(&d->log.lock);
    if (wanted)
        (void) disk_log_rotate(d);
    make_safe(d);
}

void
disk_log_end(struct disk *d)
{
    struct segment_log_entry e = {.kind = SEGMENT_NOTE_END};

    make_safe(d);
    pthread_mutex_lock(&d->lock);
    disk_log_put(d, &e, SLICE(""));
    pthread_mutex_unlock(&d->lock);
    disk_log_flush(d);
    make_safe(d);
    pthread_mutex_lock(&d->log.lock);
    if (d->log.fd >= 0)
        close(d->log.fd);
    d->log.fd = -1;
    pthread_mutex_unlock(&d->log.lock);
}
