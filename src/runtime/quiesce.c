/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/quiesce.c - a message to every worker, and the last one to answer calls home. */
#include "runtime/quiesce.h"

#include "runtime/fiber.h"

#include <stdlib.h>

static struct {
    pthread_mutex_t lock;
    struct loop    *loops[WORKERS_MAX];
    size_t          n;
} workers = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct round {
    struct message home;
    void         (*run)(void *arg);
    void         (*then)(void *arg);
    void          *arg;
    struct loop   *caller;
    atomic_size_t  left;
    struct visit {
        struct message message;
        struct round  *round;
    } visits[];
};

void
workers_join(struct loop *l)
{
    pthread_mutex_lock(&workers.lock);
    CHECK(workers.n < WORKERS_MAX);
    workers.loops[workers.n++] = l;
    pthread_mutex_unlock(&workers.lock);
}

void
workers_leave(struct loop *l)
{
    pthread_mutex_lock(&workers.lock);
    for (size_t i = 0; i < workers.n; i++)
        if (workers.loops[i] == l) {
            workers.loops[i] = workers.loops[--workers.n];
            break;
        }
    pthread_mutex_unlock(&workers.lock);
}

static void
come_home(struct message *m)
{
    struct round *r = container_of(m, struct round, home);

    if (r->then)
        r->then(r->arg);
    free(r);
}

static void
visit(struct message *m)
{
    struct round *r = container_of(m, struct visit, message)->round;

    if (r->run)
        r->run(r->arg);
    if (atomic_fetch_sub(&r->left, 1) == 1)
        loop_post(r->caller, &r->home);
}

bool
workers_each(void (*run)(void *arg), void (*then)(void *arg), void *arg)
{
    struct round *r;

    pthread_mutex_lock(&workers.lock);
    r = calloc(1, sizeof(*r) + workers.n * sizeof(r->visits[0]));
    if (r) {
        r->run = run;
        r->then = then;
        r->arg = arg;
        r->caller = loop_current;
        r->home.run = come_home;
        r->left = workers.n;
        for (size_t i = 0; i < workers.n; i++) {
            r->visits[i].round = r;
            r->visits[i].message.run = visit;
            loop_post(workers.loops[i], &r->visits[i].message);
        }
        if (workers.n == 0)
            loop_post(r->caller, &r->home);
    }
    pthread_mutex_unlock(&workers.lock);
    return r != NULL;
}

struct meeting {
    void        (*run)(void *arg);
    void         *arg;
    struct fiber *waiter;
    bool          over;
};

static void
meet(void *arg)
{
    const struct meeting *m = arg;

    m->run(m->arg);
}

static void
met(void *arg)
{
    struct meeting *m = arg;

    m->over = true;
    fiber_resume(m->waiter);
}

bool
workers_meet(void (*run)(void *arg), void *arg)
{
    struct meeting m = {.run = run, .arg = arg, .waiter = fiber_self()};

    if (!workers_each(meet, met, &m))
        return false;
    while (!m.over)
        fiber_suspend();
    return true;
}

bool
workers_send(unsigned number, struct message *m)
{
    bool sent = false;

    pthread_mutex_lock(&workers.lock);
    for (size_t i = 0; i < workers.n && !sent; i++)
        if (workers.loops[i]->number == number) {
            loop_post(workers.loops[i], m);
            sent = true;
        }
    pthread_mutex_unlock(&workers.lock);
    return sent;
}

void
workers_retire(void (*free_it)(void *what), void *what)
{
    /* Out of memory: leaking it is the lesser evil. */
    (void) workers_each(NULL, free_it, what);
}
