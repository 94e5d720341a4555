/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/offload_test.c */
#include "runtime/offload.h"

#include "base/test.h"
#include "runtime/fiber.h"

#include <unistd.h>

static struct loop loop;

static void
run_fiber(fiber_run_f *run)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    CHECK(fiber_start("test", run, NULL));
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    offload_exit();
    loop_exit(&loop);
}

/* ------------------------------------------------------------------ work that hangs */

/* A door that work stands before until it is opened. */
struct door {
    pthread_mutex_t lock;
    pthread_cond_t  moved;
    unsigned        standing, late;
    bool            open;
};

#define DOOR(name)                                                                                \
    struct door name = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER}

static void
stand(void *arg)
{
    struct door *d = arg;

    pthread_mutex_lock(&d->lock);
    d->standing++;
    while (!d->open)
        pthread_cond_wait(&d->moved, &d->lock);
    d->standing--;
    pthread_mutex_unlock(&d->lock);
}

static void
count_late(void *arg)
{
    struct door *d = arg;

    pthread_mutex_lock(&d->lock);
    d->late++;
    pthread_mutex_unlock(&d->lock);
}

static void
open_door(struct door *d)
{
    pthread_mutex_lock(&d->lock);
    d->open = true;
    pthread_cond_broadcast(&d->moved);
    pthread_mutex_unlock(&d->lock);
}

static unsigned
look_at(struct door *d, const unsigned *what)
{
    unsigned n;

    pthread_mutex_lock(&d->lock);
    n = *what;
    pthread_mutex_unlock(&d->lock);
    return n;
}

/* Up to a second. */
static bool
becomes(struct door *d, const unsigned *what, unsigned wanted)
{
    for (int i = 0; i < 1000 && look_at(d, what) != wanted; i++)
        usleep(1000);
    return look_at(d, what) == wanted;
}

static uint64_t
in_ms(unsigned ms)
{
    return clock_monotonic_us() + ms * 1000;
}

/* ------------------------------------------------------------------ tests */

static void
note(void *arg)
{
    *(bool *) arg = true;
}

static void
jam_one_of_two(void *arg)
{
    static OFFLOAD_POOL(jammed, 1);
    static DOOR(door);
    static struct offload_job running = {.work = stand, .late = count_late, .arg = &door};
    static struct offload_job waiting = {.work = stand, .late = count_late, .arg = &door};
    bool done = false, common = false;

    (void) arg;
    EXPECT_EQ(offload_until(&jammed, &running, in_ms(20)), ERR_TIMEOUT);
    EXPECT_EQ(look_at(&door, &door.standing), 1);
    EXPECT_EQ(look_at(&door, &door.late), 0);
    /* Its turn has not come: it is over at once, and never begun. */
    EXPECT_EQ(offload_until(&jammed, &waiting, in_ms(20)), ERR_TIMEOUT);
    EXPECT_EQ(look_at(&door, &door.late), 1);
    offload(note, &common);
    EXPECT(common);
    open_door(&door);
    EXPECT(becomes(&door, &door.late, 2));
    EXPECT_EQ(look_at(&door, &door.standing), 0);
    offload_to(&jammed, note, &done);
    EXPECT(done);
}

TEST(who_hangs_in_one_pool_does_not_hold_up_another)
{
    run_fiber(jam_one_of_two);
}

static void
be_in_time(void *arg)
{
    static OFFLOAD_POOL(pool, 2);
    bool done = false;
    struct offload_job job = {.work = note, .late = count_late, .arg = &done};

    (void) arg;
    EXPECT_EQ(offload_until(&pool, &job, in_ms(10000)), OK);
    EXPECT(done);
}

TEST(work_that_is_done_in_time)
{
    run_fiber(be_in_time);
}

/* The last one waits for a thread; the loop sees the time-outs of all. */
static OFFLOAD_POOL(crowded, 3);
static DOOR(crowd_door);
static unsigned timed_out;

static void
join_crowd(void *arg)
{
    struct offload_job *job = arg;

    timed_out += offload_until(&crowded, job, in_ms(50)) == ERR_TIMEOUT;
}

static void
crowd(void *arg)
{
    static struct offload_job jobs[10];
    bool done = false;

    (void) arg;
    for (size_t i = 0; i < countof(jobs); i++) {
        jobs[i] = (struct offload_job){.work = stand, .late = count_late, .arg = &crowd_door};
        CHECK(fiber_start("one of many", join_crowd, &jobs[i]));
    }
    fiber_sleep_until(in_ms(20));
    EXPECT(becomes(&crowd_door, &crowd_door.standing, 3));
    fiber_sleep_until(in_ms(100));
    EXPECT_EQ(timed_out, 10);
    EXPECT_EQ(look_at(&crowd_door, &crowd_door.late), 7);
    open_door(&crowd_door);
    EXPECT(becomes(&crowd_door, &crowd_door.late, 10));
    offload_to(&crowded, note, &done);
    EXPECT(done);
}

TEST(as_many_threads_as_there_is_work_but_not_more)
{
    run_fiber(crowd);
}

TEST(without_a_fiber_here_and_now)
{
    static OFFLOAD_POOL(pool, 1);
    bool done = false;

    offload_to(&pool, note, &done);
    EXPECT(done);
    EXPECT_EQ(pool.started, 0);
}
