/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/disk_pool.c - threads that wait for the disk while fibers wait for them.
 *
 * Like offload(), but apart from it: a disk that hangs takes only those who read from it along, not
 * names, passwords and certificates.  Threads are started as they are needed, and stay.
 */
#include "runtime/fiber.h"
#include "store/disk.h"

#include <signal.h>

enum { THREADS = 8 };

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
    unsigned        started, idle;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .last = &pool.first};

static void
come_back(struct message *m)
{
    struct job *j = container_of(m, struct job, back);

    j->done = true;
    fiber_run_now(j->fiber);
}

static void *
run_jobs(void *nothing)
{
    for (;;) {
        struct job *j;

        pthread_mutex_lock(&pool.lock);
        pool.idle++;
        while (!pool.first)
            pthread_cond_wait(&pool.wake, &pool.lock);
        pool.idle--;
        j = pool.first;
        pool.first = j->next;
        if (!pool.first)
            pool.last = &pool.first;
        pthread_mutex_unlock(&pool.lock);
        j->work(j->arg);
        loop_post(j->loop, &j->back);
    }
    return nothing;
}

/* With the lock. */
static void
start_thread(void)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, run_jobs, NULL) == 0) {
        pthread_detach(thread);
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
disk_aside(void (*work)(void *arg), void *arg)
{
    struct job j = {.back.run = come_back, .work = work, .arg = arg};
    bool nobody;

    j.fiber = fiber_self();
    if (!j.fiber) {
        work(arg);
        return;
    }
    j.loop = loop_self();
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
    if (nobody)
        work(arg);
    while (!nobody && !j.done)
        fiber_suspend();
}
