// Q4_0 weights in the layout lane16 times a few tokens by SMMLA: the inner loops of few_q4_0_i8mm.c.
//
//   void q4_few2_q4_0_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     16 rows x 2 tokens; sums: [4 groups of 4 rows][2 row pairs][t0 r0, t0 r1, t1 r0, t1 r1]
//   void q4_few4_q4_0_i8mm(…, size_t half)
//     the 8 rows of a half (0, 1) x 4 tokens; sums: [2 groups][2 token pairs][2 row pairs][4]
//
// panel: lane16.h. acts: `pairs8` from the first of the tokens on (acts_pack.h). n_blocks > 0.
//
// The layout's vectors are 4 rows x 4 columns; ZIP of two column quads gives 2 rows x 8 columns twice, while both
// nibbles are still in their bytes. Integer sums start as the bits of a float whose unit in the last place is 1/16, for
// weights are 16 w (tile8x8_i8mm.S).
#include "panel_few_q4_0.inc"

#define PANEL x0
#define ACTS x1
#define BLOCKS x2
#define SUMS x3
#define HALF x4
#define CONSTANTS x5
#define SCALES x6 // bytes from the half's weights to its scales

#define ACTS_BYTES 320 // acts_pack.h

// Two row pairs times v12 and v13, the activations of the low and of the high nibbles' columns. In-order cores depend on
// the order: short instructions together, and no SMMLA waits for the one before.
.macro pairs_times_2 w0, w1, sum0, sum1
    unpack \w0, 9
    unpack \w1, 3
    smmla v\sum0\().4s, v12.16b, v9.16b
    smmla v\sum1\().4s, v12.16b, v3.16b
    smmla v\sum0\().4s, v13.16b, v\w0\().16b
    smmla v\sum1\().4s, v13.16b, v\w1\().16b
.endm

// Four row pairs times the activations v\x and v\y of two token pairs.
.macro products x, y, w0, w1, w2, w3
    smmla v24.4s, v\x\().16b, v\w0\().16b
    smmla v26.4s, v\y\().16b, v\w0\().16b
    smmla v25.4s, v\x\().16b, v\w1\().16b
    smmla v27.4s, v\y\().16b, v\w1\().16b
    smmla v28.4s, v\x\().16b, v\w2\().16b
    smmla v30.4s, v\y\().16b, v\w2\().16b
    smmla v29.4s, v\x\().16b, v\w3\().16b
    smmla v31.4s, v\y\().16b, v\w3\().16b
.endm

.macro zip_rows a, b, q0, q1
    zip1 v\a\().4s, v\q0\().4s, v\q1\().4s
    zip2 v\b\().4s, v\q0\().4s, v\q1\().4s
.endm

// Two column quads of all 16 rows.
.macro quads_times_2 chunk
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [PANEL], #64
    ld1 {v4.16b, v5.16b, v6.16b, v7.16b}, [PANEL], #64
    ldr q12, [ACTS, #\chunk * 64]
    ldr q13, [ACTS, #\chunk * 64 + 128]
    zip_rows 8, 4, 0, 4
    zip_rows 0, 5, 1, 5
    zip_rows 1, 6, 2, 6
    zip_rows 2, 7, 3, 7
    pairs_times_2 8, 4, 24, 25
    pairs_times_2 0, 5, 26, 27
    pairs_times_2 1, 6, 28, 29
    pairs_times_2 2, 7, 30, 31
.endm

// Two column quads of 8 rows.
.macro quads_times_4 chunk
    ldp q0, q1, [PANEL, #\chunk * 128]
    ldp q2, q3, [PANEL, #\chunk * 128 + 64]
    ldp q4, q5, [ACTS, #\chunk * 64]
    ldp q6, q7, [ACTS, #\chunk * 64 + 128]
    zip_rows 8, 9, 0, 2
    zip_rows 10, 11, 1, 3
    unpack 8, 12
    unpack 9, 13
    unpack 10, 0
    unpack 11, 1
    products 4, 5, 12, 13, 0, 1
    products 6, 7, 8, 9, 10, 11
.endm

.macro start_sums
    start
    adrp CONSTANTS, magic
    add CONSTANTS, CONSTANTS, :lo12:magic
    ldr q14, [CONSTANTS]
.endm

.macro load_sums
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [CONSTANTS]
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [CONSTANTS]
.endm

.macro sums_to_float
    .irp r, v24.4s, v25.4s, v26.4s, v27.4s, v28.4s, v29.4s, v30.4s, v31.4s
    fsub \r, \r, v14.4s
    .endr
.endm

.macro add_products f0, f1, f2, f3, f4, f5, f6, f7
    fmla v16.4s, v24.4s, v\f0\().4s
    fmla v17.4s, v25.4s, v\f1\().4s
    fmla v18.4s, v26.4s, v\f2\().4s
    fmla v19.4s, v27.4s, v\f3\().4s
    fmla v20.4s, v28.4s, v\f4\().4s
    fmla v21.4s, v29.4s, v\f5\().4s
    fmla v22.4s, v30.4s, v\f6\().4s
    fmla v23.4s, v31.4s, v\f7\().4s
.endm

// fp16 scales of 8 rows in v\d to fp32 [r0, r1, r0, r1] of each row pair; v\d and v\t are lost.
.macro row_scales d, t, f0, f1, f2, f3
    zip2 v\t\().4s, v\d\().4s, v\d\().4s
    zip1 v\d\().4s, v\d\().4s, v\d\().4s
    fcvtl v\f0\().4s, v\d\().4h
    fcvtl2 v\f1\().4s, v\d\().8h
    fcvtl v\f2\().4s, v\t\().4h
    fcvtl2 v\f3\().4s, v\t\().8h
.endm

    vector_function q4_few2_q4_0_i8mm
    start_sums
1:  ldp q10, q11, [PANEL], #32
    load_sums
    quads_times_2 0
    quads_times_2 1
    ldr q12, [ACTS, #256]
    row_scales 10, 8, 0, 1, 2, 3
    row_scales 11, 9, 4, 5, 6, 7
    .irp r, v0.4s, v1.4s, v2.4s, v3.4s, v4.4s, v5.4s, v6.4s, v7.4s
    fmul \r, \r, v12.4s
    .endr
    sums_to_float
    add ACTS, ACTS, #ACTS_BYTES
    subs BLOCKS, BLOCKS, #1
    add_products 0, 1, 2, 3, 4, 5, 6, 7
    b.ne 1b
    store_sums SUMS
    end_vector_function q4_few2_q4_0_i8mm

    vector_function q4_few4_q4_0_i8mm
    start_sums
    half_of PANEL, HALF, SCALES
1:  load_sums
    quads_times_4 0
    quads_times_4 1
    ldr q8, [PANEL, SCALES]
    ldp q6, q7, [ACTS, #256]
    row_scales 8, 9, 0, 1, 2, 3
    fmul v10.4s, v0.4s, v6.4s
    fmul v11.4s, v1.4s, v6.4s
    fmul v12.4s, v0.4s, v7.4s
    fmul v13.4s, v1.4s, v7.4s
    fmul v4.4s, v2.4s, v6.4s
    fmul v5.4s, v3.4s, v6.4s
    fmul v0.4s, v2.4s, v7.4s
    fmul v1.4s, v3.4s, v7.4s
    sums_to_float
    add PANEL, PANEL, #BLOCK_BYTES
    add ACTS, ACTS, #ACTS_BYTES
    subs BLOCKS, BLOCKS, #1
    add_products 10, 11, 12, 13, 4, 5, 0, 1
    b.ne 1b
    store_sums SUMS
    end_vector_function q4_few4_q4_0_i8mm

    .section .rodata
    .p2align 6
magic:
    .rept 16
    .word 0x49400000 // 1.5 * 2^19
    .endr
