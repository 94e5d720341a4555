/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/offload.c - a few threads for what blocks or burns CPU.
 *
 * Threads are started when work is waiting and nobody is idle, up to THREADS; they stay.
 */
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <signal.h>

enum { THREADS = 4 };

struct job {
    struct message  back; /* how it returns to its loop */
    struct job     *next;
    void          (*work)(void *arg);
    void           *arg;
    struct loop    *loop;
    struct fiber   *fiber;
    bool            done;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    struct job     *first, **last;
    pthread_t       threads[THREADS];
    unsigned        started, idle;
    bool            ending;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .last = &pool.first};

static void
come_back(struct message *m)
{
    struct job *j = container_of(m, struct job, back);

    j->done = true;
    fiber_run_now(j->fiber);
}

static struct job *
next_job(void)
{
    struct job *j;

    pthread_mutex_lock(&pool.lock);
    pool.idle++;
    while (!pool.first && !pool.ending)
        pthread_cond_wait(&pool.wake, &pool.lock);
    pool.idle--;
    j = pool.first;
    if (j) {
        pool.first = j->next;
        if (!pool.first)
            pool.last = &pool.first;
    }
    pthread_mutex_unlock(&pool.lock);
    return j;
}

static void *
run_jobs(void *nothing)
{
    struct job *j;

    while ((j = next_job())) {
        j->work(j->arg);
        loop_post(j->loop, &j->back);
    }
    return nothing;
}

/* Called with the lock held. */
static void
start_thread(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&pool.threads[pool.started], NULL, run_jobs, NULL) == 0)
        pool.started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
offload(void (*work)(void *arg), void *arg)
{
    struct job j = {.back.run = come_back,
                    .work = work,
                    .arg = arg,
                    .loop = loop_current,
                    .fiber = fiber_self()};
    bool nobody;

    pthread_mutex_lock(&pool.lock);
    if (pool.idle == 0 && pool.started < THREADS)
        start_thread();
    nobody = pool.started == 0;
    if (!nobody) {
        *pool.last = &j;
        pool.last = &j.next;
        pthread_cond_signal(&pool.wake);
    }
    pthread_mutex_unlock(&pool.lock);
    if (nobody) {
        /* Not a single thread can be had: late is better than never. */
        work(arg);
        return;
    }
    while (!j.done)
        fiber_suspend();
}

void
offload_exit(void)
{
    unsigned n;

    pthread_mutex_lock(&pool.lock);
    pool.ending = true;
    n = pool.started;
    pool.started = 0;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(pool.threads[i], NULL);
    pool.ending = false;
}
