/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/offload.c - a few threads for what blocks or burns CPU.
 *
 * A job goes from WAITS to RUNS to DONE under its pool's lock, and comes back to its fiber by mail.
 * Who stops waiting takes it out of the queue, or makes it LATE: then the thread sends no mail (the
 * loop may have ended by then) but hands it to its owner itself.
 */
#include "runtime/offload.h"

#include "runtime/fiber.h"

#include <signal.h>

enum { COMMON_THREADS = 4 };

static OFFLOAD_POOL(common, COMMON_THREADS);
static pthread_t common_threads[COMMON_THREADS];

/* ------------------------------------------------------------------ a thread */

/* NULL: the pool is ending. */
static struct offload_job *
next_job(struct offload_pool *pool)
{
    struct offload_job *j;

    pthread_mutex_lock(&pool->lock);
    pool->idle++;
    while (!pool->first && !pool->ending)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->idle--;
    j = pool->first;
    if (j) {
        pool->first = j->next;
        if (!pool->first)
            pool->last = &pool->first;
        pool->waiting--;
        j->state = OFFLOAD_RUNS;
    }
    pthread_mutex_unlock(&pool->lock);
    return j;
}

static void
hand_back(struct offload_pool *pool, struct offload_job *j)
{
    bool late;

    pthread_mutex_lock(&pool->lock);
    late = j->state == OFFLOAD_LATE;
    j->state = OFFLOAD_DONE;
    pthread_mutex_unlock(&pool->lock);
    if (late)
        j->late(j->arg);
    else
        loop_post(j->loop, &j->back);
}

static void *
run_jobs(void *arg)
{
    struct offload_pool *pool = arg;
    struct offload_job *j;

    while ((j = next_job(pool))) {
        j->work(j->arg);
        hand_back(pool, j);
    }
    return NULL;
}

/* Called with the lock held. */
static void
start_thread(struct offload_pool *pool)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, run_jobs, pool) == 0) {
        pthread_setname_np(thread, "helper");
        if (pool == &common)
            common_threads[pool->started] = thread;
        else
            pthread_detach(thread);
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ------------------------------------------------------------------ a fiber */

static void
come_back(struct message *m)
{
    struct offload_job *j = container_of(m, struct offload_job, back);

    j->arrived = true;
    fiber_run_now(j->fiber);
}

/* False: there is not a single thread. */
static bool
submit(struct offload_pool *pool, struct offload_job *j)
{
    bool taken;

    j->back.run = come_back;
    j->next = NULL;
    j->loop = loop_current;
    j->fiber = loop_current ? fiber_self() : NULL;
    j->state = OFFLOAD_WAITS;
    j->arrived = false;
    if (!j->fiber)
        return false;
    pthread_mutex_lock(&pool->lock);
    /* One that is called counts as idle until it has come. */
    if (pool->idle <= pool->waiting && pool->started < pool->most)
        start_thread(pool);
    taken = pool->started > 0;
    if (taken) {
        *pool->last = j;
        pool->last = &j->next;
        pool->waiting++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

/* With the lock. */
static void
leave_queue(struct offload_pool *pool, const struct offload_job *j)
{
    struct offload_job **at = &pool->first;

    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    if (!*at)
        pool->last = at;
    pool->waiting--;
}

/* False: it is done, and its mail is under way. */
static bool
stop_waiting(struct offload_pool *pool, struct offload_job *j)
{
    enum offload_state before;

    pthread_mutex_lock(&pool->lock);
    before = j->state;
    if (before == OFFLOAD_WAITS)
        leave_queue(pool, j);
    else if (before == OFFLOAD_RUNS)
        j->state = OFFLOAD_LATE;
    pthread_mutex_unlock(&pool->lock);
    if (before == OFFLOAD_WAITS)
        j->late(j->arg);
    return before != OFFLOAD_DONE;
}

enum err
offload_until(struct offload_pool *pool, struct offload_job *j, uint64_t deadline_us)
{
    pool = pool ? pool : &common;
    if (!submit(pool, j)) {
        /* Late is better than never. */
        j->work(j->arg);
        return OK;
    }
    if (!fiber_wait_for(&j->arrived, deadline_us) && stop_waiting(pool, j))
        return ERR_TIMEOUT; /* from here on it is somebody else's */
    (void) fiber_wait_for(&j->arrived, TIMER_NEVER);
    return OK;
}

void
offload_to(struct offload_pool *pool, void (*work)(void *arg), void *arg)
{
    struct offload_job j = {.work = work, .arg = arg};

    (void) offload_until(pool, &j, TIMER_NEVER);
}

void
offload(void (*work)(void *arg), void *arg)
{
    offload_to(&common, work, arg);
}

void
offload_exit(void)
{
    unsigned n;

    pthread_mutex_lock(&common.lock);
    common.ending = true;
    n = common.started;
    common.started = 0;
    pthread_cond_broadcast(&common.wake);
    pthread_mutex_unlock(&common.lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(common_threads[i], NULL);
    common.ending = false;
}
