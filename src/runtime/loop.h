/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/loop.h - one thread's loop: wait for events, run what they made ready, fire timers.
 *
 * A thread that calls loop_run() is a worker: fibers, socks, timers and lent buffers belong to it
 * and are touched by no other thread.  The only ways in from outside are messages (loop_post) and
 * offloaded work that comes back (offload).
 */
#ifndef RUNTIME_LOOP_H
#define RUNTIME_LOOP_H

#include "base/clock.h"
#include "runtime/io.h"
#include "runtime/timer.h"

#include <pthread.h>
#include <stdatomic.h>

/* Heads of requests; a head and 64 KiB of its body behind it; bodies. */
enum { BUFFER_SMALL, BUFFER_MEDIUM, BUFFER_LARGE, BUFFER_SIZES };
#define BUFFER_SMALL_BYTES (16u * 1024u)
#define BUFFER_MEDIUM_BYTES (68u * 1024u)
#define BUFFER_LARGE_BYTES (256u * 1024u)

/* Free buffers, the hottest first; what a burst left behind goes back to malloc. */
struct buffer_pool {
    void  *free;
    size_t count, lowest;
};

struct message {
    struct message *next;
    void          (*run)(struct message *m); /* in the receiving loop's context; owns m */
};

/* Written by the loop's thread only, read by any. */
struct loop_figures {
    _Atomic uint64_t rounds;
    _Atomic uint64_t busy_us;     /* not waiting for events */
    _Atomic uint64_t long_rounds; /* of more than LOOP_LONG_US, in which all others waited */
    _Atomic uint64_t longest_us;  /* since the figures are kept */
};

#define LOOP_LONG_US UINT64_C(1000)

struct loop {
    const struct loop_ops *ops;
    void                  *impl;     /* the implementation's own */
    uint64_t               now_us;   /* monotonic, read once a round */
    struct loop_figures   *figures;  /* NULL: not kept.  Of whoever set it, who outlives the loop */
    struct timers          timers;
    struct list            closing;  /* socks to release after this round */
    struct buffer_pool     buffers[BUFFER_SIZES];
    unsigned               colour; /* of the next buffer */
    struct dice            dice;
    unsigned               number;   /* of the worker, 0 and up */
    bool                   stopping;
    struct timer           trim;
    void                  *resolver; /* runtime/dns.c's own */
    void                  *files;    /* runtime/file_ring.c's own */
    void                  *given;    /* runtime/sock_give.c's own */
    struct io              mailbox_io;
    struct sock            mailbox;  /* an eventfd */
    pthread_mutex_t        lock;     /* of what follows */
    struct message        *first, **last;
    atomic_bool            woken;
};

/* The loop of this thread, NULL when it has none. */
extern __thread struct loop *loop_current;

static inline struct loop *
loop_self(void)
{
    return loop_current;
}

/* Makes this thread a worker.  The loop must stay where it is.  ops: NULL is loop_epoll. */
enum err loop_init(struct loop *l, const struct loop_ops *ops, unsigned number);
/* Until loop_stop() was called and no fiber is left. */
void loop_run(struct loop *l);
/* One round, for tests: waits at most until until_us. */
void loop_once(struct loop *l, uint64_t until_us);
void loop_stop(struct loop *l);
void loop_exit(struct loop *l);

/* Any thread.  The message runs in the loop's context. */
void loop_post(struct loop *l, struct message *m);

/* Runs work(arg) on a thread of the pool while this fiber waits; it cannot be cancelled.  For what
 * blocks or burns CPU. */
void offload(void (*work)(void *arg), void *arg);
/* Ends the pool's threads; no offload() may be under way. */
void offload_exit(void);

/* Lent by this thread's pool; NULL when out of memory. */
void *buffer_take(unsigned size);
size_t buffer_bytes(unsigned size);
void buffer_give(unsigned size, void *buffer);
/* In place of that, on any thread. */
void buffer_drop(unsigned size, void *buffer);

/* This fiber waits; OK at that time, or ERR_CANCELLED. */
enum err fiber_sleep_until(uint64_t at_us);
/* Until *done is set by who then resumes this fiber; false: the deadline came first.  Cannot be
 * cancelled. */
bool fiber_wait_for(const bool *done, uint64_t deadline_us);

/* Microseconds since the loop's round began are not counted. */
static inline uint64_t
loop_now_us(void)
{
    return loop_current->now_us;
}

#endif
