// Q4_K weights in the layout k16 times a few tokens by SDOT: the inner loops of few_q4_k_dotprod.c.
//
//   void q4_few2_q4_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     16 rows x 2 tokens; sums: [4 groups of 4 rows][2 tokens][4 rows]
//   void q4_few3_q4_k_dotprod(…, size_t half), q4_few4_q4_k_dotprod(…, size_t half)
//     the 8 rows of a half (0, 1) x 3 or 4 tokens; sums: [2 groups][4 tokens][4 rows]
//   void q4_few8_q4_k_dotprod(…, const uint8_t *next_acts)
//     16 rows x 8 tokens, four of them in next_acts; sums: [4 groups][8 tokens][4 rows]
//
// panel: k16.h. acts: `quad4_k` (acts_pack.h). sums are added to. n_blocks > 0.
//
// With eight tokens the registers hold one group's sums, so groups take turns in a super-block. TBL makes int32 of a
// sub-block's scales.
#include "panel_few_nibbles_dotprod.inc"
#include "panel_few_q4_k.inc"

#define BLOCKS x2
#define SUMS x3
#define HALF x4
#define SCALES x8
#define HEADER x9
#define AT x10 // minima

#define SUPER_ACTS 1024 // bytes of four tokens' q, which their sums follow
#define ACTS_D 64       // from there to their scales
#define ACTS_BYTES 1152

// Totals v\t0 and v\t1 take a group's sums times its scales v\scales; \multiply: mul in the first sub-block, mla in the
// others
.macro add_sums multiply, scales, s0, s1, t0, t1
    \multiply v\t0\().4s, v\s0\().4s, v\scales\().4s
    \multiply v\t1\().4s, v\s1\().4s, v\scales\().4s
.endm

// ---- two tokens, 16 rows ----

.macro sub_block_2 s, multiply
    ldr q12, [PANEL, #-16]
    ldp q0, q1, [ACTS, #(128 * \s)]
    ldp q2, q3, [ACTS, #(128 * \s + 64)]
    load_sums
    quad_times_2 0
    quad_times_2 1
    quad_times_2 2
    quad_times_2 3
    ld1 {v4.16b, v5.16b, v6.16b, v7.16b}, [CONSTANTS]
    add PANEL, PANEL, #SUB_BYTES
    .irp r, v4.16b, v5.16b, v6.16b, v7.16b
    tbl \r, {v12.16b}, \r
    .endr
    add_sums \multiply, 4, 24, 25, 16, 17
    add_sums \multiply, 5, 26, 27, 18, 19
    add_sums \multiply, 6, 28, 29, 20, 21
    add_sums \multiply, 7, 30, 31, 22, 23
.endm

.macro factors_of_group_2 d, f0, f1
    fmul v\f0\().4s, v\d\().4s, v8.s[0]
    fmul v\f1\().4s, v\d\().4s, v8.s[1]
.endm

// Of 16 rows fp16 at \at of the header, times the tokens' scales v8, to v24-v31
.macro factors_2 at
    ldp q12, q13, [HEADER, #\at]
    fcvtl v11.4s, v12.4h
    fcvtl2 v12.4s, v12.8h
    fcvtl v14.4s, v13.4h
    fcvtl2 v13.4s, v13.8h
    factors_of_group_2 11, 24, 25
    factors_of_group_2 12, 26, 27
    factors_of_group_2 14, 28, 29
    factors_of_group_2 13, 30, 31
.endm

// Minima of four sub-blocks of each group times lane \lane of the tokens' sums v9, v10
.macro minima_products_2 m0, m1, m2, m3, lane
    dot 16, \m0, 9, \lane
    dot 17, \m0, 10, \lane
    dot 18, \m1, 9, \lane
    dot 19, \m1, 10, \lane
    dot 20, \m2, 9, \lane
    dot 21, \m2, 10, \lane
    dot 22, \m3, 9, \lane
    dot 23, \m3, 10, \lane
.endm

    vector_function q4_few2_q4_k_dotprod
    start
    mov HEADER, PANEL
1:  add PANEL, HEADER, #(SUBS_AT + 16)
    sub_block_2 0, mul
    .irp s, 1, 2, 3, 4, 5, 6, 7
    sub_block_2 \s, mla
    .endr
    add ACTS, ACTS, #SUPER_ACTS
    ldr q8, [ACTS, #ACTS_D]
    totals_to_float
    factors_2 0
    load_accumulators SUMS
    accumulate fmla
    start_minima
    ldp q9, q10, [ACTS], #(ACTS_BYTES - SUPER_ACTS)
    ldp q24, q25, [HEADER, #MINIMA_AT]
    ldp q26, q27, [HEADER, #(MINIMA_AT + 32)]
    ldp q28, q29, [HEADER, #(MINIMA_AT + 64)]
    ldp q30, q31, [HEADER, #(MINIMA_AT + 96)]
    minima_products_2 24, 26, 28, 30, 0
    minima_products_2 25, 27, 29, 31, 1
    upper_minima_done
    minima_products_2 24, 26, 28, 30, 2
    minima_products_2 25, 27, 29, 31, 3
    ldr q9, [ZEROES, #64]
    factors_2 DMIN_AT
    minima_to_float 9
    accumulate fmls
    store_accumulators SUMS
    add HEADER, HEADER, #BLOCK_BYTES
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few2_q4_k_dotprod

// ---- three or four tokens, 8 rows ----

.macro sub_block_4 tokens, multiply
    ldp q4, q5, [PANEL]
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [ACTS], #64
    load_sums
    ldp q12, q13, [PANEL, #64]
    ld1 {v8.16b, v9.16b, v10.16b, v11.16b}, [ACTS], #64
    quad_times_4 \tokens, 0, 4, 5
    ldp q4, q5, [PANEL, #128]
    quad_times_4 \tokens, 1, 12, 13
    ldp q12, q13, [PANEL, #192]
    quad_times_4 \tokens, 2, 4, 5
    ldr d14, [SCALES]
    ldp q4, q5, [CONSTANTS]
    add PANEL, PANEL, #SUB_BYTES
    add SCALES, SCALES, #SUB_BYTES
    quad_times_4 \tokens, 3, 12, 13
    tbl v4.16b, {v14.16b}, v4.16b
    tbl v5.16b, {v14.16b}, v5.16b
    add_sums \multiply, 4, 24, 25, 16, 17
    add_sums \multiply, 5, 28, 29, 20, 21
    .if \tokens == 4
    add_sums \multiply, 4, 26, 27, 18, 19
    add_sums \multiply, 5, 30, 31, 22, 23
    .else
    \multiply v18.4s, v26.4s, v4.4s
    \multiply v22.4s, v30.4s, v5.4s
    .endif
.endm

.macro factors_of_group_4 d, x, f0, f1, f2, f3
    fmul v\f0\().4s, v\d\().4s, v\x\().s[0]
    fmul v\f1\().4s, v\d\().4s, v\x\().s[1]
    fmul v\f2\().4s, v\d\().4s, v\x\().s[2]
    fmul v\f3\().4s, v\d\().4s, v\x\().s[3]
.endm

// Of 8 rows fp16 at \at of the header, times the tokens' scales v8, to v24-v31
.macro factors_4 at
    ldr q12, [HEADER, #\at]
    fcvtl v11.4s, v12.4h
    fcvtl2 v12.4s, v12.8h
    factors_of_group_4 11, 8, 24, 25, 26, 27
    factors_of_group_4 12, 8, 28, 29, 30, 31
.endm

// Minima v\m of four sub-blocks of a group times lane \lane of the tokens' sums v\x0-v\x3
.macro minima_products_4 s0, s1, s2, s3, m, x0, x1, x2, x3, lane
    dot \s0, \m, \x0, \lane
    dot \s1, \m, \x1, \lane
    dot \s2, \m, \x2, \lane
    dot \s3, \m, \x3, \lane
.endm

.macro minima_of_groups_4 lane0, lane1
    minima_products_4 16, 17, 18, 19, 9, 24, 25, 26, 27, \lane0
    minima_products_4 20, 21, 22, 23, 11, 24, 25, 26, 27, \lane0
    minima_products_4 16, 17, 18, 19, 10, 24, 25, 26, 27, \lane1
    minima_products_4 20, 21, 22, 23, 12, 24, 25, 26, 27, \lane1
.endm

.macro few_function name, tokens
    vector_function \name
    start
    add HEADER, PANEL, HALF, lsl #4
    add AT, PANEL, #MINIMA_AT
    add AT, AT, HALF, lsl #6
    add SCALES, PANEL, #SUBS_AT
    add SCALES, SCALES, HALF, lsl #3
    add PANEL, PANEL, #(SUBS_AT + 16)
    add PANEL, PANEL, HALF, lsl #5
    .if \tokens == 3
    movi v19.2d, #0
    movi v23.2d, #0
    .endif
1:  sub_block_4 \tokens, mul
    .rept 7
    sub_block_4 \tokens, mla
    .endr
    ldr q8, [ACTS, #ACTS_D]
    totals_to_float
    factors_4 0
    load_accumulators SUMS
    accumulate fmla
    start_minima
    ld1 {v24.16b, v25.16b, v26.16b, v27.16b}, [ACTS]
    ldp q9, q10, [AT]
    ldp q11, q12, [AT, #32]
    add ACTS, ACTS, #(ACTS_BYTES - SUPER_ACTS)
    minima_of_groups_4 0, 1
    upper_minima_done
    minima_of_groups_4 2, 3
    ldr q9, [ZEROES, #64]
    factors_4 DMIN_AT
    minima_to_float 9
    accumulate fmls
    store_accumulators SUMS
    add HEADER, HEADER, #BLOCK_BYTES
    add AT, AT, #BLOCK_BYTES
    add SCALES, SCALES, #SUBS_AT
    add PANEL, PANEL, #SUBS_AT
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function \name
.endm

    few_function q4_few3_q4_k_dotprod, 3
    few_function q4_few4_q4_k_dotprod, 4

// ---- eight tokens, 4 rows at a time ----

#define GROUPS w4
#define TO x11

.macro sub_block_8 s, multiply
    columns_times_8 (SUB_BYTES * \s)
    ldr s13, [SCALES, #(SUB_BYTES * \s)]
    upper_quads_times_8
    tbl v13.16b, {v13.16b}, v14.16b
    add_sums \multiply, 13, 24, 25, 16, 17
    add_sums \multiply, 13, 26, 27, 18, 19
    add_sums \multiply, 13, 28, 29, 20, 21
    add_sums \multiply, 13, 30, 31, 22, 23
.endm

// Of 4 rows fp16 at \at of the header, times the tokens' scales v8, v9, to v24-v31
.macro factors_8 at
    ldr d12, [HEADER, #\at]
    fcvtl v12.4s, v12.4h
    factors_of_group_4 12, 8, 24, 25, 26, 27
    factors_of_group_4 12, 9, 28, 29, 30, 31
.endm

.macro minima_products_8 m, lane
    minima_products_4 16, 17, 18, 19, \m, 24, 25, 26, 27, \lane
    minima_products_4 20, 21, 22, 23, \m, 28, 29, 30, 31, \lane
.endm

    vector_function q4_few8_q4_k_dotprod
    start
    mov NEXT_ACTS, x4
    ldr q14, [CONSTANTS]
    mov HEADER, PANEL
    add AT, PANEL, #MINIMA_AT
    add SCALES, PANEL, #SUBS_AT
    add PANEL, PANEL, #(SUBS_AT + 16)
1:  mov GROUPS, #4
    mov TO, SUMS
2:  sub_block_8 0, mul
    .irp s, 1, 2, 3, 4, 5, 6, 7
    sub_block_8 \s, mla
    .endr
    ldr q8, [ACTS, #ACTS_D]
    ldr q9, [NEXT_ACTS, #ACTS_D]
    totals_to_float
    factors_8 0
    load_accumulators TO
    accumulate fmla
    start_minima
    ldp q10, q11, [AT], #32
    ld1 {v24.16b, v25.16b, v26.16b, v27.16b}, [ACTS]
    ld1 {v28.16b, v29.16b, v30.16b, v31.16b}, [NEXT_ACTS]
    minima_products_8 10, 0
    minima_products_8 11, 1
    upper_minima_done
    minima_products_8 10, 2
    minima_products_8 11, 3
    ldr q10, [ZEROES, #64]
    factors_8 DMIN_AT
    minima_to_float 10
    accumulate fmls
    store_accumulators TO
    add TO, TO, #128
    sub ACTS, ACTS, #SUPER_ACTS
    sub NEXT_ACTS, NEXT_ACTS, #SUPER_ACTS
    add HEADER, HEADER, #8
    add SCALES, SCALES, #4
    add PANEL, PANEL, #16
    subs GROUPS, GROUPS, #1
    b.ne 2b
    add ACTS, ACTS, #ACTS_BYTES
    add NEXT_ACTS, NEXT_ACTS, #ACTS_BYTES
    add HEADER, HEADER, #(BLOCK_BYTES - 32)
    add AT, AT, #(BLOCK_BYTES - 128)
    add SCALES, SCALES, #(BLOCK_BYTES - 16)
    add PANEL, PANEL, #(BLOCK_BYTES - 64)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few8_q4_k_dotprod

    .section .rodata
    .p2align 6
constants: // each row's byte as int32
    .irp row, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .byte \row, 0xff, 0xff, 0xff
    .endr
    .zero 64
    .rept 16
    .word 0x4b400000 >> 6
    .endr
    .zero 64
    .rept 4
    .word 0x4b400000
    .endr
