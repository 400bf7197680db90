// Sub-blocks of a Q4_K super-block in the layout k16, decoded for q4_tile4x8_k32_min_i8mm: 8 rows.
//
//   void q4_decode_q4_k_i8mm(const int8_t *scales, const uint8_t *weights, uint8_t *first, uint8_t *second)
//
// scales, weights: of the first sub-block, from these rows on.
// first:  where the first group's sub-blocks go, int8 [4 chunks of 8 columns][2 row pairs][2 x 8], int32 steps [2 row
//         pairs][s0, s1, s0, s1]; second: the other group's.
//
// Stores take vector slots, and on Neoverse N2 all of those are taken; so a quarter of the weights go through the integer
// pipes, two rows and two column quads at a time (three eighths would take more slots than that saves). Both ways each
// byte is loaded once: V2 waits for its load and store pipes.
#include "asm.inc"

#define SCALES x0
#define WEIGHTS x1
#define FIRST x2
#define SECOND x3
#define LOW_NIBBLES x17

#define SUB_BYTES 272
#define SUB_OUT 160

// Two rows of column quads 2 and 3, in \a and \b: chunks 1 and 3
.macro integer_rows a, b, out, at
    lsr x8, \a, #32
    bfi \a, \b, #32, #32
    bfxil \b, x8, #0, #32
    and x8, LOW_NIBBLES, \a, lsr #4
    and x9, LOW_NIBBLES, \b, lsr #4
    and \a, LOW_NIBBLES, \a
    and \b, LOW_NIBBLES, \b
    stp x8, x9, [\out, #(96 + \at)]
    stp \a, \b, [\out, #(32 + \at)]
.endm

// Column quads \i and \i + 1 of a group: chunks \i / 2 and \i / 2 + 2
.macro two_quads i, group, out
    ldr q0, [WEIGHTS, #(16 * \group + 64 * \i)]
    ldr q1, [WEIGHTS, #(16 * \group + 64 * \i + 64)]
    zip1 v2.4s, v0.4s, v1.4s
    zip2 v3.4s, v0.4s, v1.4s
    and v4.16b, v2.16b, v31.16b
    and v5.16b, v3.16b, v31.16b
    ushr v6.16b, v2.16b, #4
    ushr v7.16b, v3.16b, #4
    stp q4, q5, [\out, #(16 * \i)]
    stp q6, q7, [\out, #(16 * \i + 64)]
.endm

// Sub-block \s, whose scales are in v\this; those of the next will be in v\next.
.macro sub_block s, this, next
    .if \s < 7
    ldr d\next, [SCALES, #(SUB_BYTES * (\s + 1))]
    .else
    movi d\next, #0
    .endif
    ldp x4, x5, [WEIGHTS, #128]
    ldp x6, x7, [WEIGHTS, #192]
    two_quads 0, 0, FIRST
    integer_rows x4, x6, FIRST, 0
    ssubl v26.8h, v\this\().8b, v\next\().8b
    two_quads 0, 1, SECOND
    integer_rows x5, x7, FIRST, 16
    two_quads 2, 1, SECOND
    sxtl v27.4s, v26.4h
    sxtl2 v28.4s, v26.8h
    mov d29, v27.d[1]
    mov d30, v28.d[1]
    add WEIGHTS, WEIGHTS, #SUB_BYTES
    stp d27, d27, [FIRST, #128]
    stp d29, d29, [FIRST, #144]
    stp d28, d28, [SECOND, #128]
    stp d30, d30, [SECOND, #144]
    add FIRST, FIRST, #SUB_OUT
    add SECOND, SECOND, #SUB_OUT
.endm

    .text
    .globl q4_decode_q4_k_i8mm
    .hidden q4_decode_q4_k_i8mm
    .type q4_decode_q4_k_i8mm, %function
    .p2align 5
q4_decode_q4_k_i8mm:
    .cfi_startproc
    mov LOW_NIBBLES, #0x0f0f0f0f0f0f0f0f
    movi v31.16b, #0x0f
    ldr d24, [SCALES]
    sub_block 0, 24, 25
    sub_block 1, 25, 24
    sub_block 2, 24, 25
    sub_block 3, 25, 24
    sub_block 4, 24, 25
    sub_block 5, 25, 24
    sub_block 6, 24, 25
    sub_block 7, 25, 24
    ret
    .cfi_endproc
    .size q4_decode_q4_k_i8mm, . - q4_decode_q4_k_i8mm
