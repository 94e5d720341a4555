/* SPDX-License-Identifier: Apache-2.0 */
/* observe/writer.c - one thread that writes the chunks of all sinks, and waits so that no worker
 * must. */
#include "observe/writer.h"

#include "base/clock.h"
#include "observe/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND_US 1000000u
#define RETRY_US (1 * SECOND_US)      /* between two attempts to open */
#define CALM_US (5 * SECOND_US)       /* without an error, after which it counts as gone */
#define TELL_DROPS_US (10 * SECOND_US) /* between two messages about dropped records */
#define GIVE_UP_US (5 * SECOND_US)    /* for a sink that nobody refers to any more */
#define TURN_CHUNKS 16                /* of one sink, then the next one has its turn */
#define SPARE_CHUNKS 4                /* that a tap keeps; what a burst made above that is freed */
#define MAX_POLLED    64 /* descriptors; further blocked sinks are looked at each second */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  drained;
    struct list     sinks;
    size_t          pending;  /* chunks handed over and not yet written */
    bool            started;
    bool            sleeping; /* the thread is in poll(), or about to be */
    bool            news;     /* since the thread last looked */
    int             bell;     /* eventfd */
} writer = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .drained = PTHREAD_COND_INITIALIZER,
    .sinks = {&writer.sinks, &writer.sinks},
    .bell = -1,
};

void
writer_lock(void)
{
    pthread_mutex_lock(&writer.lock);
}

void
writer_unlock(void)
{
    bool wake = writer.sleeping && writer.news;

    if (wake)
        writer.sleeping = false;
    pthread_mutex_unlock(&writer.lock);
    if (wake)
        eventfd_write(writer.bell, 1);
}

struct list *
writer_sinks(void)
{
    return &writer.sinks;
}

void
writer_notice(void)
{
    writer.news = true;
}

void
writer_take(struct sink_chunk *chunk)
{
    list_append(&chunk->tap->sink->queue, &chunk->link);
    writer.pending++;
    writer.news = true;
}

/* ------------------------------------------------------------------ one sink: chunks */

/* The chunk is written, or given up: its tap may have it again. */
static void
retire_chunk(struct sink *s)
{
    struct sink_chunk *chunk = take(&s->current), *surplus = NULL;
    struct sink_tap *t = chunk->tap;

    s->taken = 0;
    writer_lock();
    if (t->n_spare < SPARE_CHUNKS) {
        /* In front: the next one to be filled is the one that is warm in the cache. */
        list_push(&t->spare, &chunk->link);
        t->n_spare++;
    } else {
        t->allocated--;
        surplus = chunk;
    }
    if (--writer.pending == 0)
        pthread_cond_broadcast(&writer.drained);
    writer_unlock();
    free(surplus);
}

static bool
have_chunk(struct sink *s)
{
    struct list *link;

    if (s->current)
        return true;
    writer_lock();
    link = list_pop(&s->queue);
    writer_unlock();
    s->current = link ? list_entry(link, struct sink_chunk, link) : NULL;
    return link != NULL;
}

static uint64_t
count_lines(struct slice text)
{
    uint64_t n = 0;

    while (slice_find(text, '\n') != SLICE_NOT_FOUND) {
        slice_cut(&text, '\n');
        n++;
    }
    return n;
}

static void
throw_away(struct sink *s)
{
    while (have_chunk(s)) {
        struct slice left = slice_of(s->current->bytes + s->taken, s->current->n - s->taken);

        atomic_fetch_add_explicit(&s->dropped, count_lines(left), memory_order_relaxed);
        retire_chunk(s);
    }
}

/* ------------------------------------------------------------------ one sink: failures */

static void
fail(struct sink *s, const char *what, int error)
{
    uint64_t now_us = clock_monotonic_us();

    if (!s->failing)
        log_error("cannot %s log %s: %s; trying again every second", what, s->outlet.to,
                  strerror(error));
    s->failing = true;
    s->failed_us = now_us;
    s->retry_us = now_us + RETRY_US;
    outlet_close(&s->outlet);
}

/* True when it is open now. */
static bool
open_again(struct sink *s)
{
    int error;

    if (s->retry_us == 0)
        return true;
    if (clock_monotonic_us() < s->retry_us)
        return false;
    error = outlet_open(&s->outlet);
    if (error == 0) {
        s->retry_us = 0;
        return true;
    }
    if (outlet_may_come(&s->outlet, error))
        s->retry_us = clock_monotonic_us() + RETRY_US;
    else
        fail(s, "open", error);
    return false;
}

/* For files that were moved.  The old one stays open until there is a new one. */
static void
reopen(struct sink *s)
{
    bool wanted;
    int error;

    /* A line that is half written is first brought to its end. */
    if (s->taken > 0 && s->retry_us == 0)
        return;
    writer_lock();
    wanted = s->reopen && s->references > 0;
    s->reopen = false;
    writer_unlock();
    if (!wanted || !s->outlet.kind->reopens)
        return;
    error = outlet_open(&s->outlet);
    if (error == 0)
        s->retry_us = 0;
    else if (s->retry_us == 0)
        log_error("cannot reopen log %s: %s; writing on to the file that was open", s->outlet.to,
                  strerror(error));
}

/* An error counts as gone after some calm: a datagram that is sent proves nothing. */
static void
note_success(struct sink *s)
{
    if (!s->failing || clock_monotonic_us() - s->failed_us < CALM_US)
        return;
    s->failing = false;
    log_info("log %s is written again", s->outlet.to);
}

static void
tell_drops(struct sink *s)
{
    uint64_t dropped = sink_dropped(s), now_us;

    if (likely(dropped == s->told_dropped))
        return;
    now_us = clock_monotonic_us();
    if (s->told_us && now_us - s->told_us < TELL_DROPS_US)
        return;
    log_warning(
        "records were dropped, for the queue was full or they were too long log=%s count=%llu",
        s->outlet.to, (unsigned long long) (dropped - s->told_dropped));
    s->told_dropped = dropped;
    s->told_us = now_us;
}

/* ------------------------------------------------------------------ one sink: writing */

/* A pipe that lost its reader: the next one shall begin with a whole line. */
static void
rewind_to_line(struct sink *s)
{
    const char *end = s->taken ? memrchr(s->current->bytes, '\n', s->taken) : NULL;

    s->taken = end ? (size_t) (end - s->current->bytes) + 1 : 0;
}

/* One write.  False when the sink can take no more for now. */
static bool
write_some(struct sink *s)
{
    struct slice left = slice_of(s->current->bytes + s->taken, s->current->n - s->taken);
    ssize_t n = s->outlet.kind->write(&s->outlet, left);

    if (s->outlet.lost) {
        atomic_fetch_add_explicit(&s->dropped, s->outlet.lost, memory_order_relaxed);
        s->outlet.lost = 0;
    }
    if (n < 0) {
        if (n == -EPIPE)
            rewind_to_line(s);
        fail(s, "write", (int) -n);
        return false;
    }
    if (n == 0) {
        s->blocked = true;
        return false;
    }
    s->taken += (size_t) n;
    if (s->taken == s->current->n) {
        retire_chunk(s);
        note_success(s);
    }
    return true;
}

/* True when there is more to write at once. */
static bool
serve(struct sink *s)
{
    s->blocked = false;
    reopen(s);
    for (unsigned chunks = 0; chunks < TURN_CHUNKS; chunks++) {
        /* A regular file that takes everything is reopened between two of its chunks. */
        if (!have_chunk(s) || !open_again(s))
            return false;
        while (s->current)
            if (!write_some(s))
                return false;
        reopen(s);
    }
    return true;
}

/* ------------------------------------------------------------------ the end of a sink */

static void
free_chunks(struct list *chunks)
{
    struct list *link;

    while ((link = list_pop(chunks)))
        free(list_entry(link, struct sink_chunk, link));
}

static void
free_sink(struct sink *s)
{
    writer_lock();
    list_remove(&s->link);
    writer_unlock();
    for (size_t i = 0; i < SINK_WORKERS; i++)
        free_chunks(&s->taps[i].spare);
    outlet_free(&s->outlet);
    free(s);
}

/* Frees a sink that nobody refers to once all is written, or when it cannot be. */
static void
bury(struct sink *s)
{
    bool referred, done;

    writer_lock();
    referred = s->references > 0;
    done = !s->current && list_is_empty(&s->queue);
    writer_unlock();
    if (referred)
        return;
    if (!done) {
        uint64_t now_us = clock_monotonic_us();

        if (s->give_up_us == 0)
            s->give_up_us = now_us + GIVE_UP_US;
        if (now_us < s->give_up_us)
            return;
        throw_away(s);
    }
    s->told_us = 0;
    tell_drops(s);
    free_sink(s);
}

/* ------------------------------------------------------------------ the thread */

/* What the thread waits for when no sink has anything to do. */
struct waiting {
    struct pollfd fds[1 + MAX_POLLED];
    nfds_t        n;
    int           timeout_ms; /* -1: for ever */
};

static void
wait_for(struct waiting *w, const struct sink *s)
{
    if (s->blocked && s->outlet.fd >= 0 && w->n < countof(w->fds))
        w->fds[w->n++] = (struct pollfd){.fd = s->outlet.fd, .events = POLLOUT};
    if (s->current || s->told_dropped != sink_dropped(s))
        w->timeout_ms = (int) (RETRY_US / 1000);
}

/* One round over all sinks; false when one of them has more to write at once. */
static bool
serve_all(struct waiting *w)
{
    bool idle = true;

    *w = (struct waiting){.n = 1, .timeout_ms = -1};
    w->fds[0] = (struct pollfd){.fd = writer.bell, .events = POLLIN};
    writer_lock();
    writer.news = false;
    /* Only this thread takes sinks out; others append.  So a sink and its link stay without the
     * lock. */
    list_each (link, &writer.sinks) {
        struct sink *s = list_entry(link, struct sink, link);

        writer_unlock();
        idle &= !serve(s);
        tell_drops(s);
        wait_for(w, s);
        writer_lock();
    }
    writer_unlock();
    return idle;
}

/* Freeing is a round of its own, for serve_all() walks the list without the lock. */
static void
bury_all(void)
{
    struct list *link, *next;

    writer_lock();
    link = writer.sinks.next;
    while (link != &writer.sinks) {
        next = link->next;
        writer_unlock();
        bury(list_entry(link, struct sink, link));
        writer_lock();
        link = next;
    }
    writer_unlock();
}

static void
sleep_until_news(struct waiting *w)
{
    eventfd_t rings;
    bool sleep;

    writer_lock();
    sleep = writer.sleeping = !writer.news;
    pthread_mutex_unlock(&writer.lock);
    if (!sleep)
        return;
    poll(w->fds, w->n, w->timeout_ms);
    writer_lock();
    writer.sleeping = false;
    writer_unlock();
    if (w->fds[0].revents & POLLIN)
        eventfd_read(writer.bell, &rings);
}

static void *
writer_main(void *arg)
{
    struct waiting w;

    for (;;) {
        bool idle = serve_all(&w);

        bury_all();
        if (idle)
            sleep_until_news(&w);
    }
    return arg;
}

/* Signals are others' affair, SIGPIPE included: the thread looks at errno. */
static bool
start_thread(void)
{
    sigset_t all, before;
    pthread_t thread;
    int error;

    writer.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer.bell < 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        close(writer.bell);
        return false;
    }
    pthread_setname_np(thread, "log-writer");
    pthread_detach(thread);
    return true;
}

bool
writer_start(void)
{
    bool started;

    writer_lock();
    if (!writer.started)
        writer.started = start_thread();
    started = writer.started;
    writer_unlock();
    return started;
}

/* ------------------------------------------------------------------ the end of the process */

static struct timespec
after_ms(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long) (ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

void
sink_drain_all(unsigned timeout_ms)
{
    struct timespec end = after_ms(timeout_ms);
    size_t pending;

    writer_lock();
    while (writer.pending > 0)
        if (pthread_cond_clockwait(&writer.drained, &writer.lock, CLOCK_MONOTONIC, &end) ==
            ETIMEDOUT)
            break;
    pending = writer.pending;
    writer_unlock();
    if (pending > 0)
        log_warning("some logs could not be written in time chunks=%zu", pending);
}
