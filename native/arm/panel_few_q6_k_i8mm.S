// Q6_K weights in the layout q6b times a few tokens by SMMLA: the inner loops of few_q6_k_i8mm.c.
//
//   void q4_few4_q6_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     8 rows x 4 tokens; sums: [2 groups of 4 rows][2 token pairs][2 row pairs][t0 r0, t0 r1, t1 r0, t1 r1]
//   void q4_few8_q6_k_i8mm(…)
//     8 rows x 8 tokens; sums: [2 groups][4 token pairs][2 row pairs][4]
//
// panel: q6b.h. acts: few_pairs.h, of 2 and 4 token pairs. sums are added to. n_blocks > 0.
//
// The layout's vectors are 4 rows x 4 columns; once they are unpacked, ZIP of two column quads gives 2 rows x 8 columns
// twice. Fewer than four tokens are better served by SDOT, which needs none. With eight tokens the registers hold one
// group's sums, so groups take turns in a super-block. Sums add up over the sub-blocks and are multiplied with the
// differences of sub-scales, so that nothing is cleared in between (tile4x8_k_i8mm.S).
#include "panel_few_q6_k.inc"

#define ROW_SCALES x0
#define ACTS x1
#define BLOCKS x2
#define SUMS x3
#define WEIGHTS x5
#define SCALES x6
#define ZEROES x7
#define STRIDE x9 // of what is loaded
#define GROUPS w10
#define TO x11

#define SUPER_ACTS 2048 // bytes of eight tokens' q, which their scales follow

// The quads v\q0, v\q1 of a group's rows: its row pairs' 8 columns to v\a and v\b.
.macro zip_rows a, b, q0, q1
    zip1 v\a\().4s, v\q0\().4s, v\q1\().4s
    zip2 v\b\().4s, v\q0\().4s, v\q1\().4s
.endm

.macro start
    movi v15.16b, #0xfc
    address_of ZEROES
    add SCALES, ROW_SCALES, #SCALES_AT
    add WEIGHTS, ROW_SCALES, #WEIGHTS_AT
.endm

// ---- four tokens, 8 rows ----

// A group: two token pairs' activations v0, v1, of the next 8 columns v2, v3, times row pairs v\a, v\b; v\c, v\d of those.
.macro products_4 s0, s1, s2, s3, a, b, c, d
    smmla v\s0\().4s, v0.16b, v\a\().16b
    smmla v\s1\().4s, v0.16b, v\b\().16b
    smmla v\s2\().4s, v1.16b, v\a\().16b
    smmla v\s3\().4s, v1.16b, v\b\().16b
    smmla v\s0\().4s, v2.16b, v\c\().16b
    smmla v\s1\().4s, v2.16b, v\d\().16b
    smmla v\s2\().4s, v3.16b, v\c\().16b
    smmla v\s3\().4s, v3.16b, v\d\().16b
.endm

// A sub-block of 8 rows, as below.
.macro sub_block_4 add, last, now, next
    ld1 {v4.16b, v5.16b, v6.16b}, [WEIGHTS], #48
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [ACTS], #64
    ld1 {v7.16b, v8.16b, v9.16b}, [WEIGHTS], #48
    .if \last
    movi v\next\().2d, #0
    .else
    ldr d\next, [SCALES], #8
    .endif
    unpack_quad_0 10, 4, 5
    unpack_quad_0 11, 7, 8
    unpack_quad_1 4, 5, 6
    unpack_quad_1 7, 8, 9
    unpack_quads_2_3 4, 6
    unpack_quads_2_3 7, 9
    zip_rows 12, 10, 10, 5
    zip_rows 5, 6, 6, 4
    ssubl v4.8h, v\now\().8b, v\next\().8b
    products_4 24, 25, 26, 27, 12, 10, 5, 6
    zip_rows 12, 11, 11, 8
    zip_rows 8, 9, 9, 7
    zip1 v7.4s, v4.4s, v4.4s
    zip2 v5.4s, v4.4s, v4.4s
    products_4 28, 29, 30, 31, 12, 11, 8, 9
    sxtl v\now\().4s, v7.4h
    sxtl2 v7.4s, v7.8h
    sxtl v4.4s, v5.4h
    sxtl2 v5.4s, v5.8h
    \add v16.4s, v24.4s, v\now\().4s
    \add v17.4s, v25.4s, v7.4s
    \add v18.4s, v26.4s, v\now\().4s
    \add v19.4s, v27.4s, v7.4s
    \add v20.4s, v28.4s, v4.4s
    \add v21.4s, v29.4s, v5.4s
    \add v22.4s, v30.4s, v4.4s
    \add v23.4s, v31.4s, v5.4s
.endm

    vector_function q4_few4_q6_k_i8mm
    start
1:  zero_sums ZEROES
    ldr d13, [SCALES], #8
    sub_block_4 mul, 0, 13, 14
    .rept 7
    sub_block_4 mla, 0, 14, 13
    sub_block_4 mla, 0, 13, 14
    .endr
    sub_block_4 mla, 1, 14, 13
    ldr q4, [ROW_SCALES]
    ldp q0, q1, [ACTS], #32
    mov TO, SUMS
    zip_rows 5, 6, 4, 4
    fcvtl v7.4s, v5.4h
    fcvtl2 v8.4s, v5.8h
    fcvtl v9.4s, v6.4h
    fcvtl2 v10.4s, v6.8h
    totals_to_float
    fmul v24.4s, v7.4s, v0.4s
    fmul v25.4s, v8.4s, v0.4s
    fmul v26.4s, v7.4s, v1.4s
    fmul v27.4s, v8.4s, v1.4s
    fmul v28.4s, v9.4s, v0.4s
    fmul v29.4s, v10.4s, v0.4s
    fmul v30.4s, v9.4s, v1.4s
    fmul v31.4s, v10.4s, v1.4s
    add_totals TO
    add ROW_SCALES, ROW_SCALES, #BLOCK_BYTES
    add SCALES, SCALES, #(BLOCK_BYTES - 128)
    add WEIGHTS, WEIGHTS, #(BLOCK_BYTES - 16 * SUB_BYTES)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few4_q6_k_i8mm

// ---- eight tokens, 4 rows at a time ----

// Four token pairs' activations times row pairs v\a, v\b.
.macro products_8 x0, x1, x2, x3, a, b
    smmla v24.4s, v\x0\().16b, v\a\().16b
    smmla v25.4s, v\x0\().16b, v\b\().16b
    smmla v26.4s, v\x1\().16b, v\a\().16b
    smmla v27.4s, v\x1\().16b, v\b\().16b
    smmla v28.4s, v\x2\().16b, v\a\().16b
    smmla v29.4s, v\x2\().16b, v\b\().16b
    smmla v30.4s, v\x3\().16b, v\a\().16b
    smmla v31.4s, v\x3\().16b, v\b\().16b
.endm

// A sub-block of 4 rows, whose sub-scales are in v\now; the next one's are loaded to v\next. \add: mul in the first
// sub-block, mla in the others
.macro sub_block_8 add, last, now, next
    ld1 {v8.16b, v9.16b, v10.16b}, [WEIGHTS], STRIDE
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [ACTS], #64
    .if \last
    movi v\next\().2d, #0
    .else
    ldr s\next, [SCALES], #8
    .endif
    ld1 {v4.16b, v5.16b, v6.16b, v7.16b}, [ACTS], #64
    unpack_quad_0 11, 8, 9
    unpack_quad_1 8, 9, 10
    unpack_quads_2_3 8, 10
    zip_rows 12, 11, 11, 9
    zip_rows 9, 10, 10, 8
    ssubl v8.8h, v\now\().8b, v\next\().8b
    products_8 0, 1, 2, 3, 12, 11
    zip1 v8.4s, v8.4s, v8.4s
    products_8 4, 5, 6, 7, 9, 10
    sxtl v\now\().4s, v8.4h
    sxtl2 v8.4s, v8.8h
    \add v16.4s, v24.4s, v\now\().4s
    \add v17.4s, v25.4s, v8.4s
    \add v18.4s, v26.4s, v\now\().4s
    \add v19.4s, v27.4s, v8.4s
    \add v20.4s, v28.4s, v\now\().4s
    \add v21.4s, v29.4s, v8.4s
    \add v22.4s, v30.4s, v\now\().4s
    \add v23.4s, v31.4s, v8.4s
.endm

    vector_function q4_few8_q6_k_i8mm
    start
    mov STRIDE, #SUB_BYTES
1:  mov GROUPS, #2
    mov TO, SUMS
2:  zero_sums ZEROES
    ldr s13, [SCALES], #8
    sub_block_8 mul, 0, 13, 14
    .rept 7
    sub_block_8 mla, 0, 14, 13
    sub_block_8 mla, 0, 13, 14
    .endr
    sub_block_8 mla, 1, 14, 13
    ldr d12, [ROW_SCALES], #8
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [ACTS]
    zip1 v12.4s, v12.4s, v12.4s
    fcvtl v13.4s, v12.4h
    fcvtl2 v14.4s, v12.8h
    totals_to_float
    fmul v24.4s, v13.4s, v0.4s
    fmul v25.4s, v14.4s, v0.4s
    fmul v26.4s, v13.4s, v1.4s
    fmul v27.4s, v14.4s, v1.4s
    fmul v28.4s, v13.4s, v2.4s
    fmul v29.4s, v14.4s, v2.4s
    fmul v30.4s, v13.4s, v3.4s
    fmul v31.4s, v14.4s, v3.4s
    add_totals TO
    sub ACTS, ACTS, #SUPER_ACTS
    sub WEIGHTS, WEIGHTS, #(16 * SUB_BYTES - GROUP_BYTES)
    sub SCALES, SCALES, #(16 * 8 - 4)
    subs GROUPS, GROUPS, #1
    b.ne 2b
    add ACTS, ACTS, #(SUPER_ACTS + 64)
    add ROW_SCALES, ROW_SCALES, #(BLOCK_BYTES - 16)
    add WEIGHTS, WEIGHTS, #(BLOCK_BYTES - 2 * GROUP_BYTES)
    add SCALES, SCALES, #(BLOCK_BYTES - 8)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few8_q6_k_i8mm
