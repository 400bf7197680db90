// Activations of a few tokens as few_pairs.h has them, for SMMLA.
//
//   void q4_pack_pairs1_nibbles(uint8_t *out, const int8_t *const q[2], size_t column, size_t pieces, size_t step)
//     pieces of 32 columns of two tokens, from `column` (a multiple of 32) on: int8 [chunks 0, 2, 1 and 3 of 8 columns]
//     [token pairs][2 tokens x 8 columns], `step` bytes apart. pieces > 0
//   void q4_pack_pairs2_nibbles(…), q4_pack_pairs4_nibbles(…)
//     the same of 4 and 8 tokens
//   void q4_pack_pairs1(…), q4_pack_pairs2(…), q4_pack_pairs4(…)
//     the same with the chunks in order
//   void q4_pack_scales1_halves(uint8_t *out, const float *const d[2], size_t fours)
//     scales of four blocks of 32 columns of two tokens: for each block fp16 [token pairs][d0, d0, d1, d1, d0, d0, d1, d1],
//     80 bytes a token pair apart
//   void q4_pack_scales2_halves(…), q4_pack_scales4_halves(…)
//     the same of 4 and 8 tokens
//
// On few rows packing shows. Of the load and store pipes STP takes half as much as two STR, which is what compilers make
// of intrinsics.
#include "asm.inc"

#define OUT x0
#define TOKENS x1
#define COLUMN x2
#define PIECES x3
#define STEP x4
#define COLUMN_16 x13

// Tokens \q0 and \q1 of a pair: chunks 0 to 3 to v\c0, v\a, v\c2 and v\c. LDP takes a slot more than two LDR.
.macro chunks q0, q1, a, b, c, d, c0, c2
    ldr q\a, [\q0, COLUMN]
    ldr q\b, [\q1, COLUMN]
    ldr q\c, [\q0, COLUMN_16]
    ldr q\d, [\q1, COLUMN_16]
    zip1 v\c0\().2d, v\a\().2d, v\b\().2d
    zip2 v\a\().2d, v\a\().2d, v\b\().2d
    zip1 v\c2\().2d, v\c\().2d, v\d\().2d
    zip2 v\c\().2d, v\c\().2d, v\d\().2d
.endm

// Two pairs' chunks to \at
.macro store_chunks at, pairs, second, a0, b0, a1, b1, a2, b2, a3, b3
    stp q\a0, q\b0, [OUT, #(\at)]
    stp q\a1, q\b1, [OUT, #(16 * \pairs * (3 - \second) + \at)]
    stp q\a2, q\b2, [OUT, #(16 * \pairs * \second + \at)]
    stp q\a3, q\b3, [OUT, #(48 * \pairs + \at)]
.endm

.macro start_function name
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 5
\name:
    .cfi_startproc
.endm

// x5, x6, …: what the tokens have
.macro load_pointers pairs
    ldp x5, x6, [TOKENS]
    .if \pairs > 1
    ldp x7, x8, [TOKENS, #16]
    .endif
    .if \pairs > 2
    ldp x9, x10, [TOKENS, #32]
    ldp x11, x12, [TOKENS, #48]
    .endif
.endm

// \second: where chunk 2 goes
.macro pack_function name, pairs, second
    start_function \name
    load_pointers \pairs
    add COLUMN_16, COLUMN, #16
1:  chunks x5, x6, 0, 1, 2, 3, 24, 28
    .if \pairs == 1
    .if \second == 1
    stp q24, q28, [OUT]
    stp q0, q2, [OUT, #32]
    .else
    stp q24, q0, [OUT]
    stp q28, q2, [OUT, #32]
    .endif
    .else
    chunks x7, x8, 4, 5, 6, 7, 25, 29
    store_chunks 0, \pairs, \second, 24, 25, 0, 4, 28, 29, 2, 6
    .endif
    .if \pairs > 2
    chunks x9, x10, 16, 17, 18, 19, 26, 30
    chunks x11, x12, 20, 21, 22, 23, 27, 31
    store_chunks 32, \pairs, \second, 26, 27, 16, 20, 30, 31, 18, 22
    .endif
    add COLUMN, COLUMN, #32
    add COLUMN_16, COLUMN_16, #32
    subs PIECES, PIECES, #1
    add OUT, OUT, STEP
    b.ne 1b
    ret
    .cfi_endproc
    .size \name, . - \name
.endm

    pack_function q4_pack_pairs1_nibbles, 1, 1
    pack_function q4_pack_pairs2_nibbles, 2, 1
    pack_function q4_pack_pairs4_nibbles, 4, 1
    pack_function q4_pack_pairs1, 1, 2
    pack_function q4_pack_pairs2, 2, 2
    pack_function q4_pack_pairs4, 4, 2

#define FOURS x2
#define LATER x16 // OUT of the third block
#define COLUMN_4 x13

// Tokens \d0, \d1 of a pair: each block's 8 bytes to the stack
.macro eights d0, d1, a, b, at
    ldr q\a, [\d0, COLUMN_4]
    ldr q\b, [\d1, COLUMN_4]
    fcvtn v\a\().4h, v\a\().4s
    fcvtn2 v\a\().8h, v\b\().4s
    zip1 v\b\().8h, v\a\().8h, v\a\().8h
    zip2 v\a\().8h, v\a\().8h, v\a\().8h
    zip1 v16.4s, v\b\().4s, v\a\().4s
    zip2 v17.4s, v\b\().4s, v\a\().4s
    stp q16, q17, [sp, #\at]
.endm

// From there to their places, twice; by integer registers, which takes no vector slots
.macro twice pair, step
    ldp x14, x15, [sp, #(32 * \pair)]
    stp x14, x14, [OUT, #(16 * \pair)]
    stp x15, x15, [OUT, #(\step + 16 * \pair)]
    ldp x14, x15, [sp, #(32 * \pair + 16)]
    stp x14, x14, [LATER, #(16 * \pair)]
    stp x15, x15, [LATER, #(\step + 16 * \pair)]
.endm

.macro scales_function name, pairs
    start_function \name
    cbz FOURS, 2f
    load_pointers \pairs
    sub sp, sp, #(32 * \pairs)
    .cfi_adjust_cfa_offset (32 * \pairs)
    mov COLUMN_4, #0
    add LATER, OUT, #(2 * 80 * \pairs)
1:  eights x5, x6, 0, 1, 0
    .if \pairs > 1
    eights x7, x8, 2, 3, 32
    .endif
    .if \pairs > 2
    eights x9, x10, 4, 5, 64
    eights x11, x12, 6, 7, 96
    .endif
    twice 0, (80 * \pairs)
    .if \pairs > 1
    twice 1, (80 * \pairs)
    .endif
    .if \pairs > 2
    twice 2, (80 * \pairs)
    twice 3, (80 * \pairs)
    .endif
    add COLUMN_4, COLUMN_4, #16
    add OUT, OUT, #(4 * 80 * \pairs)
    add LATER, LATER, #(4 * 80 * \pairs)
    subs FOURS, FOURS, #1
    b.ne 1b
    add sp, sp, #(32 * \pairs)
    .cfi_adjust_cfa_offset (-32 * \pairs)
2:  ret
    .cfi_endproc
    .size \name, . - \name
.endm

    scales_function q4_pack_scales1_halves, 1
    scales_function q4_pack_scales2_halves, 2
    scales_function q4_pack_scales4_halves, 4
