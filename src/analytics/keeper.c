/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/keeper.c - from rings to sketches, from minutes to hours to days. */
#include "analytics/keeper.h"

#include "analytics/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "observe/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 512,        /* records under one lock */
    BATCHES = 64,       /* of one ring, then the next one has its turn */
    TURN_MS = 1000,     /* at most between two turns */
    STOP_S = 5,         /* that a thread has to end */
    ROWS_MAX = 4096,    /* that are merged into one */
    STARTS_MAX = 4,     /* hours, or days, merged in one minute: more is left from a long pause */
    RING_MIN = 32 * 1024,
    RING_MAX = 1024 * 1024,
    REMAINDER = 256 * 1024, /* for all that is small */
};

/* One for the process, and never closed: a worker may ring at any time. */
static _Atomic int bell = -1;

/* ------------------------------------------------------------------ the budget */

/* Read and written at once: what is encoded, what is read, an answer. */
static size_t
blob_share(size_t listed)
{
    return 3 * (blob_lists_max(listed) + blob_tally_max());
}

bool
keeper_share(uint64_t memory, int64_t top, unsigned workers, struct shares *out)
{
    uint64_t spent, rest;

    out->ring = RING_MAX;
    while (out->ring > RING_MIN && out->ring * workers > memory / 8)
        out->ring /= 2;
    out->listed = (size_t) top * 8;
    while (out->listed > 16 && blob_share(out->listed) > memory / 8)
        out->listed -= out->listed / 8;
    out->history = memory / 4;
    spent = out->ring * workers + blob_share(out->listed) + out->history + REMAINDER;
    rest = memory > spent ? memory - spent : 0;
    out->scale = PERIOD_SCALE_MAX;
    while (out->scale >= PERIOD_SCALE_MIN &&
           period_bytes(out->scale, true) + period_bytes(out->scale, false) > rest)
        out->scale--;
    return out->scale >= PERIOD_SCALE_MIN;
}

struct rings *
keeper_rings_new(unsigned n, size_t room)
{
    size_t bytes = (sizeof(struct rings) + n * sizeof(struct ring) + RING_LINE - 1) &
                   ~(size_t) (RING_LINE - 1);
    struct rings *r = aligned_alloc(RING_LINE, bytes);
    bool good = r != NULL;

    if (r)
        memset(r, 0, bytes);
    for (; good && r->n < n; r->n++)
        good = ring_init(&r->ring[r->n], room);
    if (good)
        return r;
    keeper_rings_free(r);
    return NULL;
}

void
keeper_rings_free(struct rings *r)
{
    for (unsigned i = 0; r && i < r->n; i++)
        ring_free(&r->ring[i]);
    free(r);
}

/* ------------------------------------------------------------------ taking records */

/* True when there is more. */
static bool
take_batch(struct keeper *k, struct ring *r)
{
    const struct packed *p = NULL;
    unsigned n = 0;

    pthread_mutex_lock(&k->lock);
    for (; n < BATCH && (p = ring_peek(r)); n++) {
        struct slice address = slice_of((const char *) p->address, p->address_n);

        period_add(k->live, p,
                   k->countries ? countries_find(k->countries, address) : SLICE(""),
                   k->anonymize);
        ring_release(r);
    }
    pthread_mutex_unlock(&k->lock);
    return n == BATCH;
}

static void
take_all(struct keeper *k)
{
    for (unsigned i = 0; i < k->rings->n; i++) {
        ring_listen(&k->rings->ring[i]);
        for (unsigned n = 0; n < BATCHES && take_batch(k, &k->rings->ring[i]); n++)
            ;
    }
}

/* ------------------------------------------------------------------ a minute is over */

static int64_t
now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

static int64_t
minute_of(int64_t at_s)
{
    return at_s - at_s % history_grains[HISTORY_MINUTE].length_s;
}

static void
note_missed(struct keeper *k)
{
    uint64_t missed = 0;

    for (unsigned i = 0; i < k->rings->n; i++)
        missed += atomic_load_explicit(&k->rings->ring[i].missed, memory_order_relaxed);
    k->live->tally.numbers[TALLY_MISSED] += missed - k->missed;
    if (missed > k->missed)
        log_warning("analytics: exchanges were not counted, for the rings were full count=%llu",
                    (unsigned long long) (missed - k->missed));
    k->missed = missed;
}

/* A period as bytes. */
struct encoded {
    struct text tally, lists;
};

static struct encoded
encode(const struct keeper *k, struct period *p)
{
    struct encoded e;

    text_init(&e.tally, blob_tally_max());
    text_init(&e.lists, blob_lists_max(k->shares.listed));
    blob_write_tally(&p->tally, &e.tally);
    blob_write_lists(p, k->shares.listed, &e.lists);
    return e;
}

static void
write_encoded(struct keeper *k, struct encoded *e, struct history_row row)
{
    if (!e->tally.full && !e->lists.full)
        history_write(k->history, row, text_slice(&e->tally), text_slice(&e->lists));
    else
        log_error("analytics: out of memory; a stretch of time is lost");
    text_free(&e->tally);
    text_free(&e->lists);
}

/* A part of its own for each: two processes, or one whose clock went back, write the same minute.
 * While it is neither here nor there, `turn` is odd. */
static void
close_minute(struct keeper *k)
{
    struct history_row row = {HISTORY_MINUTE, k->minute_s, (int64_t) (random_u64() >> 1)};
    struct encoded e;
    bool empty;

    pthread_mutex_lock(&k->lock);
    note_missed(k);
    empty = period_is_empty(k->live);
    if (!empty) {
        e = encode(k, k->live);
        period_clear(k->live);
        k->turn++;
    }
    k->minute_s = minute_of(now_s());
    pthread_mutex_unlock(&k->lock);
    if (empty)
        return;
    write_encoded(k, &e, row);
    pthread_mutex_lock(&k->lock);
    k->turn++;
    pthread_mutex_unlock(&k->lock);
}

/* ------------------------------------------------------------------ minutes to hours to days */

static bool
merge_row(struct keeper *k, struct history_row row)
{
    struct text tally, lists;
    bool good = false;

    text_init(&tally, blob_tally_max());
    text_init(&lists, 2 * blob_lists_max(k->shares.listed));
    if (history_read(k->history, row, &tally, &lists)) {
        good = blob_merge_tally(text_slice(&tally), &k->scratch->tally) &&
               blob_merge_lists(text_slice(&lists), DIMENSIONS, k->scratch);
        if (!good)
            history_damaged(k->history);
    }
    text_free(&tally);
    text_free(&lists);
    return good;
}

/* The workers go on meanwhile: between two rows their records are taken. */
static void
merge_rows(struct keeper *k, enum history_kind kind, int64_t start_s, struct history_row *rows)
{
    size_t n = history_rows(k->history, start_s, start_s + history_grains[kind].length_s, true,
                            rows, ROWS_MAX);
    bool any = false;

    period_clear(k->scratch);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind + 1 == kind)
            any |= merge_row(k, rows[i]);
        take_all(k);
    }
    if (any) {
        struct encoded e = encode(k, k->scratch);

        write_encoded(k, &e, (struct history_row){kind, start_s, 0});
    }
}

static void
merge_what_is_over(struct keeper *k)
{
    struct history_row *rows = malloc(ROWS_MAX * sizeof(*rows));
    int64_t starts[STARTS_MAX];

    if (!rows)
        return;
    for (unsigned kind = HISTORY_HOUR; kind < HISTORY_KINDS; kind++) {
        size_t n = history_unmerged(k->history, kind, now_s(), starts, STARTS_MAX);

        for (size_t i = 0; i < n; i++)
            merge_rows(k, kind, starts[i], rows);
    }
    free(rows);
}

void
keeper_turn(struct keeper *k)
{
    int64_t now = now_s();

    take_all(k);
    if (minute_of(now) == k->minute_s)
        return;
    close_minute(k);
    /* While a question is being answered this is left to the next minute. */
    if (pthread_mutex_trylock(&k->merging) == 0) {
        merge_what_is_over(k);
        pthread_mutex_unlock(&k->merging);
    }
    history_tend(k->history, now, k->keep_s);
}

/* ------------------------------------------------------------------ the thread */

void
keeper_wake(void)
{
    int fd = atomic_load_explicit(&bell, memory_order_relaxed);

    if (fd >= 0)
        eventfd_write(fd, 1);
}

static void
wait_for_bell(void)
{
    struct pollfd p = {.fd = atomic_load(&bell), .events = POLLIN};
    eventfd_t rings;

    if (poll(&p, 1, TURN_MS) == 1)
        eventfd_read(p.fd, &rings);
}

static void *
keeper_main(void *arg)
{
    struct keeper *k = arg;

    while (!atomic_load(&k->stopping)) {
        wait_for_bell();
        keeper_turn(k);
    }
    return NULL;
}

bool
keeper_start(struct keeper *k)
{
    sigset_t all, before;
    int error;

    if (atomic_load(&bell) < 0)
        atomic_store(&bell, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (atomic_load(&bell) < 0) {
        log_error("analytics: no descriptor: %s", strerror(errno));
        return false;
    }
    atomic_store(&k->stopping, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&k->thread, NULL, keeper_main, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        log_error("analytics: no thread: %s", strerror(error));
        return false;
    }
    pthread_setname_np(k->thread, "analytics");
    return true;
}

bool
keeper_stop(struct keeper *k)
{
    struct timespec until;

    atomic_store(&k->stopping, true);
    keeper_wake();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    if (pthread_timedjoin_np(k->thread, NULL, &until) == 0)
        return true;
    log_error("analytics: the disk does not answer; what is in memory is lost");
    return false;
}

/* ------------------------------------------------------------------ from birth to death */

void
keeper_use_countries(struct keeper *k, const struct analytics_config *config)
{
    struct countries *old, *now = NULL;
    const char *why = NULL;

    if (slice_is_present(config->database)) {
        now = countries_open(config->database.at, &why);
        if (!now)
            log_error("analytics: cannot open %s: %s; no countries are counted",
                      config->database.at, why);
    }
    pthread_mutex_lock(&k->lock);
    old = k->countries;
    k->countries = now;
    k->anonymize = config->anonymize;
    pthread_mutex_unlock(&k->lock);
    countries_close(old);
}

struct keeper *
keeper_new(const struct analytics_config *config, const struct shares *shares,
           struct rings *rings, const char *folder)
{
    struct keeper *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->shares = *shares;
    /* In memory an hour of minutes has to find room. */
    if (!folder)
        k->shares.listed /= 4;
    k->rings = rings;
    k->keep_s = (int64_t) (config->keep_us / 1000000);
    k->top = (size_t) config->top;
    k->minute_s = minute_of(now_s());
    pthread_mutex_init(&k->lock, NULL);
    pthread_mutex_init(&k->merging, NULL);
    k->live = period_new(shares->scale, true);
    k->scratch = period_new(shares->scale, false);
    k->history = history_open(folder, shares->history);
    if (!k->live || !k->scratch || !k->history) {
        log_error("analytics: out of memory");
        keeper_free(k);
        return NULL;
    }
    for (unsigned i = 0; i < rings->n; i++)
        k->missed += atomic_load_explicit(&rings->ring[i].missed, memory_order_relaxed);
    keeper_use_countries(k, config);
    return k;
}

void
keeper_free(struct keeper *k)
{
    if (!k)
        return;
    if (k->live && k->history) {
        take_all(k);
        close_minute(k);
    }
    countries_close(k->countries);
    history_close(k->history);
    period_free(k->live);
    period_free(k->scratch);
    pthread_mutex_destroy(&k->lock);
    pthread_mutex_destroy(&k->merging);
    free(k);
}

size_t
keeper_memory(struct keeper *k)
{
    return sizeof(*k) + k->live->bytes + k->scratch->bytes + history_memory(k->history) +
           k->rings->n * (sizeof(struct ring) + k->shares.ring);
}
