// Q6_K weights in the layout q6b times a few tokens by SDOT: the inner loops of few_q6_k_dotprod.c.
//
//   void q4_few2_q6_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     8 rows x 2 tokens; sums: [2 groups of 4 rows][2 tokens][4 rows]
//   void q4_few3_q6_k_dotprod(…), q4_few4_q6_k_dotprod(…)
//     the same of 3 and 4 tokens
//   void q4_few8_q6_k_dotprod(…, const uint8_t *next_acts)
//     8 rows x 8 tokens, four of them in next_acts; sums: [2 groups][8 tokens][4 rows]
//
// panel: q6b.h. acts: `quad4_k` (acts_pack.h). sums are added to. n_blocks > 0.
//
// Each vector of weights meets all tokens once it is unpacked, which half of the registers hold: eight sums, eight totals.
// With eight tokens these are the sums of one group of 4 rows, so groups take turns in a super-block.
#include "panel_few_q6_k.inc"

#define BLOCK x0
#define ACTS x1
#define BLOCKS x2
#define SUMS x3
#define WEIGHTS x5
#define SCALES x6
#define ZEROES x7
#define STEPS w8
#define STRIDE x9 // of what is loaded

#define SUPER_ACTS 1024 // bytes of four tokens' q
#define ACTS_D 64       // from there to their scales
#define ACTS_BYTES 1152

// Weights v\w times lane \quad of the tokens' activations v0, v1, …, added to v\s0, v\s1, …
.macro dots tokens, s0, s1, s2, s3, w, quad
    sdot v\s0\().4s, v\w\().16b, v0.4b[\quad]
    sdot v\s1\().4s, v\w\().16b, v1.4b[\quad]
    .if \tokens > 2
    sdot v\s2\().4s, v\w\().16b, v2.4b[\quad]
    .endif
    .if \tokens > 3
    sdot v\s3\().4s, v\w\().16b, v3.4b[\quad]
    .endif
.endm

// A group's sums v\s0, … times its sub-scales v\scales, added to its totals.
.macro add_sums tokens, scales, s0, s1, s2, s3, t0, t1, t2, t3
    mla v\t0\().4s, v\s0\().4s, v\scales\().4s
    mla v\t1\().4s, v\s1\().4s, v\scales\().4s
    .if \tokens > 2
    mla v\t2\().4s, v\s2\().4s, v\scales\().4s
    .endif
    .if \tokens > 3
    mla v\t3\().4s, v\s3\().4s, v\scales\().4s
    .endif
.endm

// acc += float(total) * (d * dx) of a group whose d are v\d; accumulators are at \at of the sums.
.macro scale_group tokens, at, d, s0, s1, s2, s3, t0, t1, t2, t3
    fmul v\s0\().4s, v\d\().4s, v0.s[0]
    fmul v\s1\().4s, v\d\().4s, v0.s[1]
    ldp q7, q8, [SUMS, #\at]
    .if \tokens > 2
    fmul v\s2\().4s, v\d\().4s, v0.s[2]
    ldr q9, [SUMS, #\at + 32]
    .endif
    .if \tokens > 3
    fmul v\s3\().4s, v\d\().4s, v0.s[3]
    ldr q10, [SUMS, #\at + 48]
    .endif
    fmla v7.4s, v\t0\().4s, v\s0\().4s
    fmla v8.4s, v\t1\().4s, v\s1\().4s
    stp q7, q8, [SUMS, #\at]
    .if \tokens > 2
    fmla v9.4s, v\t2\().4s, v\s2\().4s
    str q9, [SUMS, #\at + 32]
    .endif
    .if \tokens > 3
    fmla v10.4s, v\t3\().4s, v\s3\().4s
    str q10, [SUMS, #\at + 48]
    .endif
.endm

.macro load_acts tokens
    .if \tokens == 2
    ld1 {v0.16b, v1.16b}, [ACTS], STRIDE
    .elseif \tokens == 3
    ld1 {v0.16b, v1.16b, v2.16b}, [ACTS], STRIDE
    .else
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [ACTS], #64
    .endif
.endm

// A sub-block of 8 rows, \odd of two whose sub-scales are loaded at once. a0-a3: the second group's sums.
.macro sub_block tokens, odd, a0, a1, a2, a3, t0, t1, t2, t3
    ld1 {v4.16b, v5.16b, v6.16b}, [WEIGHTS], #48
    load_acts \tokens
    ld1 {v7.16b, v8.16b, v9.16b}, [WEIGHTS], #48
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [ZEROES]
    .if \tokens > 2
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [ZEROES]
    .endif
    .if \odd
    sxtl2 v13.8h, v12.16b
    .else
    ldr q12, [SCALES], #16
    sxtl v13.8h, v12.8b
    .endif
    unpack_quad_0 10, 4, 5
    unpack_quad_0 11, 7, 8
    dots \tokens, 24, 25, 26, 27, 10, 0
    dots \tokens, \a0, \a1, \a2, \a3, 11, 0
    unpack_quad_1 4, 5, 6
    unpack_quad_1 7, 8, 9
    sxtl2 v14.4s, v13.8h
    sxtl v13.4s, v13.4h
    dots \tokens, 24, 25, 26, 27, 5, 1
    dots \tokens, \a0, \a1, \a2, \a3, 8, 1
    unpack_quads_2_3 4, 6
    unpack_quads_2_3 7, 9
    dots \tokens, 24, 25, 26, 27, 6, 2
    dots \tokens, \a0, \a1, \a2, \a3, 9, 2
    dots \tokens, 24, 25, 26, 27, 4, 3
    dots \tokens, \a0, \a1, \a2, \a3, 7, 3
    add_sums \tokens, 13, 24, 25, 26, 27, 16, 17, 18, 19
    add_sums \tokens, 14, \a0, \a1, \a2, \a3, \t0, \t1, \t2, \t3
.endm

.macro few_function name, tokens, a0, a1, a2, a3, t0, t1, t2, t3
    vector_function \name
    movi v15.16b, #0xfc
    address_of ZEROES
    mov STRIDE, #64
1:  add SCALES, BLOCK, #SCALES_AT
    add WEIGHTS, BLOCK, #WEIGHTS_AT
    zero_totals
    mov STEPS, #2
2:  .rept 4
    sub_block \tokens, 0, \a0, \a1, \a2, \a3, \t0, \t1, \t2, \t3
    sub_block \tokens, 1, \a0, \a1, \a2, \a3, \t0, \t1, \t2, \t3
    .endr
    subs STEPS, STEPS, #1
    b.ne 2b
    ldr q4, [BLOCK]
    ldr q0, [ACTS, #ACTS_D]
    mov BLOCK, WEIGHTS
    add ACTS, ACTS, #(ACTS_BYTES - SUPER_ACTS)
    fcvtl v5.4s, v4.4h
    fcvtl2 v6.4s, v4.8h
    totals_to_float
    scale_group \tokens, 0, 5, 24, 25, 26, 27, 16, 17, 18, 19
    scale_group \tokens, (16 * \tokens), 6, \a0, \a1, \a2, \a3, \t0, \t1, \t2, \t3
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function \name
.endm

    few_function q4_few2_q6_k_dotprod, 2, 26, 27, 28, 29, 18, 19, 20, 21
    few_function q4_few3_q6_k_dotprod, 3, 28, 29, 30, 31, 20, 21, 22, 23
    few_function q4_few4_q6_k_dotprod, 4, 28, 29, 30, 31, 20, 21, 22, 23

// ---- eight tokens, 4 rows at a time ----

#define NEXT_ACTS x4
#define ROW_SCALES x0
#define GROUPS w10
#define TO x11

.macro dots_8 w, quad
    sdot v24.4s, v\w\().16b, v0.4b[\quad]
    sdot v25.4s, v\w\().16b, v1.4b[\quad]
    sdot v26.4s, v\w\().16b, v2.4b[\quad]
    sdot v27.4s, v\w\().16b, v3.4b[\quad]
    sdot v28.4s, v\w\().16b, v4.4b[\quad]
    sdot v29.4s, v\w\().16b, v5.4b[\quad]
    sdot v30.4s, v\w\().16b, v6.4b[\quad]
    sdot v31.4s, v\w\().16b, v7.4b[\quad]
.endm

.macro sub_block_8
    ld1 {v8.16b, v9.16b, v10.16b}, [WEIGHTS], STRIDE
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [ACTS], #64
    ld1 {v4.16b, v5.16b, v6.16b, v7.16b}, [NEXT_ACTS], #64
    zero_sums ZEROES
    ldr s12, [SCALES], #8
    unpack_quad_0 11, 8, 9
    sxtl v12.8h, v12.8b
    dots_8 11, 0
    unpack_quad_1 8, 9, 10
    sxtl v12.4s, v12.4h
    dots_8 9, 1
    unpack_quads_2_3 8, 10
    dots_8 10, 2
    dots_8 8, 3
    add_sums 4, 12, 24, 25, 26, 27, 16, 17, 18, 19
    add_sums 4, 12, 28, 29, 30, 31, 20, 21, 22, 23
.endm

    vector_function q4_few8_q6_k_dotprod
    movi v15.16b, #0xfc
    address_of ZEROES
    mov STRIDE, #SUB_BYTES
    add SCALES, x0, #SCALES_AT
    add WEIGHTS, x0, #WEIGHTS_AT
1:  mov GROUPS, #2
    mov TO, SUMS
2:  zero_totals
    mov STEPS, #2
3:  .rept 8
    sub_block_8
    .endr
    subs STEPS, STEPS, #1
    b.ne 3b
    ldr d12, [ROW_SCALES], #8
    ldr q0, [ACTS, #ACTS_D]
    ldr q1, [NEXT_ACTS, #ACTS_D]
    fcvtl v12.4s, v12.4h
    totals_to_float
    fmul v24.4s, v12.4s, v0.s[0]
    fmul v25.4s, v12.4s, v0.s[1]
    fmul v26.4s, v12.4s, v0.s[2]
    fmul v27.4s, v12.4s, v0.s[3]
    fmul v28.4s, v12.4s, v1.s[0]
    fmul v29.4s, v12.4s, v1.s[1]
    fmul v30.4s, v12.4s, v1.s[2]
    fmul v31.4s, v12.4s, v1.s[3]
    add_totals TO
    sub ACTS, ACTS, #SUPER_ACTS
    sub NEXT_ACTS, NEXT_ACTS, #SUPER_ACTS
    sub WEIGHTS, WEIGHTS, #(16 * SUB_BYTES - GROUP_BYTES)
    sub SCALES, SCALES, #(16 * 8 - 4)
    subs GROUPS, GROUPS, #1
    b.ne 2b
    add ACTS, ACTS, #ACTS_BYTES
    add NEXT_ACTS, NEXT_ACTS, #ACTS_BYTES
    add ROW_SCALES, ROW_SCALES, #(BLOCK_BYTES - 16)
    add WEIGHTS, WEIGHTS, #(BLOCK_BYTES - 2 * GROUP_BYTES)
    add SCALES, SCALES, #(BLOCK_BYTES - 8)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few8_q6_k_dotprod
