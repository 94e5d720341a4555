/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/loop.c - rounds of a worker: events, timers, ready fibers, what was closed.
 */
#include "runtime/loop.h"

#include "base/counter.h"
#include "runtime/fiber.h"
#include "runtime/file_ring.h"
#include "runtime/sock.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRIM_US = 500000, TRIM_WORTH = 64 };

__thread struct loop *loop_current;

/* ------------------------------------------------------------------ lent buffers */

static const size_t bytes_of[BUFFER_SIZES] = {BUFFER_SMALL_BYTES, BUFFER_MEDIUM_BYTES,
                                              BUFFER_LARGE_BYTES};

size_t
buffer_bytes(unsigned size)
{
    return bytes_of[size];
}

/*
 * The beginnings of buffers are shifted against each other ("coloured"): heads are short, and if
 * all of them began at a page's start, those of hundreds of exchanges would fight for a few sets of
 * the cache.  Where the memory really begins stands right in front.
 */
enum { COLOURS = 59, COLOUR_BYTES = 64 };

static size_t
room_of(unsigned size)
{
    return bytes_of[size] + (COLOURS + 1) * COLOUR_BYTES;
}

static void **
base_of(void *buffer)
{
    return (void **) buffer - 1;
}

/* Larger ones are mappings, so that giving them back really gives them back. */
static void *
buffer_new(unsigned size)
{
    unsigned colour = loop_current->colour++ % COLOURS + 1;
    char *base, *buffer;

    if (size == BUFFER_SMALL)
        base = malloc(room_of(size));
    else
        base = mmap(NULL, room_of(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
    if (!base || base == MAP_FAILED)
        return NULL;
    buffer = base + colour * COLOUR_BYTES;
    *base_of(buffer) = base;
    return buffer;
}

static void
buffer_delete(unsigned size, void *p)
{
    if (size == BUFFER_SMALL)
        free(*base_of(p));
    else
        munmap(*base_of(p), room_of(size));
}

static void
want_trim(struct loop *l)
{
    if (!timer_is_set(&l->trim))
        timer_set(&l->timers, &l->trim, l->now_us + TRIM_US);
}

void *
buffer_take(unsigned size)
{
    struct buffer_pool *pool = &loop_current->buffers[size];
    void *p = pool->free;

    if (!p) {
        want_trim(loop_current);
        return buffer_new(size);
    }
    pool->free = *(void **) p;
    if (--pool->count < pool->lowest)
        pool->lowest = pool->count;
    return p;
}

void
buffer_give(unsigned size, void *buffer)
{
    struct buffer_pool *pool = &loop_current->buffers[size];

    *(void **) buffer = pool->free;
    pool->free = buffer;
    pool->count++;
}

void
buffer_drop(unsigned size, void *buffer)
{
    buffer_delete(size, buffer);
}

/* Frees n of the coldest, which hang at the end of the chain. */
static void
buffer_trim(struct buffer_pool *pool, unsigned size, size_t n)
{
    void **link = &pool->free;
    void *p;

    for (size_t keep = pool->count - n; keep > 0; keep--)
        link = *link;
    p = *link;
    *link = NULL;
    pool->count -= n;
    while (p) {
        void *next = *(void **) p;

        buffer_delete(size, p);
        p = next;
    }
}

/* What was not needed since the last time goes back; again until nothing idle is left. */
static void
trim(struct timer *t)
{
    struct loop *l = container_of(t, struct loop, trim);
    size_t freed = 0, left = fiber_pool_idle();

    fiber_pool_trim();
    for (unsigned i = 0; i < BUFFER_SIZES; i++) {
        struct buffer_pool *pool = &l->buffers[i];

        freed += i == BUFFER_SMALL ? pool->lowest : 0;
        buffer_trim(pool, i, pool->lowest);
        pool->lowest = pool->count;
        left += pool->count;
    }
    if (freed > TRIM_WORTH)
        malloc_trim(64 * 1024);
    if (left)
        want_trim(l);
}

/* ------------------------------------------------------------------ messages */

static void
run_messages(struct loop *l)
{
    uint64_t count;
    struct message *m;
    ssize_t n = read(l->mailbox.fd, &count, sizeof(count));

    (void) n;
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->woken, false);
    m = take(&l->first);
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    while (m) {
        struct message *next = m->next;

        m->run(m);
        m = next;
    }
}

static void
on_mail(struct io *io)
{
    struct loop *l = container_of(io, struct loop, mailbox_io);

    if (io->result == -ECANCELED)
        return;
    run_messages(l);
    CHECK(io_ready(&l->mailbox, io, IO_READABLE, on_mail) == IO_PENDING);
}

void
loop_post(struct loop *l, struct message *m)
{
    static const uint64_t one = 1;
    bool wake;

    m->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->last = m;
    l->last = &m->next;
    wake = !atomic_exchange(&l->woken, true);
    pthread_mutex_unlock(&l->lock);
    if (wake)
        CHECK(write(l->mailbox.fd, &one, sizeof(one)) == sizeof(one));
}

/* ------------------------------------------------------------------ the loop */

enum err
loop_init(struct loop *l, const struct loop_ops *ops, unsigned number)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum err e;

    if (fd < 0)
        return err_from_errno(errno);
    memset(l, 0, sizeof(*l));
    l->ops = ops ? ops : &loop_epoll;
    l->number = number;
    l->now_us = clock_monotonic_us();
    l->trim.fire = trim;
    l->last = &l->first;
    timers_init(&l->timers, l->now_us);
    list_init(&l->closing);
    dice_init(&l->dice, random_u64());
    pthread_mutex_init(&l->lock, NULL);
    loop_current = l;
    e = l->ops->init(l);
    if (e == OK && !fiber_thread_init())
        e = ERR_NO_MEMORY;
    if (e != OK) {
        loop_current = NULL;
        close(fd);
        return e;
    }
    sock_init(&l->mailbox, fd);
    l->mailbox.flags = SOCK_LEVEL;
    return io_ready(&l->mailbox, &l->mailbox_io, IO_READABLE, on_mail) == IO_PENDING ? OK : ERR_IO;
}

static void
release_closed(struct loop *l)
{
    struct list *link;

    while ((link = list_pop(&l->closing))) {
        struct sock *s = list_entry(link, struct sock, closing);

        if (s->release)
            s->release(s);
    }
}

static void
count_round(struct loop_figures *f, uint64_t took_us)
{
    counter_add(&f->rounds, 1);
    counter_add(&f->busy_us, took_us);
    if (took_us <= LOOP_LONG_US)
        return;
    counter_add(&f->long_rounds, 1);
    if (took_us > atomic_load_explicit(&f->longest_us, memory_order_relaxed))
        atomic_store_explicit(&f->longest_us, took_us, memory_order_relaxed);
}

void
loop_once(struct loop *l, uint64_t until_us)
{
    uint64_t timer_us = timers_next_us(&l->timers);

    if (fiber_any_ready())
        until_us = 0;
    else if (timer_us < until_us)
        until_us = timer_us;
    l->ops->wait(l, until_us);
    timers_run(&l->timers, l->now_us);
    fiber_run_ready();
    if (!list_is_empty(&l->closing))
        release_closed(l);
    if (l->figures)
        count_round(l->figures, clock_monotonic_us() - l->now_us);
}

void
loop_run(struct loop *l)
{
    while (!l->stopping || fiber_count() > 0)
        loop_once(l, TIMER_NEVER);
}

void
loop_stop(struct loop *l)
{
    l->stopping = true;
}

void
loop_exit(struct loop *l)
{
    timer_clear(&l->timers, &l->trim);
    io_cancel(&l->mailbox_io);
    run_messages(l);
    sock_close(&l->mailbox);
    file_ring_exit(l);
    sock_give_exit(l);
    release_closed(l);
    for (unsigned i = 0; i < BUFFER_SIZES; i++)
        buffer_trim(&l->buffers[i], i, l->buffers[i].count);
    fiber_thread_exit();
    l->ops->exit(l);
    pthread_mutex_destroy(&l->lock);
    loop_current = NULL;
}
