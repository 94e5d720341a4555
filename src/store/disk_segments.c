/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk_segments.c - the files that objects lie in: how they come, are closed, and go. */
#include "store/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
disk_segment_path(uint64_t number, char out[64])
{
    snprintf(out, 64, "segment-%016llx", (unsigned long long) number);
}

struct disk_segment *
disk_segment_add(struct disk *d, uint64_t number, int fd)
{
    struct disk_segment *g;
    uint16_t slot = 0;

    while (slot < DISK_SEGMENTS_MAX && d->slots[slot])
        slot++;
    g = slot < DISK_SEGMENTS_MAX ? calloc(1, sizeof(*g)) : NULL;
    if (!g)
        return NULL;
    g->number = number;
    g->process = d->process;
    g->measured = UINT64_MAX;
    g->bytes = sizeof(struct segment_header);
    g->fd = fd;
    g->refs = 1;
    g->slot = slot;
    d->slots[slot] = g;
    list_append(&d->segments, &g->link);
    d->segments_n++;
    d->segments_bytes += g->bytes;
    if (number >= d->next_number)
        d->next_number = number + 1;
    return g;
}

void
disk_segment_leave(struct disk *d, struct disk_segment *g)
{
    bool last;

    pthread_mutex_lock(&d->lock);
    last = --g->refs == 0;
    pthread_mutex_unlock(&d->lock);
    if (last) {
        close(g->fd);
        free(g);
    }
}

static bool
is_in(struct disk *d, struct disk_entry *e, void *arg)
{
    const struct disk_segment *g = arg;

    (void) d;
    return e->slot == g->slot;
}

void
disk_segment_drop(struct disk *d, struct disk_segment *g)
{
    char path[64];

    for (unsigned shard = 0; shard < STORE_SHARDS; shard++) {
        pthread_mutex_lock(&d->lock);
        disk_index_each(d, shard, is_in, g);
        pthread_mutex_unlock(&d->lock);
    }
    disk_segment_path(g->number, path);
    (void) unlinkat(d->folder_fd, path, 0);
    pthread_mutex_lock(&d->lock);
    list_remove(&g->link);
    d->slots[g->slot] = NULL;
    d->segments_n--;
    d->segments_bytes -= g->bytes;
    if (d->open == g)
        d->open = NULL;
    pthread_mutex_unlock(&d->lock);
    disk_segment_leave(d, g);
    /* The rules that only it had to be measured against. */
    store_sweep_wake(d->store);
}

enum err
disk_segment_seal(struct disk *d, struct disk_segment *g, const struct segment_entry *entries,
                  size_t n)
{
    struct segment_trailer t;
    uint64_t at = g->bytes;
    enum err e;

    segment_trailer_make(&t, g->number, at, entries, n, g->measured, g->newest);
    e = disk_write_all(g->fd, entries, n * sizeof(*entries), at);
    if (e == OK)
        e = disk_write_all(g->fd, &t, sizeof(t), at + n * sizeof(*entries));
    if (e != OK) {
        (void) !ftruncate(g->fd, (off_t) at);
        return e;
    }
    pthread_mutex_lock(&d->lock);
    g->sealed = true;
    g->bytes += n * sizeof(*entries) + sizeof(t);
    d->segments_bytes += n * sizeof(*entries) + sizeof(t);
    pthread_mutex_unlock(&d->lock);
    return OK;
}
