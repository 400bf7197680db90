// 8 rows x 4 tokens over all columns: the inner loop of the dotprod GEMM kernels.
//
//   void q4_tile8x4_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
//                           const uint32_t magic[8])
//   void q4_tile8x4_min_dotprod(…)   the same with Q4_1's minima
//
// panel: per block of 32 columns, for each of two groups of 4 rows: int8 [8 column quads][4 rows x 4 columns], fp32
//        scales [4 rows], and for Q4_1 the minima in the same form.
// acts:  `quad4` (acts_pack.h).
// y:     4 tokens of 8 floats, stride bytes apart.
// magic: 8 times the same constant: integer sums start as the bits of a float whose unit in the last place is 1 (weights
//        kept as 16 w: 1/16), so one subtraction gives float(sum), see tile8x8_i8mm.S.
//
// Registers: v0-v7 integer sums, v16-v23 fp32 accumulators (tokens 0-3 of the first group, then of the second), v8-v11
// and v12-v15 activations of the first and second 16 columns, v24-v31 weights. Products of scales take the registers of
// weights that are done with. Sums are scaled beside the loads of the next block; the first iteration scales zeros.
//
// The order is for in-order cores, out-of-order ones do not mind it: eight sums in turn, so no SDOT waits for the one
// before, and loads well before their use. Cortex-A55 issues SDOT and FSUB alone, and completes in order: a load is free
// in front of FMUL or FMLA and takes a cycle elsewhere. There LDP takes as long as two LDR, if six cycles lie between.

#include "asm.inc"

#define PANEL x0
#define ACTS x1
#define BLOCKS x2
#define Y x3
#define STRIDE x4
#define MAGIC x5

#define ACTS_BYTES 160
#define ACTS_D 128
#define ACTS_SUM 144

// 4 rows x 4 columns x 4 tokens: weights \w times lane \lane of each token's activations. With \r0 also loads two registers.
.macro products s0, s1, s2, s3, w, lane, x0, x1, x2, x3, r0, r1, pointer, offset
    sdot v\s0\().4s, v\w\().16b, v\x0\().4b[\lane]
    .ifnb \r0
    ldp q\r0, q\r1, [\pointer, #\offset]
    .endif
    sdot v\s1\().4s, v\w\().16b, v\x1\().4b[\lane]
    sdot v\s2\().4s, v\w\().16b, v\x2\().4b[\lane]
    sdot v\s3\().4s, v\w\().16b, v\x3\().4b[\lane]
.endm

// The same for rows 0-3 (a) or 4-7 (b), column quads of the first (low) or second half (high)
.macro low_a w, lane, r0, r1, pointer, offset
    products 0, 1, 2, 3, \w, \lane, 8, 9, 10, 11, \r0, \r1, \pointer, \offset
.endm

.macro low_b w, lane, r0, r1, pointer, offset
    products 4, 5, 6, 7, \w, \lane, 8, 9, 10, 11, \r0, \r1, \pointer, \offset
.endm

.macro high_a w, lane
    products 0, 1, 2, 3, \w, \lane, 12, 13, 14, 15
.endm

.macro high_b w, lane
    products 4, 5, 6, 7, \w, \lane, 12, 13, 14, 15
.endm

.macro clear i
    ldr q\i, [MAGIC]
.endm

.macro to_float
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    subtract_magic \i
    .endr
.endm

.macro subtract_magic i
    fsub v\i\().4s, v\i\().4s, v11.4s
.endm

.macro add_scaled acc, i, product
    fmla v\acc\().4s, v\i\().4s, v\product\().4s
.endm

// Scales or minima of 4 rows times the scale of a token
.macro scale product, d, token
    fmul v\product\().4s, v\d\().4s, v10.s[\token]
.endm

.macro add_min acc, product, token
    fmla v\acc\().4s, v\product\().4s, v12.s[\token]
.endm

// Ends the block before: its sums (v0-v7) times the products of scales (v24-v31). Starts the next one.
.macro next_block group
    to_float
    ldr q8, [ACTS]
    add_scaled 16, 0, 24
    ldr q24, [PANEL]
    add_scaled 17, 1, 25
    ldr q25, [PANEL, #\group]
    add_scaled 18, 2, 26
    ldr q9, [ACTS, #16]
    add_scaled 19, 3, 27
    clear 0
    add_scaled 20, 4, 28
    clear 1
    add_scaled 21, 5, 29
    ldr q10, [ACTS, #32]
    add_scaled 22, 6, 30
    ldr q11, [ACTS, #48]
    add_scaled 23, 7, 31
    .irp i, 2, 3, 4, 5 // 6 and 7 beside products
    clear \i
    .endr
.endm

// The same with minima (in v8 and v9; the tokens' scales in v10, their sums in v12): acc += float(sum of q) * (m * dx)
.macro next_block_min group
    to_float
    add_scaled 16, 0, 24
    clear 0
    add_scaled 17, 1, 25
    clear 1
    add_scaled 18, 2, 26
    clear 2
    add_scaled 19, 3, 27
    clear 3
    add_scaled 20, 4, 28
    clear 4
    add_scaled 21, 5, 29
    clear 5
    add_scaled 22, 6, 30
    clear 6
    add_scaled 23, 7, 31
    clear 7
    scale 24, 8, 0
    ldr q11, [ACTS, #48]
    scale 25, 8, 1
    scale 26, 8, 2
    scale 27, 8, 3
    ldr q8, [ACTS]
    scale 28, 9, 0
    scale 29, 9, 1
    scale 30, 9, 2
    scale 31, 9, 3
    ldr q9, [ACTS, #16]
    add_min 16, 24, 0
    ldr q24, [PANEL]
    add_min 17, 25, 1
    ldr q10, [ACTS, #32]
    add_min 18, 26, 2
    ldr q25, [PANEL, #\group]
    add_min 19, 27, 3
    add_min 20, 28, 0
    add_min 21, 29, 1
    add_min 22, 30, 2
    add_min 23, 31, 3
.endm

.macro last_block min
    to_float
    add_scaled 16, 0, 24
    add_scaled 17, 1, 25
    add_scaled 18, 2, 26
    add_scaled 19, 3, 27
    add_scaled 20, 4, 28
    add_scaled 21, 5, 29
    add_scaled 22, 6, 30
    add_scaled 23, 7, 31
    .if \min
    scale 24, 8, 0
    scale 25, 8, 1
    scale 26, 8, 2
    scale 27, 8, 3
    scale 28, 9, 0
    scale 29, 9, 1
    scale 30, 9, 2
    scale 31, 9, 3
    add_min 16, 24, 0
    add_min 17, 25, 1
    add_min 18, 26, 2
    add_min 19, 27, 3
    add_min 20, 28, 0
    add_min 21, 29, 1
    add_min 22, 30, 2
    add_min 23, 31, 3
    .endif
.endm

// Products of a block, whose first quads are loaded, and of its scales. \group: offset of the second group of rows.
// Column quad c of either half has its weights in v(24 + 2c) and v(25 + 2c).
.macro multiply group, min
    ldr q26, [PANEL, #16]
    ldr q27, [PANEL, #(\group + 16)]
    .if \min
    low_a 24, 0
    .else
    low_a 24, 0, 6, 7, MAGIC, 0
    .endif
    low_b 25, 0
    low_a 26, 1, 28, 30, PANEL, 32
    low_b 27, 1, 29, 31, PANEL, (\group + 32)
    low_a 28, 2, 12, 13, ACTS, 64
    low_b 29, 2, 24, 26, PANEL, 64
    low_a 30, 3, 25, 27, PANEL, (\group + 64)
    low_b 31, 3, 14, 15, ACTS, 96
    high_a 24, 0
    ldr q10, [ACTS, #ACTS_D]
    ldr q8, [PANEL, #128]
    ldr q9, [PANEL, #(\group + 128)]
    high_b 25, 0
    ldr q28, [PANEL, #96]
    scale 24, 8, 0
    ldr q29, [PANEL, #(\group + 96)]
    scale 25, 8, 1
    high_a 26, 1
    high_b 27, 1
    ldr q30, [PANEL, #112]
    scale 26, 8, 2
    ldr q31, [PANEL, #(\group + 112)]
    scale 27, 8, 3
    high_a 28, 2
    high_b 29, 2
    clear 11
    scale 28, 9, 0
    .if \min
    ldr q8, [PANEL, #144]
    .else
    add PANEL, PANEL, #288
    .endif
    scale 29, 9, 1
    high_a 30, 3
    high_b 31, 3
    .if \min
    ldr q12, [ACTS, #ACTS_SUM]
    .else
    add ACTS, ACTS, #ACTS_BYTES
    .endif
    scale 30, 9, 2
    subs BLOCKS, BLOCKS, #1
    scale 31, 9, 3
    .if \min
    ldr q9, [PANEL, #(\group + 144)]
    add PANEL, PANEL, #320
    add ACTS, ACTS, #ACTS_BYTES
    .endif
.endm

.macro store_token a, b
    stp q\a, q\b, [Y]
    add Y, Y, STRIDE
.endm

.macro zero register
    movi v\register\().2d, #0
.endm

.macro tile name, min
    vector_function \name
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 11
    clear \r
    .endr
    .irp r, 8, 9, 10, 12, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    zero \r
    .endr
    cbz BLOCKS, 2f
1:  .if \min
    next_block_min 160
    multiply 160, 1
    .else
    next_block 144
    multiply 144, 0
    .endif
    b.ne 1b
2:  last_block \min
    store_token 16, 20
    store_token 17, 21
    store_token 18, 22
    store_token 19, 23
    end_vector_function \name
.endm

    tile q4_tile8x4_dotprod, 0
    tile q4_tile8x4_min_dotprod, 1
