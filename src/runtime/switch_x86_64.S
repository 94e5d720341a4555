/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/switch_x86_64.S - System V ABI: rbx, rbp, r12 to r15 and rsp belong to the caller.  mxcsr and
 * the x87 control word do too, but nobody here changes them.
 */
#if defined(__x86_64__) && !defined(SWITCH_PORTABLE)
    .text
    .globl  switch_stack
    .hidden switch_stack
    .type   switch_stack, @function
    .p2align 4
switch_stack:
    .cfi_startproc
    pushq   %rbp
    pushq   %rbx
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbx
    popq    %rbp
    ret
    .cfi_endproc
    .size   switch_stack, . - switch_stack

/* Six zeroed registers, the entry as return address, and a zero above it where backtraces end.  When entry()
 * begins, rsp is 8 below a multiple of 16, as if it had been called. */
    .globl  switch_prepare
    .hidden switch_prepare
    .type   switch_prepare, @function
    .p2align 4
switch_prepare:
    .cfi_startproc
    leaq    -64(%rdi), %rax
    xorl    %edx, %edx
    movq    %rdx, 0(%rax)
    movq    %rdx, 8(%rax)
    movq    %rdx, 16(%rax)
    movq    %rdx, 24(%rax)
    movq    %rdx, 32(%rax)
    movq    %rdx, 40(%rax)
    movq    %rsi, 48(%rax)
    movq    %rdx, 56(%rax)
    ret
    .cfi_endproc
    .size   switch_prepare, . - switch_prepare
#endif
    .section .note.GNU-stack, "", @progbits
