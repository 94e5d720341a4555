/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/bell.c - fibers of any worker wait for what the filler does, and are called by it.
 *
 * Whoever waits hangs in a list of the content.  The filler takes them all out at once, chains
 * those of each loop together and sends one message for each chain, so that a thousand who wait on
 * two workers cost it two messages.  A waiter lies on its fiber's stack: once it was taken out, it
 * stays until the call has reached it, whatever happens meanwhile.
 */
#include "runtime/fiber.h"
#include "store/object.h"

enum { CHAINS = 16 };

struct waiter {
    struct list    link;
    struct waiter *next;    /* of its chain */
    struct message message;
    struct io      io;      /* in no loop's hands: fiber_cancel() then resumes the fiber */
    struct timer   timer;
    struct fiber  *fiber;
    struct loop   *loop;
    bool           taken;   /* out of the list, by whoever calls; under the bell's lock */
    bool           called;
    bool           late;
};

static pthread_mutex_t *
lock_of(struct store *s, const struct content *c)
{
    return &s->bells[blocks_unit_of(&s->blocks, c) % STORE_BELLS];
}

static bool
has_changed(const struct content *c, uint64_t offset)
{
    enum content_state state = content_state(c);

    if (offset == BELL_HEAD)
        return state != CONTENT_ASKED;
    return state > CONTENT_PUBLISHED || content_length(c) > offset;
}

/* ------------------------------------------------------------------ waiting */

static void
on_late(struct timer *t)
{
    struct waiter *w = container_of(t, struct waiter, timer);

    w->late = true;
    fiber_resume(w->fiber);
}

static void
suspend(struct waiter *w, uint64_t deadline_us)
{
    if (deadline_us != TIMER_NEVER)
        timer_set(&w->loop->timers, &w->timer, deadline_us);
    w->fiber->waits = &w->io;
    fiber_suspend();
    w->fiber->waits = NULL;
    timer_clear(&w->loop->timers, &w->timer);
}

static void
leave(struct waiter *w, pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    if (!w->taken)
        list_remove(&w->link);
    pthread_mutex_unlock(lock);
    while (w->taken && !w->called)
        fiber_suspend();
}

enum err
bell_wait(struct store *s, struct content *c, uint64_t offset, uint64_t deadline_us)
{
    struct waiter w = {.fiber = fiber_self(), .loop = loop_self(), .timer.fire = on_late};
    pthread_mutex_t *lock = lock_of(s, c);
    bool wait;

    if (w.fiber->cancelled != OK)
        return w.fiber->cancelled;
    pthread_mutex_lock(lock);
    wait = !has_changed(c, offset);
    if (wait)
        list_append(&c->waiters, &w.link);
    pthread_mutex_unlock(lock);
    if (!wait)
        return OK;
    suspend(&w, deadline_us);
    leave(&w, lock);
    if (w.fiber->cancelled != OK)
        return w.fiber->cancelled;
    return w.late && !w.called ? ERR_TIMEOUT : OK;
}

/* ------------------------------------------------------------------ calling */

static void
call(struct waiter *first)
{
    for (struct waiter *w = first, *next; w; w = next) {
        next = w->next;
        w->called = true;
        fiber_resume(w->fiber);
    }
}

static void
on_call(struct message *m)
{
    call(container_of(m, struct waiter, message));
}

static void
send_call(struct waiter *first)
{
    if (first->loop == loop_self()) {
        call(first);
    } else {
        first->message.run = on_call;
        loop_post(first->loop, &first->message);
    }
}

/* To the chain of its loop.  With more loops than chains some get a second message. */
static void
chain(struct waiter *chains[CHAINS], struct waiter *w)
{
    size_t i = 0;

    while (i + 1 < CHAINS && chains[i] && chains[i]->loop != w->loop)
        i++;
    if (chains[i] && chains[i]->loop != w->loop)
        send_call(take(&chains[i]));
    w->next = chains[i];
    chains[i] = w;
}

void
bell_ring(struct store *s, struct content *c)
{
    pthread_mutex_t *lock = lock_of(s, c);
    struct waiter *chains[CHAINS] = {NULL};
    struct list *link;

    pthread_mutex_lock(lock);
    while ((link = list_pop(&c->waiters))) {
        struct waiter *w = list_entry(link, struct waiter, link);

        w->taken = true;
        chain(chains, w);
    }
    pthread_mutex_unlock(lock);
    for (size_t i = 0; i < CHAINS && chains[i]; i++)
        send_call(chains[i]);
}
