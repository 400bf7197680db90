// Q4_0 weights in the layout lane16 times a few tokens by SDOT: the inner loops of few_q4_0_dotprod.c.
//
//   void q4_few2_q4_0_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     16 rows x 2 tokens; sums: [4 groups of 4 rows][2 tokens][4 rows]
//   void q4_few3_q4_0_dotprod(…, size_t half), q4_few4_q4_0_dotprod(…, size_t half)
//     the 8 rows of a half (0, 1) x 3 or 4 tokens; sums: [2 groups][3 or 4 tokens][4 rows]
//   void q4_few8_q4_0_dotprod(…, size_t group, const uint8_t *next_acts)
//     the 4 rows of a group (0 to 3) x 8 tokens, four of them in next_acts; sums: [8 tokens][4 rows]
//
// panel: lane16.h. acts: `quad4` (acts_pack.h). n_blocks > 0.
//
// Each vector of weights meets all tokens once it is unpacked. Weights are 16 w, which SCVTF divides out. In-order cores
// depend on the order: short instructions together, and no SDOT waits for the one before.
#define TYPE Q4_0
#include "panel_few_lane16.inc"
#include "panel_few_nibbles_dotprod.inc"

#define BLOCKS x2
#define SUMS x3
#define HALF x4
#define SCALES x5 // bytes from the half's weights to its scales

#define ACTS_BYTES 160 // acts_pack.h

.macro clear_sums
    .irp r, v24.2d, v25.2d, v26.2d, v27.2d, v28.2d, v29.2d, v30.2d, v31.2d
    movi \r, #0
    .endr
.endm

.macro sums_to_float
    .irp r, v24.4s, v25.4s, v26.4s, v27.4s, v28.4s, v29.4s, v30.4s, v31.4s
    scvtf \r, \r, #4
    .endr
.endm

// ---- two tokens, 16 rows ----

    vector_function q4_few2_q4_0_dotprod
    start
    add PANEL, PANEL, #32
1:  ldp q0, q1, [ACTS]
    ldp q2, q3, [ACTS, #64]
    clear_sums
    quad_times_2 0
    quad_times_2 1
    quad_times_2 2
    quad_times_2 3
    ldp q12, q13, [PANEL, #-32]
    ldr d14, [ACTS, #128]
    fcvtl v4.4s, v12.4h
    fcvtl2 v5.4s, v12.8h
    fcvtl v6.4s, v13.4h
    fcvtl2 v7.4s, v13.8h
    sums_to_float
    fmul v8.4s, v4.4s, v14.s[0]
    fmul v9.4s, v4.4s, v14.s[1]
    fmul v10.4s, v5.4s, v14.s[0]
    fmul v11.4s, v5.4s, v14.s[1]
    fmul v0.4s, v6.4s, v14.s[0]
    fmul v1.4s, v6.4s, v14.s[1]
    fmul v2.4s, v7.4s, v14.s[0]
    fmul v3.4s, v7.4s, v14.s[1]
    add PANEL, PANEL, #BLOCK_BYTES
    add ACTS, ACTS, #ACTS_BYTES
    subs BLOCKS, BLOCKS, #1
    fmla v16.4s, v24.4s, v8.4s
    fmla v17.4s, v25.4s, v9.4s
    fmla v18.4s, v26.4s, v10.4s
    fmla v19.4s, v27.4s, v11.4s
    fmla v20.4s, v28.4s, v0.4s
    fmla v21.4s, v29.4s, v1.4s
    fmla v22.4s, v30.4s, v2.4s
    fmla v23.4s, v31.4s, v3.4s
    b.ne 1b
    store_sums SUMS
    end_vector_function q4_few2_q4_0_dotprod

// ---- three or four tokens, 8 rows ----

.macro scale sum, acc, scales, token, product
    scvtf v\sum\().4s, v\sum\().4s, #4
    fmul v\product\().4s, v\scales\().4s, v14.s[\token]
    fmla v\acc\().4s, v\sum\().4s, v\product\().4s
.endm

.macro few_function name, tokens
    vector_function \name
    start
    half_of PANEL, HALF, SCALES
1:  ldp q4, q5, [PANEL]
    ldp q0, q1, [ACTS]
    .if \tokens == 4
    ldp q2, q3, [ACTS, #32]
    .else
    ldr q2, [ACTS, #32]
    .endif
    ldp q8, q9, [ACTS, #64]
    .if \tokens == 4
    ldp q10, q11, [ACTS, #96]
    .else
    ldr q10, [ACTS, #96]
    .endif
    .irp r, v24.2d, v25.2d, v26.2d, v28.2d, v29.2d, v30.2d
    movi \r, #0
    .endr
    .if \tokens == 4
    movi v27.2d, #0
    movi v31.2d, #0
    .endif
    ldp q12, q13, [PANEL, #64]
    quad_times_4 \tokens, 0, 4, 5
    ldp q4, q5, [PANEL, #128]
    quad_times_4 \tokens, 1, 12, 13
    ldp q12, q13, [PANEL, #192]
    quad_times_4 \tokens, 2, 4, 5
    ldr q4, [PANEL, SCALES]
    ldr q14, [ACTS, #128]
    quad_times_4 \tokens, 3, 12, 13
    fcvtl2 v5.4s, v4.8h
    fcvtl v4.4s, v4.4h
    scale 24, 16, 4, 0, 0
    scale 25, 17, 4, 1, 1
    scale 26, 18, 4, 2, 2
    .if \tokens == 4
    scale 27, 19, 4, 3, 3
    .endif
    scale 28, 20, 5, 0, 8
    scale 29, 21, 5, 1, 9
    scale 30, 22, 5, 2, 10
    .if \tokens == 4
    scale 31, 23, 5, 3, 11
    .endif
    add PANEL, PANEL, #BLOCK_BYTES
    add ACTS, ACTS, #ACTS_BYTES
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    .if \tokens == 4
    store_sums SUMS
    .else
    stp q16, q17, [SUMS]
    stp q18, q20, [SUMS, #32]
    stp q21, q22, [SUMS, #64]
    .endif
    end_vector_function \name
.endm

    few_function q4_few3_q4_0_dotprod, 3
    few_function q4_few4_q4_0_dotprod, 4

// ---- eight tokens, 4 rows ----

#define GROUP x4
#define ZEROES x7

.macro load_sums
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [ZEROES]
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [ZEROES]
.endm

    vector_function q4_few8_q4_0_dotprod
    start
    mov NEXT_ACTS, x5
    adrp ZEROES, zeroes
    add ZEROES, ZEROES, :lo12:zeroes
    add PANEL, PANEL, #32
    add PANEL, PANEL, GROUP, lsl #4
    mov SCALES, #-32
    sub SCALES, SCALES, GROUP, lsl #3
1:  columns_times_8 0
    ldr d14, [PANEL, SCALES]
    ldr q12, [ACTS], #32 // over the sums
    ldr q13, [NEXT_ACTS], #32
    upper_columns_times_8
    fcvtl v14.4s, v14.4h
    sums_to_float
    fmul v0.4s, v14.4s, v12.s[0]
    fmul v1.4s, v14.4s, v12.s[1]
    fmul v2.4s, v14.4s, v12.s[2]
    fmul v3.4s, v14.4s, v12.s[3]
    fmul v4.4s, v14.4s, v13.s[0]
    fmul v5.4s, v14.4s, v13.s[1]
    fmul v6.4s, v14.4s, v13.s[2]
    fmul v7.4s, v14.4s, v13.s[3]
    add PANEL, PANEL, #BLOCK_BYTES
    subs BLOCKS, BLOCKS, #1
    fmla v16.4s, v24.4s, v0.4s
    fmla v17.4s, v25.4s, v1.4s
    fmla v18.4s, v26.4s, v2.4s
    fmla v19.4s, v27.4s, v3.4s
    fmla v20.4s, v28.4s, v4.4s
    fmla v21.4s, v29.4s, v5.4s
    fmla v22.4s, v30.4s, v6.4s
    fmla v23.4s, v31.4s, v7.4s
    b.ne 1b
    store_sums SUMS
    end_vector_function q4_few8_q4_0_dotprod

    .section .rodata
    .p2align 6
zeroes:
    .zero 64
