/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/fiber.c - fibers and the pool of their stacks.
 *
 * A stack is one mapping: a guard page, FIBER_STACK_BYTES of stack, and at its top the struct
 * fiber.  The tops of different stacks are shifted against each other ("coloured"), because
 * otherwise the hot frames of all fibers would fall into the same sets of the cache.
 *
 * The sanitizers are told of every switch, so that the whole suite runs under them.
 */
#include "runtime/fiber.h"

#include "runtime/io.h"
#include "runtime/switch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_FACTOR = 4 };
#elif defined(WITH_TSAN)
#include <sanitizer/tsan_interface.h>
enum { STACK_FACTOR = 2 };
#else
enum { STACK_FACTOR = 1 };
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define WITH_VALGRIND 1
#endif
#endif

enum {
    PAGE = 4096,
    STACK = FIBER_STACK_BYTES * STACK_FACTOR,
    MAPPING = PAGE + STACK,
    COLOURS = 11,       /* odd, so that neighbours spread */
    COLOUR_BYTES = 320, /* five cache lines apart */
};

struct fiber_thread {
    void        *loop_sp;   /* where the loop's own context was left */
    struct fiber *current;
    struct list   ready;
    struct list   all;      /* running and suspended */
    struct list   idle;     /* stacks to use again, the hottest first */
    size_t        idle_count, idle_lowest; /* the latter since the last trim */
    size_t        count;
    unsigned      colour;
    void         *loop_sanitizer;
    void         *loop_fake_stack;
    const void   *loop_bottom;
    size_t        loop_bytes;
    struct fiber *dead; /* ended just now; its stack may be used again once it was left */
};

/* gdb reads this one, thread by thread. */
static __thread struct fiber_thread *thread;

static void
annotate_create(struct fiber *f)
{
#ifdef WITH_TSAN
    f->sanitizer = __tsan_create_fiber(0);
#elif defined(WITH_VALGRIND) && !defined(WITH_ASAN)
    f->generation = VALGRIND_STACK_REGISTER(f->stack, (char *) f->stack + f->stack_bytes);
#else
    (void) f;
#endif
}

static void
annotate_destroy(struct fiber *f)
{
#ifdef WITH_TSAN
    __tsan_destroy_fiber(f->sanitizer);
#elif defined(WITH_ASAN)
    __asan_unpoison_memory_region(f->stack, f->stack_bytes);
#elif defined(WITH_VALGRIND)
    VALGRIND_STACK_DEREGISTER(f->generation);
#else
    (void) f;
#endif
}

/* To the fiber, from the loop. */
static inline void
switch_in(struct fiber_thread *t, struct fiber *f)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&t->loop_fake_stack, f->stack, f->stack_bytes);
#elif defined(WITH_TSAN)
    t->loop_sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->sanitizer, 0);
#endif
    t->current = f;
    switch_stack(&t->loop_sp, f->sp);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(t->loop_fake_stack, NULL, NULL);
#endif
}

/* To the loop, from the fiber.  ends: it will not come back. */
static inline void
switch_out(struct fiber_thread *t, struct fiber *f, bool ends)
{
#ifdef WITH_ASAN
    void *fake = NULL;

    __sanitizer_start_switch_fiber(ends ? NULL : &fake, t->loop_bottom, t->loop_bytes);
#elif defined(WITH_TSAN)
    (void) ends;
    __tsan_switch_to_fiber(t->loop_sanitizer, 0);
#else
    (void) ends;
#endif
    t->current = NULL;
    switch_stack(&f->sp, t->loop_sp);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, &t->loop_bottom, &t->loop_bytes);
#endif
}

bool
fiber_thread_init(void)
{
    CHECK(!thread);
    thread = calloc(1, sizeof(*thread));
    if (!thread)
        return false;
    list_init(&thread->ready);
    list_init(&thread->all);
    list_init(&thread->idle);
    return true;
}

static void
unmap(struct fiber *f)
{
    char *mapping = (char *) f->stack - PAGE;

    annotate_destroy(f);
    munmap(mapping, MAPPING);
}

void
fiber_thread_exit(void)
{
    struct list *l;

    if (!thread)
        return;
    CHECK(list_is_empty(&thread->all));
    while ((l = list_pop(&thread->idle)))
        unmap(list_entry(l, struct fiber, all));
    free(take(&thread));
}

static struct fiber *
map_stack(void)
{
    char *mapping = mmap(NULL, MAPPING, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    size_t shift = (thread->colour++ % COLOURS) * COLOUR_BYTES;
    struct fiber *f;

    if (mapping == MAP_FAILED)
        return NULL;
    /* MADV_GUARD_INSTALL (Linux 6.13) costs no mapping of its own; older kernels split ours. */
    if (madvise(mapping, PAGE, 102) != 0 && mprotect(mapping, PAGE, PROT_NONE) != 0) {
        munmap(mapping, MAPPING);
        return NULL;
    }
    f = (struct fiber *) (void *) (mapping + MAPPING - shift - ((sizeof(*f) + 63) & ~(size_t) 63));
    memset(f, 0, sizeof(*f));
    f->stack = mapping + PAGE;
    f->stack_bytes = STACK;
    annotate_create(f);
    return f;
}

static void
bury(struct fiber_thread *t)
{
    struct fiber *f = t->dead;

    if (!f)
        return;
    t->dead = NULL;
    list_remove(&f->all);
    t->count--;
    list_push(&t->idle, &f->all);
    t->idle_count++;
}

/* Where every fiber begins and ends. */
static void
entry(void)
{
    struct fiber_thread *t = thread;
    struct fiber *f = t->current;

#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &t->loop_bottom, &t->loop_bytes);
#endif
    f->run(f->arg);
    t->dead = f;
    switch_out(t, f, true);
    UNREACHABLE();
}

static struct fiber *
make(const char *name, fiber_run_f *run, void *arg)
{
    struct fiber_thread *t = thread;
    struct list *l = list_pop(&t->idle);
    struct fiber *f;

    if (l) {
        f = list_entry(l, struct fiber, all);
        if (--t->idle_count < t->idle_lowest)
            t->idle_lowest = t->idle_count;
    } else {
        f = map_stack();
        if (!f)
            return NULL;
        t->idle_lowest = 0;
    }
    f->run = run;
    f->arg = arg;
    f->name = name;
    f->waits = NULL;
    f->cancelled = OK;
    f->queued = false;
    f->sp = switch_prepare((void *) ((uintptr_t) f & ~(uintptr_t) 15), entry);
    list_init(&f->ready);
    list_push(&t->all, &f->all);
    t->count++;
    return f;
}

struct fiber *
fiber_self(void)
{
    return thread->current;
}

void
fiber_run_now(struct fiber *f)
{
    struct fiber_thread *t = thread;

    CHECK(t->current == NULL);
    switch_in(t, f);
    bury(t);
}

struct fiber *
fiber_start(const char *name, fiber_run_f *run, void *arg)
{
    struct fiber *f = make(name, run, arg);

    if (f)
        fiber_resume(f);
    return f;
}

bool
fiber_start_now(const char *name, fiber_run_f *run, void *arg)
{
    struct fiber *f = make(name, run, arg);

    if (f)
        fiber_run_now(f);
    return f != NULL;
}

void
fiber_suspend(void)
{
    struct fiber_thread *t = thread;

    CHECK(t->current != NULL);
    switch_out(t, t->current, false);
}

void
fiber_resume(struct fiber *f)
{
    if (f->queued)
        return;
    f->queued = true;
    list_append(&thread->ready, &f->ready);
}

bool
fiber_any_ready(void)
{
    return !list_is_empty(&thread->ready);
}

void
fiber_run_ready(void)
{
    struct list now, *l;

    /* Only those that are ready now: one that readies itself again must not keep the loop from
     * looking. */
    list_init(&now);
    list_splice(&now, &thread->ready);
    while ((l = list_pop(&now))) {
        struct fiber *f = list_entry(l, struct fiber, ready);

        f->queued = false;
        fiber_run_now(f);
    }
}

void
fiber_cancel(struct fiber *f, enum err why)
{
    f->cancelled = why;
    if (!f->waits)
        return;
    if (io_in_flight(f->waits))
        io_cancel(f->waits);
    else
        fiber_resume(f);
}

void
fiber_uncancel(struct fiber *f)
{
    f->cancelled = OK;
}

size_t
fiber_count(void)
{
    return thread->count;
}

void
fiber_pool_trim(void)
{
    struct fiber_thread *t = thread;

    for (size_t n = t->idle_lowest; n > 0; n--) {
        /* The coldest are at the end. */
        struct list *l = list_pop_last(&t->idle);

        if (!l)
            break;
        t->idle_count--;
        unmap(list_entry(l, struct fiber, all));
    }
    t->idle_lowest = t->idle_count;
}

size_t
fiber_pool_idle(void)
{
    return thread->idle_count;
}
