// 4 rows x 8 tokens of types with super-blocks over all columns: the inner loop of their i8mm GEMM kernels.
//
//   void q4_tile4x8_k16_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride)
//   void q4_tile4x8_k16_32w_i8mm(…)  its weights are 32 w instead of 4 w
//   void q4_tile4x8_k16_min_i8mm(…)  w, with minima
//   void q4_tile4x8_k32_i8mm(…)      w, for sub-blocks of 32 columns instead of 16
//   void q4_tile4x8_k32_min_i8mm(…)  … with minima
//
// panel: per super-block of 256 columns fp32 d [2 row pairs][d0, d1, d0, d1]; with minima fp32 dmin in the same form and
//        int8 minima [eights of sub-blocks][2 row pairs][2 x 8 sub-blocks]; then for each sub-block int8 w [chunks of 8
//        columns][2 row pairs][2 x 8], int32 steps [2 row pairs][s0, s1, s0, s1].
// acts:  `pairs8_k`, for minima of 16 columns `pairs8_k_16` (acts_pack.h).
// y:     8 tokens of 4 floats, stride bytes apart. n_blocks > 0.
//
// A super-block's sum is that of scale[j] * p[j], where p[j] are products of sub-block j alone. The products here add up
// over the sub-blocks, P[j] = p[0] + ... + p[j], so that no accumulator has to be cleared in between; the panel therefore
// holds the steps scale[j] - scale[j + 1] (the last one's own scale), whose sum with P is the same. That is exact modulo
// 2^32, and the result is below 2^31.
//
// All is in registers: v0-v7 are P in 2 x 2 form, v24-v31 the integer sums, v16-v23 the fp32 accumulators. Sub-blocks are
// unrolled: offsets cost nothing then, and each load stands before other products, which in-order cores need.
#include "asm.inc"

#define PANEL x0 // without SINGLE_LOADS + 1024, for LDP's offsets
#define ACTS x1
#define BLOCKS x2
#define Y x3
#define STRIDE x4
#define CONSTANTS x5
#define ACTS0 x6 // + 1024, of the first half of the chunks
#define ACTS1 x7 // … of the second

// SUMS: bytes of the activations' sums, set with SINGLE_LOADS for each tile below

// Activations \offset behind chunk \next, past the last chunk none: by LDP two, which saves instructions, or with
// SINGLE_LOADS one each. Of Neoverse V2's slots LDP takes one more than two LDR, and with sub-blocks of 16 columns slots
// are few there.
.macro load_pair_of_acts r0, r1, next, offset
    .if !SINGLE_LOADS
    .if (\next) < 16
    ldp q\r0, q\r1, [ACTS0, #(64 * (\next) + \offset - 1024)]
    .elseif (\next) < 32
    ldp q\r0, q\r1, [ACTS1, #(64 * (\next) + \offset - 2048)]
    .endif
    .endif
.endm

.macro load_acts r, next, offset
    .if SINGLE_LOADS && (\next) < 32
    ldr q\r, [ACTS, #(64 + SUMS + 64 * (\next) + \offset)]
    .endif
.endm

// A chunk of 8 columns, row pairs in \w0, \w1; then chunk \next of the activations takes the place of this one's.
.macro chunk w0, w1, next
    smmla v0.4s, v10.16b, v\w0\().16b
    smmla v1.4s, v10.16b, v\w1\().16b
    load_acts 10, (\next), 0
    smmla v2.4s, v11.16b, v\w0\().16b
    smmla v3.4s, v11.16b, v\w1\().16b
    load_acts 11, (\next), 16
    load_pair_of_acts 10, 11, (\next), 0
    smmla v4.4s, v12.16b, v\w0\().16b
    smmla v5.4s, v12.16b, v\w1\().16b
    load_acts 12, (\next), 32
    smmla v6.4s, v13.16b, v\w0\().16b
    smmla v7.4s, v13.16b, v\w1\().16b
    load_acts 13, (\next), 48
    load_pair_of_acts 12, 13, (\next), 32
.endm

// Two vectors of the panel
.macro load_pair r0, r1, offset
    .if SINGLE_LOADS
    ldr q\r0, [PANEL, #(\offset)]
    ldr q\r1, [PANEL, #(\offset + 16)]
    .else
    ldp q\r0, q\r1, [PANEL, #((\offset) - 1024)]
    .endif
.endm

// \at: offset of sub-block \s, which has \chunks. Weights of the first chunk are in \a, \b; those of the next
// sub-block's first chunk will be in \c, \d.
.macro sub_block chunks, s, at, a, b, c, d
    load_pair \c, \d, (\at + 32)
    chunk \a, \b, (\chunks * (\s) + 1)
    .if \chunks == 4
    load_pair \a, \b, (\at + 64)
    chunk \c, \d, (4 * (\s) + 2)
    load_pair \c, \d, (\at + 96)
    chunk \a, \b, (4 * (\s) + 3)
    .endif
    load_pair \a, \b, (\at + 32 * \chunks)
    chunk \c, \d, (\chunks * (\s) + \chunks)
    .if (\s) < 32 / \chunks - 1
    load_pair \c, \d, (\at + 32 * \chunks + 32)
    .endif
    mla v24.4s, v0.4s, v\a\().4s
    mla v25.4s, v1.4s, v\b\().4s
    mla v26.4s, v2.4s, v\a\().4s
    mla v27.4s, v3.4s, v\b\().4s
    mla v28.4s, v4.4s, v\a\().4s
    mla v29.4s, v5.4s, v\b\().4s
    mla v30.4s, v6.4s, v\a\().4s
    mla v31.4s, v7.4s, v\b\().4s
.endm

.macro two_sub_blocks chunks, s, header
    sub_block \chunks, \s, (\header + (\s) * (32 * \chunks + 32)), 8, 9, 14, 15
    sub_block \chunks, (\s + 1), (\header + (\s + 1) * (32 * \chunks + 32)), 14, 15, 8, 9
.endm

// Token pair \x (its scales), whose sums are in \s0, \s1: accumulators \a0, \a1 += float(sum) * (d * dx), or with
// \operation fmls -=
.macro scale_pair operation, x, s0, s1, a0, a1
    fmul v8.4s, v\x\().4s, v14.4s
    fmul v9.4s, v\x\().4s, v15.4s
    \operation v\a0\().4s, v\s0\().4s, v8.4s
    \operation v\a1\().4s, v\s1\().4s, v9.4s
.endm

// Minima in v8, v9 times a part of the tokens' sums, at \at of the block
.macro minima_part at
    ldp q10, q11, [ACTS, #\at]
    ldp q12, q13, [ACTS, #(\at + 32)]
    smmla v0.4s, v10.16b, v8.16b
    smmla v1.4s, v10.16b, v9.16b
    smmla v2.4s, v11.16b, v8.16b
    smmla v3.4s, v11.16b, v9.16b
    smmla v4.4s, v12.16b, v8.16b
    smmla v5.4s, v12.16b, v9.16b
    smmla v6.4s, v13.16b, v8.16b
    smmla v7.4s, v13.16b, v9.16b
.endm

.macro times_64 r
    shl v\r\().4s, v\r\().4s, #6
.endm

.macro subtract_magic r
    fsub v\r\().4s, v\r\().4s, v24.4s
.endm

// acc -= float(sum of minima) * (dmin * dx): 64 times the products with the upper parts of the sums and those with the
// lower. They start as what becomes the bits of 1.5 * 2^23, whose unit in the last place is 1, so one subtraction leaves
// float(sum).
.macro subtract_minima
    add x8, CONSTANTS, #64
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [x8]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [x8]
    load_pair 8, 9, 64
    minima_part 64
    .if SUMS == 256
    load_pair 8, 9, 96
    minima_part 128
    .endif
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    times_64 \r
    .endr
    .if SUMS == 256
    minima_part 256
    load_pair 8, 9, 64
    minima_part 192
    .else
    minima_part 128
    .endif
    ldr q24, [CONSTANTS, #128]
    ldp q10, q11, [ACTS]
    ldp q12, q13, [ACTS, #32]
    load_pair 14, 15, 32
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    subtract_magic \r
    .endr
    scale_pair fmls, 10, 0, 1, 16, 17
    scale_pair fmls, 11, 2, 3, 18, 19
    scale_pair fmls, 12, 4, 5, 20, 21
    scale_pair fmls, 13, 6, 7, 22, 23
.endm

// Two tokens in 2 x 2 form to y
.macro store_pair a0, a1
    zip1 v0.2d, v\a0\().2d, v\a1\().2d
    zip2 v1.2d, v\a0\().2d, v\a1\().2d
    str q0, [Y]
    str q1, [Y, STRIDE]
    add Y, Y, STRIDE, lsl #1
.endm

.macro sum_to_float r, factor_bits
    .if \factor_bits
    scvtf v\r\().4s, v\r\().4s, #\factor_bits
    .else
    scvtf v\r\().4s, v\r\().4s
    .endif
.endm

.macro tile name, chunks, factor_bits, min, header
    vector_function \name
    adrp CONSTANTS, constants
    add CONSTANTS, CONSTANTS, :lo12:constants
    ld1 {v16.4s, v17.4s, v18.4s, v19.4s}, [CONSTANTS]
    ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [CONSTANTS]
    .if !SINGLE_LOADS
    add PANEL, PANEL, #1024
    add ACTS0, ACTS, #(64 + SUMS + 1024)
    add ACTS1, ACTS, #(64 + SUMS + 2048)
    .endif

1:  load_pair 8, 9, \header
    ldp q10, q11, [ACTS, #(64 + SUMS)]
    ldp q12, q13, [ACTS, #(96 + SUMS)]
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [CONSTANTS]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [CONSTANTS]
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [CONSTANTS]
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [CONSTANTS]
    .irp s, 0, 2, 4, 6
    two_sub_blocks \chunks, \s, \header
    .endr
    .if \chunks == 2
    .irp s, 8, 10, 12, 14
    two_sub_blocks \chunks, \s, \header
    .endr
    .endif
    load_pair 14, 15, 0
    ldp q10, q11, [ACTS]
    ldp q12, q13, [ACTS, #32]
    .irp r, 24, 25, 26, 27, 28, 29, 30, 31
    sum_to_float \r, \factor_bits
    .endr
    scale_pair fmla, 10, 24, 25, 16, 17
    scale_pair fmla, 11, 26, 27, 18, 19
    scale_pair fmla, 12, 28, 29, 20, 21
    scale_pair fmla, 13, 30, 31, 22, 23
    .if \min
    subtract_minima
    .endif
    add PANEL, PANEL, #(\header + 32 / \chunks * (32 * \chunks + 32))
    add ACTS, ACTS, #(64 + SUMS + 2048)
    .if !SINGLE_LOADS
    add ACTS0, ACTS0, #(64 + SUMS + 2048)
    add ACTS1, ACTS1, #(64 + SUMS + 2048)
    .endif
    subs BLOCKS, BLOCKS, #1
    b.ne 1b

    store_pair 16, 17
    store_pair 18, 19
    store_pair 20, 21
    store_pair 22, 23
    end_vector_function \name
.endm

    .set SUMS, 128
    .set SINGLE_LOADS, 1
    tile q4_tile4x8_k16_i8mm, 2, 2, 0, 32
    tile q4_tile4x8_k16_32w_i8mm, 2, 5, 0, 32
    .set SINGLE_LOADS, 0
    tile q4_tile4x8_k32_i8mm, 4, 0, 0, 32
    tile q4_tile4x8_k32_min_i8mm, 4, 0, 1, 96
    .set SUMS, 256
    .set SINGLE_LOADS, 1
    tile q4_tile4x8_k16_min_i8mm, 2, 0, 1, 128

    .section .rodata
    .p2align 6
constants:
    .zero 64
    .rept 16
    .word 0x4b400000 >> 6
    .endr
    .rept 4
    .word 0x4b400000
    .endr
