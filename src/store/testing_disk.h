/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/testing_disk.h - what tests of the disk share: a folder, stores on it, and processes that
 * die.
 */
#ifndef STORE_TESTING_DISK_H
#define STORE_TESTING_DISK_H

#include "base/test.h"
#include "store/disk.h"
#include "store/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct loop loop;
static char told[1024];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void
tell(bool trouble, const char *sentence)
{
    (void) trouble;
    pthread_mutex_lock(&told_lock);
    snprintf(told, sizeof(told), "%s", sentence);
    pthread_mutex_unlock(&told_lock);
}

static inline bool
was_told(const char *what)
{
    bool was;

    pthread_mutex_lock(&told_lock);
    was = strstr(told, what) != NULL;
    pthread_mutex_unlock(&told_lock);
    return was;
}

static inline int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void) st;
    (void) kind;
    (void) where;
    return remove(path);
}

static inline void
begin(void)
{
    static bool started;

    if (!started)
        CHECK(loop_init(&loop, NULL, 0) == OK);
    started = true;
    told[0] = '\0';
    snprintf(folder, sizeof(folder), "/tmp/maitred-disk-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static inline void
end(void)
{
    disk_calls = (struct disk_calls){pread, pwrite};
    file_ring_allow(true);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct store *
open_named(const char *name, uint64_t memory_bytes, uint64_t disk_bytes)
{
    const struct store_options options = {.memory_bytes = memory_bytes,
                                          .folder = slice_str(folder),
                                          .disk_bytes = disk_bytes,
                                          .tell = tell};
    struct store *s = store_open(slice_str(name), &options);

    CHECK(s);
    return s;
}

static inline struct store *
open_store(void)
{
    return open_named("test", 8 * MIB, 64 * MIB);
}

static inline struct disk *
disk_in(struct store *s)
{
    struct tier *t = s->tier;

    return disk_of(t);
}

static inline struct store_status
status_of(const struct store *s)
{
    struct store_status status;

    store_status(s, &status);
    return status;
}

static inline void
testing_pause(long ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};

    nanosleep(&t, NULL);
}

/* All that was offered is written, or was not, and found. */
static inline void
settle(struct store *s)
{
    struct disk *d = disk_in(s);
    bool idle = false;

    for (int i = 0; i < 5000 && !idle; i++) {
        pthread_mutex_lock(&d->lock);
        idle = d->queue_n == 0 && d->writing_n == 0 && (!d->open || d->pending.n == 0);
        pthread_mutex_unlock(&d->lock);
        testing_pause(idle ? 5 : 1);
    }
    CHECK(idle);
}

/* Out of memory, as if it had been driven out. */
static inline void
drive_out(struct store *s, uint64_t number)
{
    struct store_object *o = NULL;

    if (store_ask(s, testing_key(s, number), false, &o) == STORE_HIT)
        store_unlink(o);
    if (o)
        store_leave(o);
}

enum verdict_of { WRONG = -1, ABSENT, WHOLE, STALE };

/* Asks as who would fill it; a miss is broken off. */
static inline int
look(struct store *s, uint64_t number, size_t bytes)
{
    struct store_object *o = NULL;
    int found = ABSENT;

    switch (store_ask(s, testing_key(s, number), true, &o)) {
    case STORE_HIT:
        found = !testing_is_whole(o, number, bytes) ? WRONG : store_is_soft(o) ? STALE : WHOLE;
        break;
    case STORE_MISS: store_break(o); break;
    case STORE_FILLING: found = ABSENT; break;
    case STORE_NONE: break;
    }
    if (o)
        store_leave(o);
    return found;
}

/* Processes that die are forked while threads of a pool sleep; by default ThreadSanitizer ends one
 * that starts threads of its own then. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "die_after_fork=0";
}

/* In a process of its own, which is not given the time to say good-bye. */
static inline void
and_die(void (*act)(struct store *s))
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        struct store *s = open_store();

        act(s);
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

static inline size_t
size_of(uint64_t number)
{
    return (size_t) (number * 997 % 20000);
}

static inline void
put_hundred(struct store *s)
{
    for (uint64_t i = 0; i < 100; i++)
        CHECK(testing_put(s, i, size_of(i), NULL));
    settle(s);
}

static const uint64_t red = 7;
static const uint64_t blue = 8;

static inline void
put_tagged(struct store *s)
{
    const struct store_facts one = {
        .length = 10, .tags = &red, .tags_n = 1, .path = SLICE("h/red")};
    const struct store_facts two = {
        .length = 10, .tags = &blue, .tags_n = 1, .path = SLICE("h/blue")};

    CHECK(testing_put(s, 1, 10, &one) && testing_put(s, 2, 10, &two));
    CHECK(testing_put(s, 3, 10, &one) && testing_put(s, 4, 10, &two));
    settle(s);
}

static inline void
purge_red(struct store *s)
{
    store_purge_tag(s, red, false);
}

#endif
