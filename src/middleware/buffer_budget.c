/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer_budget.c - how much is buffered, and what became of it.
 *
 * Three limits hold at once: of the body, of the entry in a `use:`, of the process.  Each entry
 * compares what the whole process has in use with a limit of its own, so that those with a lower
 * one stop first and leave room to the others.
 *
 * A folder that fails is in trouble for everybody who uses it, and for nobody else: what is known
 * of it stands in a list of the process, so that a reload, too, finds it as it was.
 */
#include "base/list.h"
#include "middleware/buffer.h"
#include "observe/log.h"
#include "runtime/quiesce.h"

#include <pthread.h>
#include <stdlib.h>

enum { REST_US = 10000000 };

struct spool_disk {
    struct list      link; /* in disks */
    size_t           users;
    _Atomic uint64_t rests_until_us;
    size_t           n;
    char             folder[];
};

static struct spool_used process;
static struct spool_counts workers[WORKERS_MAX];

/* ------------------------------------------------------------------ budgets */

static void
give(_Atomic uint64_t *used, uint64_t bytes)
{
    atomic_fetch_sub_explicit(used, bytes, memory_order_relaxed);
}

/* Others may see the limit reached for the moment in which this one finds out that it is. */
static bool
take_some(_Atomic uint64_t *used, uint64_t bytes, uint64_t most)
{
    uint64_t before = atomic_fetch_add_explicit(used, bytes, memory_order_relaxed);

    if (before + bytes <= most)
        return true;
    give(used, bytes);
    return false;
}

static bool
take_both(_Atomic uint64_t *route, uint64_t route_max, _Atomic uint64_t *total, uint64_t total_max,
          uint64_t bytes)
{
    if (!take_some(route, bytes, route_max))
        return false;
    if (take_some(total, bytes, total_max))
        return true;
    give(route, bytes);
    return false;
}

bool
spool_take_memory(const struct buffer *o, uint64_t bytes, uint64_t have, uint64_t most)
{
    return (most == UINT64_MAX || have + bytes <= most) &&
           take_both(&o->used->memory, o->route.memory, &process.memory, o->total.memory, bytes);
}

bool
spool_take_file(const struct buffer *o, uint64_t bytes, uint64_t have)
{
    return have + bytes <= o->each.file &&
           take_both(&o->used->file, o->route.file, &process.file, o->total.file, bytes);
}

void
spool_owe_memory(const struct buffer *o, uint64_t bytes)
{
    atomic_fetch_add_explicit(&o->used->memory, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&process.memory, bytes, memory_order_relaxed);
}

void
spool_give_memory(const struct buffer *o, uint64_t bytes)
{
    give(&o->used->memory, bytes);
    give(&process.memory, bytes);
}

void
spool_give_file(const struct buffer *o, uint64_t bytes)
{
    give(&o->used->file, bytes);
    give(&process.file, bytes);
}

/* ------------------------------------------------------------------ counters */

struct spool_counts *
spool_counts(void)
{
    return &workers[loop_self()->number];
}

void
spool_read_counts(struct spool_counts *sum, struct spool_limits *used)
{
    *sum = (struct spool_counts){0};
    for (size_t i = 0; i < WORKERS_MAX; i++) {
#define SPOOL_ADD(name)                                                                           \
    counter_add(&sum->name, atomic_load_explicit(&workers[i].name, memory_order_relaxed));
        SPOOL_COUNTS(SPOOL_ADD)
#undef SPOOL_ADD
    }
    used->memory = atomic_load_explicit(&process.memory, memory_order_relaxed);
    used->file = atomic_load_explicit(&process.file, memory_order_relaxed);
}

/* ------------------------------------------------------------------ a folder in trouble */

/* The lock is for the list and the numbers of users. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list disks = {&disks, &disks};

static struct spool_disk *
find_disk(struct slice folder)
{
    for (struct list *l = disks.next; l != &disks; l = l->next) {
        struct spool_disk *disk = list_entry(l, struct spool_disk, link);

        if (slice_eq(slice_of(disk->folder, disk->n), folder))
            return disk;
    }
    return NULL;
}

static struct spool_disk *
add_disk(struct slice folder)
{
    struct spool_disk *disk = calloc(1, sizeof(*disk) + folder.n);

    if (!disk)
        return NULL;
    disk->n = folder.n;
    memcpy(disk->folder, folder.at, folder.n);
    list_push(&disks, &disk->link);
    return disk;
}

struct spool_disk *
spool_disk_open(struct slice folder)
{
    struct spool_disk *disk;

    pthread_mutex_lock(&lock);
    disk = find_disk(folder);
    if (!disk)
        disk = add_disk(folder);
    if (disk)
        disk->users++;
    pthread_mutex_unlock(&lock);
    return disk;
}

void
spool_disk_close(struct spool_disk *disk)
{
    pthread_mutex_lock(&lock);
    if (--disk->users == 0) {
        list_remove(&disk->link);
        free(disk);
    }
    pthread_mutex_unlock(&lock);
}

bool
spool_disk_rests(const struct spool_disk *disk)
{
    return loop_now_us() < atomic_load_explicit(&disk->rests_until_us, memory_order_relaxed);
}

/* Of the many bodies that meet the same trouble, the first says so. */
void
spool_disk_failed(const struct buffer *o, const char *why)
{
    uint64_t until_us = atomic_exchange(&o->disk->rests_until_us, loop_now_us() + REST_US);

    counter_add(&spool_counts()->file_failed, 1);
    if (loop_now_us() >= until_us)
        log_warning("buffering without temporary files for 10s folder=%.*s why=\"%s\" failed=%llu",
                    SLICE_ARG(o->folder), why,
                    (unsigned long long) spool_counts()->file_failed);
}
