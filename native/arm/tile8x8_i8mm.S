// 8 rows x 8 tokens over all columns: the inner loop of the i8mm GEMM kernels.
//
//   void q4_tile8x8_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
//                        const uint32_t magic[16])
//   void q4_tile8x8_min_i8mm(…)   the same with Q4_1's minima
//   void q4_tile8x8_next_i8mm(…, const struct next_group *next)   also decodes 4 rows of the panel that comes next
//
// panel: per block of 32 columns, for each of two groups of 4 rows: int8 [4 chunks of 8 columns][2 row pairs][2 x 8],
//        fp32 scales [2 row pairs][d0, d1, d0, d1], and for Q4_1 the minima in the same form.
// acts:  `pairs8` (acts_pack.h), for Q4_1 `pairs8_sum`.
// y:     8 tokens of 8 floats, stride bytes apart.
// magic: 16 times the same constant, see below.
//
// It is in assembly because the tile needs all 32 vector registers, and compilers spill: 16 fp32 accumulators of 2 x 2
// results (v16-v31), the 8 integer ones of one group (v0-v7), and 8 for operands. Each SMMLA gives
// [t0 r0, t0 r1, t1 r0, t1 r1]; scales come in the forms [a0, a0, a1, a1] and [d0, d1, d0, d1], so the 2 x 2 form needs
// no shuffling until the end. Four registers a load without write-back cost the fewest slots on out-of-order cores, and
// on Cortex-A510 write-back would delay the next load.
//
// Conversion to float: the integer accumulators start as the bits of 1.5 * 2^23, whose unit in the last place is 1, so
// they end as the bits of 1.5 * 2^23 + sum (|sum| < 2^22), and one subtraction leaves float(sum). With 1.5 * 2^19 the
// unit is 1/16, which undoes the factor of weights that are kept as 16 w. SCVTF would take two slots of one pipe on
// Neoverse N2, and zeroing takes slots that loading the constant does not.
//
// q4_tile8x8_next_i8mm: SMMLA and scaling fill the vector pipes, the integer pipes have nothing to do. So they decode
// Q4_0 weights of the panel that the next call will multiply, 64 bits at a time: pairing column quads (what ZIP does in
// a vector decoder), masks and stores then cost no vector slots. next: gemm_i8mm.h.

#include "asm.inc"

#define PANEL x0
#define ACTS x1
#define BLOCKS x2
#define Y x3
#define STRIDE x4
#define MAGIC x5
#define NEXT x6 // until it is read
#define SCALES x7
#define CHUNK1 x8
#define CHUNK2 x9
#define CHUNK3 x6
#define SOURCE x10 // lane16 block, from the group's first weights on
#define TO_SCALES x11 // from SOURCE to its group's scales
#define DECODED x12
#define HIGH_NIBBLES x17

// Four token pairs times the row pairs in \w0, \w1, token pairs 0 and 1 in v10, v11, 2 and 3 in v12, v13.
.macro products_01 w0, w1
    smmla v0.4s, v10.16b, \w0\().16b
    smmla v1.4s, v10.16b, \w1\().16b
    smmla v2.4s, v11.16b, \w0\().16b
    smmla v3.4s, v11.16b, \w1\().16b
.endm

.macro products_23 w0, w1
    smmla v4.4s, v12.16b, \w0\().16b
    smmla v5.4s, v12.16b, \w1\().16b
    smmla v6.4s, v13.16b, \w0\().16b
    smmla v7.4s, v13.16b, \w1\().16b
.endm

// One chunk of 8 columns; next: its panel offset and activations.
.macro chunk w0, w1, next_w0, next_w1, next_panel, next_acts
    ldp q\next_w0, q\next_w1, [PANEL, #\next_panel]
    products_01 v\w0, v\w1
    products_23 v\w0, v\w1
    ld1 {v10.16b, v11.16b, v12.16b, v13.16b}, [\next_acts]
.endm

.macro to_float i0, i1, i2, i3
    fsub \i0\().4s, \i0\().4s, v8.4s
    fsub \i1\().4s, \i1\().4s, v8.4s
    fsub \i2\().4s, \i2\().4s, v8.4s
    fsub \i3\().4s, \i3\().4s, v8.4s
.endm

// Values v0-v7 of four token pairs, whose scales are in v10-v13, and two row pairs, whose scales are in v14 and v15:
// accumulators \a0-\a7 += values times the scales' products. v8-v13 are used up. No FMLA follows its FMUL at once, for
// in-order cores.
.macro add_scaled v0, v1, v2, v3, v4, v5, v6, v7, a0, a1, a2, a3, a4, a5, a6, a7
    fmul v9.4s, v10.4s, v14.4s
    fmul v10.4s, v10.4s, v15.4s
    fmul v8.4s, v11.4s, v14.4s
    fmul v11.4s, v11.4s, v15.4s
    fmla \a0\().4s, \v0\().4s, v9.4s
    fmul v9.4s, v12.4s, v14.4s
    fmla \a1\().4s, \v1\().4s, v10.4s
    fmul v12.4s, v12.4s, v15.4s
    fmla \a2\().4s, \v2\().4s, v8.4s
    fmul v8.4s, v13.4s, v14.4s
    fmla \a3\().4s, \v3\().4s, v11.4s
    fmul v13.4s, v13.4s, v15.4s
    fmla \a4\().4s, \v4\().4s, v9.4s
    fmla \a5\().4s, \v5\().4s, v12.4s
    fmla \a6\().4s, \v6\().4s, v8.4s
    fmla \a7\().4s, \v7\().4s, v13.4s
.endm

// 4 rows. \p: offset of their panel part; \min: whether there are minima; \a0-\a7: the accumulators.
.macro group p, min, a0, a1, a2, a3, a4, a5, a6, a7
    ldp q8, q9, [PANEL, #\p]
    ld1 {v10.16b, v11.16b, v12.16b, v13.16b}, [ACTS]
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [MAGIC]
    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [MAGIC]
    chunk 8, 9, 14, 15, (\p + 32), CHUNK1
    chunk 14, 15, 8, 9, (\p + 64), CHUNK2
    chunk 8, 9, 14, 15, (\p + 96), CHUNK3
    products_01 v14, v15
    ldr q8, [MAGIC]
    products_23 v14, v15
    to_float v0, v1, v2, v3
    ldp q14, q15, [PANEL, #(\p + 128)]
    ld1 {v10.4s, v11.4s, v12.4s, v13.4s}, [SCALES]
    to_float v4, v5, v6, v7
    add_scaled v0, v1, v2, v3, v4, v5, v6, v7, \a0, \a1, \a2, \a3, \a4, \a5, \a6, \a7
    .if \min
    // acc += float(sum of q) * (m * dx)
    ldp q14, q15, [PANEL, #\p + 160]
    ld1 {v10.4s, v11.4s, v12.4s, v13.4s}, [SCALES]
    ldp q0, q2, [SCALES, #64]
    ldp q4, q6, [SCALES, #96]
    add_scaled v0, v0, v2, v2, v4, v4, v6, v6, \a0, \a1, \a2, \a3, \a4, \a5, \a6, \a7
    .endif
.endm

// ---- the same with decoding --------------------------------------------------------------------------------------
//
// Decoding fills the dispatch slots of Neoverse V2, 8 a cycle: 264 for a block, so 33 cycles. An instruction that takes
// several (LD1 of four registers 4, LDP of vectors 3, LDP, STP and FCVTL 2) waits for the next cycle where it does not
// fit, so instructions stand in eights here. Weights come by LDR for the same reason.

.macro product acc, x, w
    smmla v\acc\().4s, v\x\().16b, v\w\().16b
.endm

// Part 0 .. 3 of the next panel's group: 2 rows (the first two in even parts) x 2 column quads, each nibble pair of which
// is two weights: chunk part / 2 from the low, chunk part / 2 + 2 from the high nibbles.
.macro load_quad0 part
    ldp w13, w14, [SOURCE, #((\part) / 2 * 128 + (\part) % 2 * 8)]
.endm

.macro load_quad1 part
    ldp w15, w16, [SOURCE, #((\part) / 2 * 128 + (\part) % 2 * 8 + 64)]
.endm

.macro store_low part
    stp x13, x14, [DECODED, #((\part) / 2 * 32 + (\part) % 2 * 16)]
.endm

.macro store_high part
    stp x15, x16, [DECODED, #((\part) / 2 * 32 + (\part) % 2 * 16 + 64)]
.endm

.macro load_acts pointer
    ld1 {v10.16b, v11.16b, v12.16b, v13.16b}, [\pointer]
.endm

// Chunks part / 2 + 2 to x15, x16, part / 2 to x13, x14. All at once, and before products: in-order cores delay a short
// instruction behind a long one.
.macro pair_quads
    orr x13, x13, x15, lsl #32
    orr x14, x14, x16, lsl #32
    and x15, x13, HIGH_NIBBLES
    and x16, x14, HIGH_NIBBLES
.endm

.macro low_nibbles
    and x13, HIGH_NIBBLES, x13, lsl #4
    and x14, HIGH_NIBBLES, x14, lsl #4
.endm

.macro first_group_decoding
    ldr q8, [PANEL]
    ldr q9, [PANEL, #16]
    load_quad0 0
    load_quad1 0
    ldr q14, [PANEL, #32]
    ldr q15, [PANEL, #48]

    load_acts ACTS
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [MAGIC]

    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [MAGIC]
    pair_quads

    low_nibbles
    products_01 v8, v9
    product 4, 12, 8
    product 5, 12, 9

    product 6, 13, 8
    product 7, 13, 9
    store_high 0
    load_acts CHUNK1

    store_low 0
    ldr q8, [PANEL, #64]
    ldr q9, [PANEL, #80]
    load_quad0 1
    load_quad1 1

    products_01 v14, v15
    products_23 v14, v15

    load_acts CHUNK2
    pair_quads

    low_nibbles
    ldr q14, [PANEL, #96]
    ldr q15, [PANEL, #112]
    products_01 v8, v9

    products_23 v8, v9
    load_acts CHUNK3

    store_high 1
    store_low 1
    ldr q8, [MAGIC]
    product 0, 10, 14
    product 1, 10, 15
    product 2, 11, 14

    product 3, 11, 15
    products_23 v14, v15
    ldr q14, [PANEL, #128]
    ldr q15, [PANEL, #144]
    fsub v0.4s, v0.4s, v8.4s

    ld1 {v10.4s, v11.4s, v12.4s, v13.4s}, [SCALES]
    fsub v1.4s, v1.4s, v8.4s
    fsub v2.4s, v2.4s, v8.4s
    fsub v3.4s, v3.4s, v8.4s
    fsub v4.4s, v4.4s, v8.4s

    fsub v5.4s, v5.4s, v8.4s
    fsub v6.4s, v6.4s, v8.4s
    fsub v7.4s, v7.4s, v8.4s
    add_scaled v0, v1, v2, v3, v4, v5, v6, v7, v16, v17, v20, v21, v24, v25, v28, v29
.endm

// Starts with 5 slots left of 8. Also decodes the scales.
.macro second_group_decoding
    load_quad0 2
    load_quad1 2
    ldr q8, [PANEL, #160]

    load_acts ACTS
    ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [MAGIC]

    ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [MAGIC]
    pair_quads

    low_nibbles
    ldr q9, [PANEL, #176]
    ldr q14, [PANEL, #192]
    ldr q15, [PANEL, #208]
    product 0, 10, 8
    product 2, 11, 8
    product 1, 10, 9

    product 3, 11, 9
    products_23 v8, v9
    store_high 2
    ldr q8, [PANEL, #224]

    load_acts CHUNK1
    store_low 2
    load_quad0 3

    load_quad1 3
    ldr q9, [PANEL, #240]
    products_01 v14, v15
    product 4, 12, 14

    product 5, 12, 15
    product 6, 13, 14
    ldr q14, [PANEL, #256]
    product 7, 13, 15
    load_acts CHUNK2

    ldr q15, [PANEL, #272]
    pair_quads
    low_nibbles
    product 0, 10, 8

    product 1, 10, 9
    product 2, 11, 8
    product 3, 11, 9
    products_23 v8, v9
    ldr d9, [SOURCE, TO_SCALES]

    load_acts CHUNK3
    store_high 3
    store_low 3

    ldr q8, [MAGIC]
    fcvtl v9.4s, v9.4h
    products_01 v14, v15
    product 4, 12, 14

    product 5, 12, 15
    product 6, 13, 14
    product 7, 13, 15
    mov d10, v9.d[1]
    stp d9, d9, [DECODED, #128]
    fsub v0.4s, v0.4s, v8.4s
    fsub v1.4s, v1.4s, v8.4s

    fsub v2.4s, v2.4s, v8.4s
    stp d10, d10, [DECODED, #144]
    fsub v3.4s, v3.4s, v8.4s
    ld1 {v10.4s, v11.4s, v12.4s, v13.4s}, [SCALES]

    ldr q14, [PANEL, #288]
    ldr q15, [PANEL, #304]
    to_float v4, v5, v6, v7
    add_scaled v0, v1, v2, v3, v4, v5, v6, v7, v18, v19, v22, v23, v26, v27, v30, v31
.endm

// Token pair in 2 x 2 form to two rows of y.
.macro store_pair a0, a1, a2, a3
    zip1 v0.2d, \a0\().2d, \a1\().2d
    zip1 v1.2d, \a2\().2d, \a3\().2d
    zip2 v2.2d, \a0\().2d, \a1\().2d
    zip2 v3.2d, \a2\().2d, \a3\().2d
    stp q0, q1, [Y]
    add Y, Y, STRIDE
    stp q2, q3, [Y]
    add Y, Y, STRIDE
.endm

.macro zero register
    movi v\register\().2d, #0
.endm

.macro tile name, min, next
    vector_function \name
    .if \next
    ldp SOURCE, TO_SCALES, [NEXT]
    sub TO_SCALES, TO_SCALES, SOURCE
    ldr DECODED, [NEXT, #16]
    mov HIGH_NIBBLES, #0xf0f0f0f0f0f0f0f0
    .endif
    add CHUNK1, ACTS, #64
    add CHUNK2, ACTS, #128
    add CHUNK3, ACTS, #192
    add SCALES, ACTS, #256
    .irp r, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    zero \r
    .endr
    cbz BLOCKS, 2f
1:  .if \next
    first_group_decoding
    second_group_decoding
    add SOURCE, SOURCE, #288
    add DECODED, DECODED, #320
    .else
    group 0, \min, v16, v17, v20, v21, v24, v25, v28, v29
    group (160 + 32 * \min), \min, v18, v19, v22, v23, v26, v27, v30, v31
    .endif
    add PANEL, PANEL, #(320 + 64 * \min)
    .irp pointer, ACTS, CHUNK1, CHUNK2, CHUNK3
    add \pointer, \pointer, #(320 + 64 * \min)
    .endr
    add SCALES, SCALES, #(320 + 64 * \min)
    subs BLOCKS, BLOCKS, #1
    b.ne 1b
2:  store_pair v16, v17, v18, v19
    store_pair v20, v21, v22, v23
    store_pair v24, v25, v26, v27
    store_pair v28, v29, v30, v31
    end_vector_function \name
.endm

    tile q4_tile8x8_i8mm, 0, 0
    tile q4_tile8x8_min_i8mm, 1, 0
    tile q4_tile8x8_next_i8mm, 0, 1
