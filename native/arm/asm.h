// What the assembly files share.
#ifndef Q4_ARM_ASM_H
#define Q4_ARM_ASM_H

// A function that may use all vector registers: the caller owns the low halves of v8-v15.
.macro vector_function name
    .text
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 5
\name:
    .cfi_startproc
    stp d8, d9, [sp, #-64]!
    .cfi_adjust_cfa_offset 64
    .cfi_rel_offset b8, 0
    .cfi_rel_offset b9, 8
    stp d10, d11, [sp, #16]
    .cfi_rel_offset b10, 16
    .cfi_rel_offset b11, 24
    stp d12, d13, [sp, #32]
    .cfi_rel_offset b12, 32
    .cfi_rel_offset b13, 40
    stp d14, d15, [sp, #48]
    .cfi_rel_offset b14, 48
    .cfi_rel_offset b15, 56
.endm

.macro end_vector_function name
    ldp d10, d11, [sp, #16]
    ldp d12, d13, [sp, #32]
    ldp d14, d15, [sp, #48]
    ldp d8, d9, [sp], #64
    .cfi_adjust_cfa_offset -64
    .irp register, b8, b9, b10, b11, b12, b13, b14, b15
    .cfi_restore \register
    .endr
    ret
    .cfi_endproc
    .size \name, . - \name
.endm

    .section .note.GNU-stack, "", %progbits
    .text

#endif
