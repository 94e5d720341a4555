/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/switch_portable.c - changing stacks with ucontext, where there is no assembly for the
 * machine.
 *
 * Costs a system call a switch (the signal mask is saved too).  Built everywhere with
 * -DSWITCH_PORTABLE, so that it can be tested on machines which do not need it.
 */
#include "runtime/switch.h"

#if defined(SWITCH_PORTABLE) || (!defined(__x86_64__) && !defined(__aarch64__))

#include "base/check.h"

#include <stdlib.h>
#include <ucontext.h>

/* A context is kept at the top of the stack it describes; the thread's own lives on the heap. */
struct portable {
    ucontext_t context;
    void     (*entry)(void);
};

static void
run_entry(unsigned low, unsigned high)
{
    struct portable *p =
        (struct portable *) ((unsigned long) low | (unsigned long) high << 16 << 16);

    p->entry();
}

void *
switch_prepare(void *stack_top, void (*entry)(void))
{
    struct portable *p = (struct portable *) stack_top - 1;
    char *bottom = (char *) stack_top - 32 * 1024;

    getcontext(&p->context);
    p->entry = entry;
    p->context.uc_stack.ss_sp = bottom;
    p->context.uc_stack.ss_size = (size_t) ((char *) p - bottom) & ~(size_t) 15;
    makecontext(&p->context, (void (*)(void)) run_entry, 2, (unsigned) (unsigned long) p,
                (unsigned) ((unsigned long) p >> 16 >> 16));
    return p;
}

void
switch_stack(void **save, void *to)
{
    struct portable here;

    *save = &here;
    CHECK(swapcontext(&here.context, &((struct portable *) to)->context) == 0);
}

#endif
