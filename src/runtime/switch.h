/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/switch.h - the few instructions that change stacks.
 *
 * x86-64 and aarch64 have them in assembly (switch_*.S); elsewhere switch_portable.c stands in, on
 * top of ucontext.
 */
#ifndef RUNTIME_SWITCH_H
#define RUNTIME_SWITCH_H

/* Saves the callee-saved registers and the stack pointer into *save, and goes on where `to` was
 * saved. */
void switch_stack(void **save, void *to);
/* Prepares a stack (its highest byte + 1, aligned to 16) so that the first switch to the result
 * calls entry(), which never returns. */
void *switch_prepare(void *stack_top, void (*entry)(void));

#endif
