/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_start.c - what is found in the folder.
 *
 *     lock          locked by the process that uses the folder
 *     secret        of the keys: without it nothing that lies here can be found
 *     segment-N     see segment.h
 *     log-N         likewise; two of them when the process ended while it wrote a new one
 *
 * Of a segment with a footer only that is read.  What nobody can vouch for is emptied: a folder
 * without a log or with one that cannot be read, and one whose store has purged something before
 * the folder was ours.  After the machine (not only the process) ended without warning, the log may
 * lack its last second: all is softly purged, and asked about before it is used.  Other files are
 * left alone.
 */
#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOGS_MAX = 16, LOG_MOST = 256 * 1024 * 1024, FRONT_GUESS = 4096 };
#define SECRET_MAGIC UINT64_C(0x31746572636573)

struct secret_file {
    uint64_t          magic;
    struct sip_secret secret;
    uint64_t          sum;
};

struct numbers {
    uint64_t at[DISK_SEGMENTS_MAX];
    size_t   n;
};

struct start {
    struct disk   *d;
    struct numbers segments, logs;
    struct text    notes[LOGS_MAX]; /* the bytes of the logs */
    bool           doubtful;        /* nobody can vouch for what is here */
    bool           unclean;         /* the machine ended without warning */
    uint64_t       boot;
    struct segment_entry *entries;
    char          *front;
};

/* ------------------------------------------------------------------ the folder */

static enum err
open_folder(struct disk *d)
{
    int fd;

    (void) mkdir(d->folder, 0700);
    fd = open(d->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    d->folder_fd = fd;
    fd = openat(d->folder_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    d->lock_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? ERR_IN_USE : ERR_IO;
    return OK;
}

/* "prefix-0123456789abcdef" */
static bool
number_of(const char *name, const char *prefix, uint64_t *number)
{
    struct slice rest = slice_str(name);

    if (!slice_starts(rest, slice_str(prefix)))
        return false;
    rest = slice_from(rest, strlen(prefix));
    return rest.n == 16 && slice_hex_to_u64(rest, number);
}

static int
by_number(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *) a, two = *(const uint64_t *) b;

    return (one > two) - (one < two);
}

static void
note_file(struct start *f, const char *name)
{
    uint64_t number;

    if (number_of(name, "segment-", &number) && f->segments.n < DISK_SEGMENTS_MAX)
        f->segments.at[f->segments.n++] = number;
    else if (number_of(name, "log-", &number) && f->logs.n < LOGS_MAX)
        f->logs.at[f->logs.n++] = number;
}

static enum err
list_folder(struct start *f)
{
    int fd = openat(f->d->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    while ((entry = readdir(dir)))
        note_file(f, entry->d_name);
    closedir(dir);
    qsort(f->segments.at, f->segments.n, sizeof(uint64_t), by_number);
    qsort(f->logs.at, f->logs.n, sizeof(uint64_t), by_number);
    return OK;
}

/* ------------------------------------------------------------------ the secret */

static bool
read_secret(struct disk *d, struct secret_file *s)
{
    int fd = openat(d->folder_fd, "secret", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && disk_read_all(fd, s, sizeof(*s), 0) == OK && s->magic == SECRET_MAGIC &&
              s->sum == segment_sum(s, offsetof(struct secret_file, sum));

    if (fd >= 0)
        close(fd);
    return ok;
}

static enum err
write_secret(struct disk *d, struct secret_file *s)
{
    int fd = openat(d->folder_fd, "secret.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    enum err e;

    if (fd < 0)
        return err_from_errno(errno);
    s->magic = SECRET_MAGIC;
    s->secret = store_secret(d->store);
    s->sum = segment_sum(s, offsetof(struct secret_file, sum));
    e = disk_write_all(fd, s, sizeof(*s), 0);
    if (e == OK)
        (void) fdatasync(fd);
    close(fd);
    if (e == OK && renameat(d->folder_fd, "secret.new", d->folder_fd, "secret") != 0)
        e = err_from_errno(errno);
    return e;
}

static enum err
agree_on_secret(struct start *f)
{
    struct secret_file s = {0};

    if (read_secret(f->d, &s))
        return store_set_secret(f->d->store, &s.secret) ? OK : ERR_NO_MEMORY;
    f->doubtful = true;
    return write_secret(f->d, &s);
}

/* ------------------------------------------------------------------ logs */

static uint64_t
this_boot(void)
{
    char boot[64] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void) !read(fd, boot, sizeof(boot) - 1);
        close(fd);
    }
    return segment_sum(boot, sizeof(boot));
}

static bool
read_log(struct start *f, size_t i)
{
    char path[64];
    struct stat st;
    bool ok;
    int fd;

    disk_log_path(f->logs.at[i], path);
    fd = openat(f->d->folder_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    text_init(&f->notes[i], LOG_MOST);
    ok = fstat(fd, &st) == 0 && st.st_size <= LOG_MOST &&
         (st.st_size == 0 || text_reserve(&f->notes[i], (size_t) st.st_size)) &&
         disk_read_all(fd, f->notes[i].at, (size_t) st.st_size, 0) == OK;
    f->notes[i].n = ok ? (size_t) st.st_size : 0;
    close(fd);
    return ok;
}

static void
restore(struct start *f, const struct segment_log_entry *e, struct slice bytes)
{
    struct purges *p = &f->d->store->purges;
    struct purge_rule rule = {.epoch = e->epoch, .soft = e->soft != 0};

    switch ((enum segment_note) e->kind) {
    case SEGMENT_NOTE_TAG:
        rule.kind = PURGE_TAG;
        rule.tag = e->a;
        purges_restore(p, &rule);
        break;
    case SEGMENT_NOTE_PREFIX:
        rule.kind = PURGE_PREFIX;
        rule.prefix = bytes;
        purges_restore(p, &rule);
        break;
    case SEGMENT_NOTE_ALL:
        rule.kind = PURGE_ALL;
        purges_restore(p, &rule);
        break;
    case SEGMENT_NOTE_BEGIN:
        f->unclean = e->a != f->boot;
        purges_advance(p, e->epoch);
        break;
    case SEGMENT_NOTE_END: f->unclean = false; break;
    case SEGMENT_NOTE_FORGET:
    case SEGMENT_NOTE_LIVE:
    case SEGMENT_NOTES: break;
    }
}

static void
read_logs(struct start *f)
{
    f->doubtful = f->doubtful || (f->logs.n == 0 && f->segments.n > 0);
    for (size_t i = 0; i < f->logs.n && !f->doubtful; i++) {
        enum segment_log_found found = SEGMENT_LOG_GOOD;
        struct segment_log_entry e;
        struct slice rest, bytes;

        f->doubtful = !read_log(f, i);
        rest = text_slice(&f->notes[i]);
        while ((found = segment_log_next(&rest, &e, &bytes)) == SEGMENT_LOG_GOOD)
            restore(f, &e, bytes);
        f->doubtful = f->doubtful || found == SEGMENT_LOG_BAD;
    }
}

/* ------------------------------------------------------------------ segments */

/* Bytes of the entry's record stand where it says. */
static void
index_entry(struct start *f, const struct disk_segment *g, const struct segment_entry *e,
            uint32_t ordinal)
{
    struct disk *d = f->d;
    struct disk_entry entry = {.slot = g->slot,
                               .ordinal = (uint16_t) ordinal,
                               .at = (uint32_t) (e->at / SEGMENT_UNIT),
                               .units = (uint32_t) (e->bytes / SEGMENT_UNIT) & 0x3FFFFFFF};

    if (!disk_index_reserve(d, e->key))
        return;
    pthread_mutex_lock(&d->lock);
    (void) disk_index_put(d, e->key, &entry);
    pthread_mutex_unlock(&d->lock);
}

static bool
load_footer(struct start *f, struct disk_segment *g, uint64_t bytes)
{
    struct segment_trailer t;

    if (bytes < sizeof(struct segment_header) + sizeof(t) ||
        disk_read_all(g->fd, &t, sizeof(t), bytes - sizeof(t)) != OK ||
        !segment_trailer_is_good(&t, g->number, bytes) ||
        disk_read_all(g->fd, f->entries, (size_t) t.entries_n * sizeof(*f->entries),
                      t.entries_at) != OK ||
        !segment_entries_are_good(&t, f->entries))
        return false;
    g->records = (uint32_t) t.entries_n;
    g->measured = t.measured;
    g->newest = t.newest;
    g->sealed = true;
    return true;
}

/* The record there, if it is good and all of it is in the file. */
static bool
scan_record(struct start *f, struct disk_segment *g, uint64_t at, uint64_t bytes,
            struct segment_view *view)
{
    size_t n = bytes - at < FRONT_GUESS ? (size_t) (bytes - at) : FRONT_GUESS;
    enum segment_found found;

    if (disk_read_all(g->fd, f->front, n, at) != OK)
        return false;
    found = segment_record_view(slice_of(f->front, n), g->number, view);
    if (found == SEGMENT_MORE && view->front_n <= bytes - at &&
        view->front_n <= SEGMENT_FRONT_MAX &&
        disk_read_all(g->fd, f->front, view->front_n, at) == OK)
        found = segment_record_view(slice_of(f->front, view->front_n), g->number, view);
    return found == SEGMENT_GOOD && view->record.ordinal == g->records &&
           view->bytes <= bytes - at;
}

/* It ends with the first record that is not good. */
static uint64_t
scan(struct start *f, struct disk_segment *g, uint64_t bytes)
{
    uint64_t at = sizeof(struct segment_header);
    struct segment_view view;

    g->records = 0;
    g->measured = UINT64_MAX;
    while (at < bytes && g->records < SEGMENT_RECORDS_MAX &&
           scan_record(f, g, at, bytes, &view)) {
        f->entries[g->records++] =
            (struct segment_entry){.key = view.record.key, .at = at, .bytes = view.bytes};
        if (view.record.measured < g->measured)
            g->measured = view.record.measured;
        if (view.record.measured > g->newest)
            g->newest = view.record.measured;
        at += view.bytes;
    }
    return at;
}

static void
load_segment(struct start *f, uint64_t number)
{
    struct disk *d = f->d;
    struct disk_segment *g = NULL;
    struct segment_header h;
    struct stat st;
    char path[64];
    int fd;

    disk_segment_path(number, path);
    fd = openat(d->folder_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &st) == 0 && disk_read_all(fd, &h, sizeof(h), 0) == OK &&
        segment_header_is_good(&h) && h.number == number) {
        pthread_mutex_lock(&d->lock);
        g = disk_segment_add(d, number, fd);
        pthread_mutex_unlock(&d->lock);
    }
    if (!g) {
        if (fd >= 0)
            close(fd);
        (void) unlinkat(d->folder_fd, path, 0);
        return;
    }
    g->process = h.process;
    pthread_mutex_lock(&d->lock);
    d->segments_bytes += (uint64_t) st.st_size - g->bytes;
    g->bytes = (uint64_t) st.st_size;
    pthread_mutex_unlock(&d->lock);
    if (!load_footer(f, g, g->bytes)) {
        uint64_t good = scan(f, g, g->bytes);

        pthread_mutex_lock(&d->lock);
        d->segments_bytes -= g->bytes - good;
        g->bytes = good;
        pthread_mutex_unlock(&d->lock);
        (void) !ftruncate(fd, (off_t) good);
        (void) disk_segment_seal(d, g, f->entries, g->records);
    }
    if (g->records == 0) {
        disk_segment_drop(d, g);
        return;
    }
    /* A rule whose purge was not answered may be lost; its number must not come again. */
    purges_advance(&d->store->purges, g->newest);
    for (uint32_t i = 0; i < g->records; i++)
        index_entry(f, g, &f->entries[i], i);
}

/* ------------------------------------------------------------------ what is gone of them */

struct live {
    struct slice map[DISK_SEGMENTS_MAX]; /* by slot */
    uint32_t     records[DISK_SEGMENTS_MAX];
};

static bool
has_bit(struct slice map, size_t i)
{
    return (uint8_t) map.at[i / 8] >> (i % 8) & 1;
}

static bool
judge(struct disk *d, struct disk_entry *e, void *arg)
{
    const struct live *live = arg;
    struct slice map = live->map[e->slot];

    (void) d;
    if (!map.n || e->ordinal >= live->records[e->slot])
        return false;
    if (!has_bit(map, e->ordinal))
        return true;
    if (has_bit(slice_from(map, map.n / 2), e->ordinal))
        e->flags |= DISK_SOFT;
    return false;
}

static void
note_live(struct disk *d, struct live *live, const struct segment_log_entry *e,
          struct slice bytes)
{
    if (e->ordinal > SEGMENT_RECORDS_MAX || bytes.n != 2 * ((size_t) (e->ordinal + 7) / 8))
        return;
    for (unsigned i = 0; i < DISK_SEGMENTS_MAX; i++)
        if (d->slots[i] && d->slots[i]->number == e->segment) {
            live->map[i] = bytes;
            live->records[i] = (uint32_t) e->ordinal;
        }
}

static void
forget(struct disk *d, const struct segment_log_entry *n)
{
    const struct store_key key = {n->a, n->b};
    struct disk_entry *e;

    pthread_mutex_lock(&d->lock);
    e = disk_index_find(d, key);
    if (e) {
        const struct disk_segment *g = d->slots[e->slot];
        bool before =
            g->number < n->segment || (g->number == n->segment && e->ordinal < n->ordinal);

        if (before && n->soft)
            e->flags |= DISK_SOFT;
        else if (before)
            disk_index_remove(d, key.high % STORE_SHARDS, e);
    }
    pthread_mutex_unlock(&d->lock);
}

static void
apply_log(struct start *f, struct live *live, struct slice rest)
{
    struct segment_log_entry e;
    struct slice bytes;

    memset(live, 0, sizeof(*live));
    while (segment_log_next(&rest, &e, &bytes) == SEGMENT_LOG_GOOD) {
        if (e.kind == SEGMENT_NOTE_LIVE)
            note_live(f->d, live, &e, bytes);
        else if (e.kind == SEGMENT_NOTE_FORGET)
            forget(f->d, &e);
    }
    for (unsigned shard = 0; shard < STORE_SHARDS; shard++) {
        pthread_mutex_lock(&f->d->lock);
        disk_index_each(f->d, shard, judge, live);
        pthread_mutex_unlock(&f->d->lock);
    }
}

static bool
apply_logs(struct start *f)
{
    struct live *live = malloc(sizeof(*live));

    for (size_t i = 0; live && i < f->logs.n; i++)
        apply_log(f, live, text_slice(&f->notes[i]));
    free(live);
    return live != NULL;
}

/* ------------------------------------------------------------------ all of it */

static void
unlink_logs(struct start *f)
{
    char path[64];

    for (size_t i = 0; i < f->logs.n; i++) {
        disk_log_path(f->logs.at[i], path);
        (void) unlinkat(f->d->folder_fd, path, 0);
    }
}

static void
unlink_segments(struct start *f)
{
    char path[64];

    for (size_t i = 0; i < f->segments.n; i++) {
        disk_segment_path(f->segments.at[i], path);
        (void) unlinkat(f->d->folder_fd, path, 0);
    }
    f->segments.n = 0;
}

/* From here on, what is purged is noted. */
static enum err
take_over(struct start *f)
{
    struct disk *d = f->d;
    uint64_t last = f->logs.n ? f->logs.at[f->logs.n - 1] : 0;

    if (!disk_log_begin(d, last))
        return errno == ENOSPC ? ERR_LIMIT : ERR_IO;
    pthread_mutex_lock(&d->lock);
    f->doubtful = f->doubtful || d->missed;
    d->state = DISK_LOADING;
    if (f->segments.n)
        d->next_number = f->segments.at[f->segments.n - 1] + 1;
    pthread_mutex_unlock(&d->lock);
    if (f->doubtful) {
        if (f->segments.n)
            disk_tell(d, true, "%s is emptied: nobody knows what was purged of it", d->folder);
        unlink_segments(f);
        unlink_logs(f);
        f->logs.n = 0;
    } else if (f->unclean && f->segments.n) {
        purges_add_all(&d->store->purges, true);
    }
    return OK;
}

static bool
load(struct start *f)
{
    struct disk *d = f->d;
    bool ok;

    for (size_t i = 0; i < f->segments.n && !d->ending; i++)
        load_segment(f, f->segments.at[i]);
    ok = apply_logs(f);
    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < d->early_n; i++) {
        struct disk_entry *e = disk_index_find(d, d->early[i].key);

        if (e && d->early[i].soft)
            e->flags |= DISK_SOFT;
        else if (e)
            disk_index_remove(d, d->early[i].key.high % STORE_SHARDS, e);
    }
    ok = ok && !d->early_lost;
    if (ok)
        d->state = DISK_READY;
    pthread_mutex_unlock(&d->lock);
    return ok;
}

static enum err
start(struct start *f)
{
    enum err e = open_folder(f->d);

    if (e == OK)
        e = list_folder(f);
    if (e == OK)
        e = agree_on_secret(f);
    if (e != OK)
        return e;
    /* What was purged before this has been purged of memory only. */
    f->doubtful = f->doubtful || purges_epoch(&f->d->store->purges) > 1;
    f->boot = this_boot();
    pthread_mutex_lock(&f->d->lock);
    f->d->reading = true;
    pthread_mutex_unlock(&f->d->lock);
    read_logs(f);
    e = take_over(f);
    if (e != OK)
        return e;
    if (!load(f)) {
        disk_clear(f->d);
        pthread_mutex_lock(&f->d->lock);
        f->d->state = DISK_READY;
        pthread_mutex_unlock(&f->d->lock);
    }
    if (disk_log_rotate(f->d))
        unlink_logs(f);
    pthread_mutex_lock(&f->d->lock);
    f->d->reading = false;
    pthread_mutex_unlock(&f->d->lock);
    return OK;
}

enum err
disk_start(struct disk *d)
{
    struct start *f = calloc(1, sizeof(*f));
    enum err e = ERR_NO_MEMORY;

    if (!f)
        return e;
    f->d = d;
    f->entries = malloc(SEGMENT_RECORDS_MAX * sizeof(*f->entries));
    f->front = malloc(SEGMENT_FRONT_MAX);
    if (f->entries && f->front)
        e = start(f);
    for (size_t i = 0; i < LOGS_MAX; i++)
        text_free(&f->notes[i]);
    free(f->entries);
    free(f->front);
    free(f);
    return e;
}
