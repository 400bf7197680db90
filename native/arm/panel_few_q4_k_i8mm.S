// Q4_K weights in the layout k16 times a few tokens by SMMLA: the inner loops of few_q4_k_i8mm.c.
//
//   void q4_few2_q4_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums)
//     16 rows x 2 tokens; sums: [4 groups of 4 rows][2 row pairs][t0 r0, t0 r1, t1 r0, t1 r1]
//   void q4_few4_q4_k_i8mm(…, size_t half)
//     the 8 rows of a half (0, 1) x 4 tokens; sums: [2 groups][2 token pairs][2 row pairs][4]
//   void q4_few8_q4_k_i8mm(…)
//     16 rows x 8 tokens; sums: [4 groups][4 token pairs][2 row pairs][4]
//
// panel: k16.h. acts: few_pairs.h, with sums. sums are added to. n_blocks > 0.
//
// With eight tokens the registers hold one group's sums, so groups take turns in a super-block. TBL makes int32 of a
// sub-block's scales, in the form of the sums that they meet.
#include "panel_few_nibbles_i8mm.inc"
#include "panel_few_q4_k.inc"

#define BLOCKS x2
#define SUMS x3
#define HALF x4
#define SCALES x6
#define STRIDE_LAST x8
#define HEADER x9
#define AT x10

// fp16 of 4 rows in v\d to fp32 [r0, r1, r0, r1] and [r2, r3, r2, r3]
.macro row_pairs d, f0, f1
    zip1 v\f1\().4s, v\d\().4s, v\d\().4s
    fcvtl v\f0\().4s, v\f1\().4h
    fcvtl2 v\f1\().4s, v\f1\().8h
.endm

.macro row_pairs_of_8 d, f0, f1, f2, f3
    zip2 v\f3\().4s, v\d\().4s, v\d\().4s
    row_pairs \d, \f0, \f1
    fcvtl v\f2\().4s, v\f3\().4h
    fcvtl2 v\f3\().4s, v\f3\().8h
.endm

// ---- two tokens, 16 rows ----

// \multiply: mul in the first sub-block, mla in the others
.macro sub_block_2 multiply
    ldr q14, [PANEL, #-16]
    ld1 {v10.16b, v11.16b, v12.16b, v13.16b}, [ACTS], #64
    load_sums
    quads_times_2 10, 11, #64
    quads_times_2 12, 13, STRIDE_LAST
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [CONSTANTS]
    ld1 {v4.16b, v5.16b, v6.16b, v7.16b}, [AT]
    .irp r, v0.16b, v1.16b, v2.16b, v3.16b, v4.16b, v5.16b, v6.16b, v7.16b
    tbl \r, {v14.16b}, \r
    .endr
    \multiply v16.4s, v24.4s, v0.4s
    \multiply v17.4s, v25.4s, v1.4s
    \multiply v18.4s, v26.4s, v2.4s
    \multiply v19.4s, v27.4s, v3.4s
    \multiply v20.4s, v28.4s, v4.4s
    \multiply v21.4s, v29.4s, v5.4s
    \multiply v22.4s, v30.4s, v6.4s
    \multiply v23.4s, v31.4s, v7.4s
.endm

// Of 16 rows fp16 at \at of the header, times the tokens' scales v\x, to v24-v31
.macro factors_2 at, x
    ldp q29, q30, [HEADER, #\at]
    row_pairs_of_8 29, 24, 25, 26, 27
    row_pairs_of_8 30, 28, 29, 30, 31
    .irp r, v24.4s, v25.4s, v26.4s, v27.4s, v28.4s, v29.4s, v30.4s, v31.4s
    fmul \r, \r, v\x\().4s
    .endr
.endm

// Sums of the tokens in v\x times minima v24-v31 in pairs of rows
.macro minima_products_2 x
    smmla v16.4s, v\x\().16b, v24.16b
    smmla v17.4s, v\x\().16b, v25.16b
    smmla v18.4s, v\x\().16b, v26.16b
    smmla v19.4s, v\x\().16b, v27.16b
    smmla v20.4s, v\x\().16b, v28.16b
    smmla v21.4s, v\x\().16b, v29.16b
    smmla v22.4s, v\x\().16b, v30.16b
    smmla v23.4s, v\x\().16b, v31.16b
.endm

    vector_function q4_few2_q4_k_i8mm
    start
    mov HEADER, PANEL
    mov STRIDE_LAST, #(64 + 16) // over the next sub-block's scales
    add AT, CONSTANTS, #64
1:  add PANEL, HEADER, #(SUBS_AT + 16)
    sub_block_2 mul
    .rept 7
    sub_block_2 mla
    .endr
    ld1 {v8.16b, v9.16b, v10.16b}, [ACTS] // scales, upper and lower parts of the sums
    totals_to_float
    factors_2 0, 8
    load_accumulators SUMS
    accumulate fmla
    start_minima
    ldp q11, q12, [HEADER, #MINIMA_AT]
    ldp q13, q14, [HEADER, #(MINIMA_AT + 32)]
    zip_rows 24, 25, 11, 12
    zip_rows 26, 27, 13, 14
    ldp q11, q12, [HEADER, #(MINIMA_AT + 64)]
    ldp q13, q14, [HEADER, #(MINIMA_AT + 96)]
    zip_rows 28, 29, 11, 12
    zip_rows 30, 31, 13, 14
    minima_products_2 9
    upper_minima_done
    minima_products_2 10
    ldr q14, [ZEROES, #64]
    factors_2 DMIN_AT, 8
    minima_to_float 14
    accumulate fmls
    store_accumulators SUMS
    add ACTS, ACTS, #48
    add HEADER, HEADER, #BLOCK_BYTES
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few2_q4_k_i8mm

// ---- four tokens, 8 rows ----

.macro sub_block_4 multiply
    load_sums
    quads_times_4 0
    quads_times_4 1
    ldr d8, [SCALES]
    ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [CONSTANTS]
    add PANEL, PANEL, #SUB_BYTES
    add SCALES, SCALES, #SUB_BYTES
    .irp r, v0.16b, v1.16b, v2.16b, v3.16b
    tbl \r, {v8.16b}, \r
    .endr
    \multiply v16.4s, v24.4s, v0.4s
    \multiply v17.4s, v25.4s, v1.4s
    \multiply v18.4s, v26.4s, v0.4s
    \multiply v19.4s, v27.4s, v1.4s
    \multiply v20.4s, v28.4s, v2.4s
    \multiply v21.4s, v29.4s, v3.4s
    \multiply v22.4s, v30.4s, v2.4s
    \multiply v23.4s, v31.4s, v3.4s
.endm

// Of 8 rows fp16 at \at of the header, times the scales of two token pairs v8, v9, to v24-v31
.macro factors_4 at
    ldr q28, [HEADER, #\at]
    row_pairs_of_8 28, 24, 25, 29, 31
    fmul v26.4s, v24.4s, v9.4s
    fmul v27.4s, v25.4s, v9.4s
    fmul v24.4s, v24.4s, v8.4s
    fmul v25.4s, v25.4s, v8.4s
    fmul v28.4s, v29.4s, v8.4s
    fmul v30.4s, v29.4s, v9.4s
    fmul v29.4s, v31.4s, v8.4s
    fmul v31.4s, v31.4s, v9.4s
.endm

    vector_function q4_few4_q4_k_i8mm
    start
    add HEADER, PANEL, HALF, lsl #4
    add AT, PANEL, #MINIMA_AT
    add AT, AT, HALF, lsl #6
    add SCALES, PANEL, #SUBS_AT
    add SCALES, SCALES, HALF, lsl #3
    add PANEL, PANEL, #(SUBS_AT + 16)
    add PANEL, PANEL, HALF, lsl #5
1:  sub_block_4 mul
    .rept 7
    sub_block_4 mla
    .endr
    ld1 {v8.16b, v9.16b, v10.16b, v11.16b}, [ACTS], #64 // scales, upper parts of the sums
    ldp q12, q13, [ACTS], #32                           // lower parts
    totals_to_float
    factors_4 0
    load_accumulators SUMS
    accumulate fmla
    start_minima
    ldp q28, q29, [AT]
    ldp q30, q31, [AT, #32]
    zip_rows 24, 25, 28, 29
    zip_rows 26, 27, 30, 31
    products_4 16, 17, 18, 19, 10, 11, 24, 25
    products_4 20, 21, 22, 23, 10, 11, 26, 27
    upper_minima_done
    products_4 16, 17, 18, 19, 12, 13, 24, 25
    products_4 20, 21, 22, 23, 12, 13, 26, 27
    ldr q14, [ZEROES, #64]
    factors_4 DMIN_AT
    minima_to_float 14
    accumulate fmls
    store_accumulators SUMS
    add HEADER, HEADER, #BLOCK_BYTES
    add AT, AT, #BLOCK_BYTES
    add SCALES, SCALES, #SUBS_AT
    add PANEL, PANEL, #SUBS_AT
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few4_q4_k_i8mm

// ---- eight tokens, 4 rows at a time ----

#define GROUPS w4
#define LAST_SCALES x8 // of the last two rows
#define TO x11
#define SUPER_ACTS 2048 // bytes of eight tokens' q, which their scales and sums follow

.macro sub_block_8 s, multiply
    columns_times_8 (SUB_BYTES * \s)
    ldr s12, [SCALES, #(SUB_BYTES * \s)]
    ldr s13, [LAST_SCALES, #(SUB_BYTES * \s)]
    products_8 4, 5, 6, 7, 9, 10
    tbl v12.16b, {v12.16b}, v14.16b
    tbl v13.16b, {v13.16b}, v14.16b
    \multiply v16.4s, v24.4s, v12.4s
    \multiply v17.4s, v25.4s, v13.4s
    \multiply v18.4s, v26.4s, v12.4s
    \multiply v19.4s, v27.4s, v13.4s
    \multiply v20.4s, v28.4s, v12.4s
    \multiply v21.4s, v29.4s, v13.4s
    \multiply v22.4s, v30.4s, v12.4s
    \multiply v23.4s, v31.4s, v13.4s
.endm

// Of 4 rows fp16 at \at of the header, times the scales of four token pairs v8-v11, to v24-v31
.macro factors_8 at
    ldr d12, [HEADER, #\at]
    row_pairs 12, 13, 12
    fmul v24.4s, v13.4s, v8.4s
    fmul v25.4s, v12.4s, v8.4s
    fmul v26.4s, v13.4s, v9.4s
    fmul v27.4s, v12.4s, v9.4s
    fmul v28.4s, v13.4s, v10.4s
    fmul v29.4s, v12.4s, v10.4s
    fmul v30.4s, v13.4s, v11.4s
    fmul v31.4s, v12.4s, v11.4s
.endm

// A part of the tokens' sums times minima v12, v13
.macro minima_products_8
    ld1 {v24.16b, v25.16b, v26.16b, v27.16b}, [ACTS], #64
    products_4 16, 17, 18, 19, 24, 25, 12, 13
    products_4 20, 21, 22, 23, 26, 27, 12, 13
.endm

    vector_function q4_few8_q4_k_i8mm
    start
    ldr q14, [CONSTANTS]
    mov HEADER, PANEL
    add SCALES, PANEL, #SUBS_AT
    add AT, PANEL, #MINIMA_AT
    add PANEL, PANEL, #(SUBS_AT + 16)
1:  mov GROUPS, #4
    mov TO, SUMS
2:  add LAST_SCALES, SCALES, #2
    sub_block_8 0, mul
    .irp s, 1, 2, 3, 4, 5, 6, 7
    sub_block_8 \s, mla
    .endr
    ld1 {v8.4s, v9.4s, v10.4s, v11.4s}, [ACTS], #64
    totals_to_float
    factors_8 0
    load_accumulators TO
    accumulate fmla
    start_minima
    ldp q28, q29, [AT], #32
    zip_rows 12, 13, 28, 29
    minima_products_8
    upper_minima_done
    minima_products_8
    ldr q24, [ZEROES, #64]
    minima_to_float 24
    factors_8 DMIN_AT
    accumulate fmls
    store_accumulators TO
    add TO, TO, #128
    sub ACTS, ACTS, #(SUPER_ACTS + 3 * 64)
    add HEADER, HEADER, #8
    add SCALES, SCALES, #4
    add PANEL, PANEL, #16
    subs GROUPS, GROUPS, #1
    b.ne 2b
    add ACTS, ACTS, #(SUPER_ACTS + 3 * 64)
    add HEADER, HEADER, #(BLOCK_BYTES - 32)
    add SCALES, SCALES, #(BLOCK_BYTES - 16)
    add AT, AT, #(BLOCK_BYTES - 128)
    add PANEL, PANEL, #(BLOCK_BYTES - 64)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
    end_vector_function q4_few8_q4_k_i8mm

    .section .rodata
    .p2align 6
constants: // byte 2 p and 2 p + 1 of row pair p, twice, as int32
    .irp row, 0, 2, 4, 6, 8, 10, 12, 14
    .rept 2
    .byte \row, 0xff, 0xff, 0xff, \row + 1, 0xff, 0xff, 0xff
    .endr
    .endr
    .rept 16
    .word 0x4b400000 >> 6
    .endr
    .zero 64
    .rept 4
    .word 0x4b400000
    .endr
