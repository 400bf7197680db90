// 8 rows x 4 tokens of types with super-blocks over all columns: the inner loop of their dotprod GEMM kernels.
//
//   void q4_tile8x4_k16_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride)
//   void q4_tile8x4_k16_32w_dotprod(…)  its weights are 32 w instead of 4 w
//   void q4_tile8x4_k16_min_dotprod(…)  w, with minima
//   void q4_tile8x4_k32_dotprod(…)      w, for sub-blocks of 32 columns instead of 16
//   void q4_tile8x4_k32_min_dotprod(…)  … with minima
//
// panel: per super-block of 256 columns fp32 d[8]; with minima fp32 dmin[8] and int8 minima [2 groups of 4 rows][fours of
//        sub-blocks][4 rows x 4 sub-blocks]; then for each sub-block int8 w [column quads][2 groups][4 rows x 4
//        columns], int32 steps[8].
// acts:  `quad4_k`, for minima of 16 columns `quad4_k_16` (acts_pack.h).
// y:     4 tokens of 8 floats, stride bytes apart. n_blocks > 0.
//
// Steps and running sums as in tile4x8_k_i8mm.S. Registers: v0-v7 running sums (tokens 0-3 of the first group, then of the
// second), v16-v23 those of the super-block, v24-v31 the fp32 accumulators, v8-v11 activations, v12-v15 weights. Eight
// sums in turn, and each load eight products before its use: in-order cores wait for nothing then.
#include "asm.inc"

#define PANEL x0
#define ACTS x1
#define BLOCKS x2
#define Y x3
#define STRIDE x4
#define CONSTANTS x5
#define HEADER x6

// SUMS: bytes of the activations' sums behind them, set for each tile below
#define Q_BYTES 1024

// Weights \a of the first and \b of the second group times lane \lane of the activations
.macro products a, b, lane
    sdot v0.4s, v\a\().16b, v8.4b[\lane]
    sdot v1.4s, v\a\().16b, v9.4b[\lane]
    sdot v2.4s, v\a\().16b, v10.4b[\lane]
    sdot v3.4s, v\a\().16b, v11.4b[\lane]
    sdot v4.4s, v\b\().16b, v8.4b[\lane]
    sdot v5.4s, v\b\().16b, v9.4b[\lane]
    sdot v6.4s, v\b\().16b, v10.4b[\lane]
    sdot v7.4s, v\b\().16b, v11.4b[\lane]
.endm

// Those of the last lane; then the activations of the 16 columns \next take the place of these
.macro last_products a, b, next
    sdot v0.4s, v\a\().16b, v8.4b[3]
    sdot v1.4s, v\a\().16b, v9.4b[3]
    sdot v2.4s, v\a\().16b, v10.4b[3]
    sdot v3.4s, v\a\().16b, v11.4b[3]
    sdot v4.4s, v\b\().16b, v8.4b[3]
    load_acts 8, \next, 0
    sdot v5.4s, v\b\().16b, v9.4b[3]
    load_acts 9, \next, 16
    sdot v6.4s, v\b\().16b, v10.4b[3]
    load_acts 10, \next, 32
    sdot v7.4s, v\b\().16b, v11.4b[3]
    load_acts 11, \next, 48
.endm

.macro load_acts r, columns, at
    .if (\columns) < 16
    ldr q\r, [ACTS, #(64 * (\columns) + \at)]
    .endif
.endm

.macro load_two r0, r1, at
    ldp q\r0, q\r1, [PANEL, #(\at)]
.endm

// 16 columns that end no sub-block. Their first two quads' weights are in \a, \b and \c, \d, as the next ones' will be.
.macro columns i, a, b, c, d
    products \a, \b, 0
    load_two \a, \b, 64
    products \c, \d, 1
    load_two \c, \d, 96
    products \a, \b, 2
    load_two \a, \b, 128
    last_products \c, \d, (\i + 1)
    load_two \c, \d, 160
    add PANEL, PANEL, #128
.endm

// 16 columns that end one; the next ones' first weights will be in \c, \d.
.macro last_columns i, a, b, c, d
    products \a, \b, 0
    load_two \a, \b, 64
    products \c, \d, 1
    load_two \c, \d, 96
    products \a, \b, 2
    load_two \a, \b, 128
    last_products \c, \d, (\i + 1)
    .if (\i) < 15
    load_two \c, \d, 160
    .endif
    mla v16.4s, v0.4s, v\a\().4s
    mla v17.4s, v1.4s, v\a\().4s
    mla v18.4s, v2.4s, v\a\().4s
    mla v19.4s, v3.4s, v\a\().4s
    mla v20.4s, v4.4s, v\b\().4s
    mla v21.4s, v5.4s, v\b\().4s
    mla v22.4s, v6.4s, v\b\().4s
    mla v23.4s, v7.4s, v\b\().4s
    .if (\i) < 15
    load_two \a, \b, 192
    .endif
    add PANEL, PANEL, #160
.endm

.macro four_columns sub, i
    .if \sub == 16
    last_columns \i, 12, 13, 14, 15
    last_columns (\i + 1), 14, 15, 12, 13
    last_columns (\i + 2), 12, 13, 14, 15
    last_columns (\i + 3), 14, 15, 12, 13
    .else
    columns \i, 12, 13, 14, 15
    last_columns (\i + 1), 12, 13, 14, 15
    columns (\i + 2), 14, 15, 12, 13
    last_columns (\i + 3), 14, 15, 12, 13
    .endif
.endm

.macro sum_to_float r, factor_bits
    .if \factor_bits
    scvtf v\r\().4s, v\r\().4s, #\factor_bits
    .else
    scvtf v\r\().4s, v\r\().4s
    .endif
.endm

// Two scales of 8 rows (at \at of the header) times those of the tokens (v10), to \r0-\r7
.macro scales at, r0, r1, r2, r3, r4, r5, r6, r7
    ldp q8, q9, [HEADER, #\at]
    fmul v\r0\().4s, v8.4s, v10.s[0]
    fmul v\r1\().4s, v8.4s, v10.s[1]
    fmul v\r2\().4s, v8.4s, v10.s[2]
    fmul v\r3\().4s, v8.4s, v10.s[3]
    fmul v\r4\().4s, v9.4s, v10.s[0]
    fmul v\r5\().4s, v9.4s, v10.s[1]
    fmul v\r6\().4s, v9.4s, v10.s[2]
    fmul v\r7\().4s, v9.4s, v10.s[3]
.endm

.macro accumulate operation
    \operation v24.4s, v16.4s, v0.4s
    \operation v25.4s, v17.4s, v1.4s
    \operation v26.4s, v18.4s, v2.4s
    \operation v27.4s, v19.4s, v3.4s
    \operation v28.4s, v20.4s, v4.4s
    \operation v29.4s, v21.4s, v5.4s
    \operation v30.4s, v22.4s, v6.4s
    \operation v31.4s, v23.4s, v7.4s
.endm

.macro times_64 r
    shl v\r\().4s, v\r\().4s, #6
.endm

.macro subtract_magic r
    fsub v\r\().4s, v\r\().4s, v11.4s
.endm

// One part (\part 0: high) of the tokens' sums times the minima
.macro minima_part part
    .if SUMS == 128
    ldr q8, [ACTS, #(16 * \part)]
    ldr q9, [ACTS, #(16 * \part + 32)]
    ldr q10, [ACTS, #(16 * \part + 64)]
    ldr q11, [ACTS, #(16 * \part + 96)]
    ldp q12, q13, [HEADER, #64]
    ldp q14, q15, [HEADER, #128]
    products 12, 14, 0
    products 13, 15, 1
    ldp q12, q13, [HEADER, #96]
    ldp q14, q15, [HEADER, #160]
    products 12, 14, 2
    products 13, 15, 3
    .else
    products 12, 14, (2 * \part)
    products 13, 15, (2 * \part + 1)
    .endif
.endm

// acc -= float(sum of minima) * (dmin * dx), as in tile4x8_k_i8mm.S. ACTS is behind the activations.
.macro subtract_minima
    add x8, CONSTANTS, #64
    .if SUMS == 64
    ldp q8, q9, [ACTS]
    ldp q10, q11, [ACTS, #32]
    ldp q12, q13, [HEADER, #64]
    ldp q14, q15, [HEADER, #96]
    .endif
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [x8]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [x8]
    minima_part 0
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    times_64 \r
    .endr
    minima_part 1
    ldr q10, [ACTS, #SUMS]
    ldr q11, [CONSTANTS, #128]
    scales 32, 16, 17, 18, 19, 20, 21, 22, 23
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    subtract_magic \r
    .endr
    accumulate fmls
.endm

.macro store_token a, b
    stp q\a, q\b, [Y]
    add Y, Y, STRIDE
.endm

.macro tile name, sub, factor_bits, min, header
    vector_function \name
    adrp CONSTANTS, constants
    add CONSTANTS, CONSTANTS, :lo12:constants
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [CONSTANTS]
    ld1 {v28.4s, v29.4s, v30.4s, v31.4s}, [CONSTANTS]

1:  mov HEADER, PANEL
    add PANEL, PANEL, #\header
    load_two 12, 13, 0
    load_two 14, 15, 32
    ldp q8, q9, [ACTS]
    ldp q10, q11, [ACTS, #32]
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [CONSTANTS]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [CONSTANTS]
    ld1 {v16.4s, v17.4s, v18.4s, v19.4s}, [CONSTANTS]
    ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [CONSTANTS]
    .irp i, 0, 4, 8, 12
    four_columns \sub, \i
    .endr
    add ACTS, ACTS, #Q_BYTES
    ldr q10, [ACTS, #SUMS]
    scales 0, 0, 1, 2, 3, 4, 5, 6, 7
    .irp r, 16, 17, 18, 19, 20, 21, 22, 23
    sum_to_float \r, \factor_bits
    .endr
    accumulate fmla
    .if \min
    subtract_minima
    .endif
    add ACTS, ACTS, #(SUMS + 64)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b

    store_token 24, 28
    store_token 25, 29
    store_token 26, 30
    store_token 27, 31
    end_vector_function \name
.endm

    .set SUMS, 64
    tile q4_tile8x4_k16_dotprod, 16, 2, 0, 32
    tile q4_tile8x4_k16_32w_dotprod, 16, 5, 0, 32
    tile q4_tile8x4_k32_dotprod, 32, 0, 0, 32
    tile q4_tile8x4_k32_min_dotprod, 32, 0, 1, 128
    .set SUMS, 128
    tile q4_tile8x4_k16_min_dotprod, 16, 0, 1, 192

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
