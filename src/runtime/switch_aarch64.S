/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/switch_aarch64.S - AAPCS64: x19 to x30, sp and the low halves of v8 to v15 belong to the caller.
 */
#if defined(__aarch64__) && !defined(SWITCH_PORTABLE)
    .text
    .globl  switch_stack
    .hidden switch_stack
    .type   switch_stack, %function
    .p2align 4
switch_stack:
    .cfi_startproc
    sub     sp, sp, #160
    stp     x19, x20, [sp, #0]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mov     x9, sp
    str     x9, [x0]
    mov     sp, x1
    ldp     x19, x20, [sp, #0]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #160
    ret
    .cfi_endproc
    .size   switch_stack, . - switch_stack

    .globl  switch_prepare
    .hidden switch_prepare
    .type   switch_prepare, %function
    .p2align 4
switch_prepare:
    .cfi_startproc
    sub     x9, x0, #160
    mov     x10, #0
0:  str     xzr, [x9, x10]
    add     x10, x10, #8
    cmp     x10, #160
    b.ne    0b
    str     x1, [x9, #88]
    mov     x0, x9
    ret
    .cfi_endproc
    .size   switch_prepare, . - switch_prepare
#endif
    .section .note.GNU-stack, "", %progbits
