// 4 rows x 8 tokens of Q6_K over all columns: the inner loop of the i8mm GEMM kernel.
//
//   void q4_tile4x8_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride)
//
// panel: per super-block of 256 columns fp32 d [2 row pairs][d0, d1, d0, d1], then for each of 16 sub-blocks
//        int8 4 w [2 chunks of 8 columns][2 row pairs][2 x 8], int32 steps [2 row pairs][s0, s1, s0, s1].
// acts:  `pairs8_k` (acts_pack.h).
// y:     8 tokens of 4 floats, stride bytes apart. n_blocks > 0.
//
// A super-block's sum is that of scale[j] * p[j], where p[j] are products of sub-block j alone. The products here add up
// over the sub-blocks, P[j] = p[0] + ... + p[j], so that no accumulator has to be cleared in between; the panel therefore
// holds the steps scale[j] - scale[j + 1] (scale[16] = 0), whose sum with P is the same. That is exact modulo 2^32, and
// the result is below 2^31.
//
// All is in registers: v0-v7 are P in 2 x 2 form, v24-v31 the integer sums, v16-v23 the fp32 accumulators. Sub-blocks are
// unrolled: offsets cost nothing then, and each load stands well before its use, which in-order cores need.
#include "asm.inc"

#define PANEL x0
#define ACTS x1
#define BLOCKS x2
#define Y x3
#define STRIDE x4
#define ZEROS x5

#define SUB_BYTES (64 + 32)
#define BLOCK_BYTES (32 + 16 * SUB_BYTES)
#define ACTS_BYTES (64 + 2048)

// A chunk of 8 columns, row pairs in \w0, \w1; then chunk \next of the activations takes the place of this one's.
.macro chunk w0, w1, next
    smmla v0.4s, v10.16b, v\w0\().16b
    smmla v1.4s, v10.16b, v\w1\().16b
    .if \next < 32
    ldr q10, [ACTS, #(64 + 64 * (\next))]
    .endif
    smmla v2.4s, v11.16b, v\w0\().16b
    smmla v3.4s, v11.16b, v\w1\().16b
    .if \next < 32
    ldr q11, [ACTS, #(64 + 64 * (\next) + 16)]
    .endif
    smmla v4.4s, v12.16b, v\w0\().16b
    smmla v5.4s, v12.16b, v\w1\().16b
    .if \next < 32
    ldr q12, [ACTS, #(64 + 64 * (\next) + 32)]
    .endif
    smmla v6.4s, v13.16b, v\w0\().16b
    smmla v7.4s, v13.16b, v\w1\().16b
    .if \next < 32
    ldr q13, [ACTS, #(64 + 64 * (\next) + 48)]
    .endif
.endm

// Two vectors at \offset of sub-block \s
.macro load_pair r0, r1, s, offset
    ldr q\r0, [PANEL, #(32 + (\s) * SUB_BYTES + \offset)]
    ldr q\r1, [PANEL, #(32 + (\s) * SUB_BYTES + \offset + 16)]
.endm

// Weights of the first chunk are in \a, \b; those of the next sub-block's first chunk will be in \c, \d.
.macro sub_block s, a, b, c, d
    load_pair \c, \d, \s, 32
    chunk \a, \b, (2 * \s + 1)
    load_pair \a, \b, \s, 64
    chunk \c, \d, (2 * \s + 2)
    .if \s < 15
    load_pair \c, \d, (\s + 1), 0
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

// Token pair \x (its scales), whose sums are in \s0, \s1: accumulators \a0, \a1 += float(sum) * (d * dx)
.macro scale_pair x, s0, s1, a0, a1
    fmul v8.4s, v\x\().4s, v14.4s
    fmul v9.4s, v\x\().4s, v15.4s
    fmla v\a0\().4s, v\s0\().4s, v8.4s
    fmla v\a1\().4s, v\s1\().4s, v9.4s
.endm

// Two tokens in 2 x 2 form to y
.macro store_pair a0, a1
    zip1 v0.2d, v\a0\().2d, v\a1\().2d
    zip2 v1.2d, v\a0\().2d, v\a1\().2d
    str q0, [Y]
    str q1, [Y, STRIDE]
    add Y, Y, STRIDE, lsl #1
.endm

    vector_function q4_tile4x8_k_i8mm
    adrp ZEROS, zeros
    add ZEROS, ZEROS, :lo12:zeros
    ld1 {v16.4s, v17.4s, v18.4s, v19.4s}, [ZEROS]
    ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [ZEROS]

1:  load_pair 8, 9, 0, 0
    ldp q10, q11, [ACTS, #64]
    ldp q12, q13, [ACTS, #96]
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [ZEROS]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [ZEROS]
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [ZEROS]
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [ZEROS]
    .irp s, 0, 2, 4, 6, 8, 10, 12, 14
    sub_block \s, 8, 9, 14, 15
    sub_block (\s + 1), 14, 15, 8, 9
    .endr
    ldp q14, q15, [PANEL]
    ld1 {v10.4s, v11.4s, v12.4s, v13.4s}, [ACTS]
    .irp r, 24, 25, 26, 27, 28, 29, 30, 31
    scvtf v\r\().4s, v\r\().4s, #2
    .endr
    scale_pair 10, 24, 25, 16, 17
    scale_pair 11, 26, 27, 18, 19
    scale_pair 12, 28, 29, 20, 21
    scale_pair 13, 30, 31, 22, 23
    add PANEL, PANEL, #BLOCK_BYTES
    add ACTS, ACTS, #ACTS_BYTES
    subs BLOCKS, BLOCKS, #1
    b.ne 1b

    store_pair 16, 17
    store_pair 18, 19
    store_pair 20, 21
    store_pair 22, 23
    end_vector_function q4_tile4x8_k_i8mm

    .section .rodata
    .p2align 6
zeros:
    .zero 64
