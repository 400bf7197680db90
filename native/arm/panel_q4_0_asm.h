// 16 rows of Q4_0 in the layout lane16 times one token: the inner loop of the Q4_0 GEMV kernels. Included with FHM = 1
// (scale products by FMLAL) or 0 (by FCVTL and FMUL), and FUNCTION:
//
//   void FUNCTION(const uint8_t *panel, const int8_t *q, const float *d, size_t n_blocks, float y[16])
//
// n_blocks > 0. It is in assembly so that gcc and clang builds run the same schedule, which in-order cores depend on:
// each slot of it unpacks one vector of 4 rows x 4 columns x 2 nibbles and multiplies two earlier ones, and neighbouring
// slots belong to different groups of 4 rows, so that no accumulator waits for itself.
//
// The forms differ by the cores that run them. FHM: out-of-order cores and Cortex-A510; four registers a load, and
// constants loaded into accumulators rather than moved, since vector pipes are the limit. The integer sums start as the
// bits of 1.5 * 2^19, whose unit in the last place is 1/16: they hold 16 times the sum, so one subtraction gives
// float(sum). Without FHM: Cortex-A55, where loads of one register are the cheapest, and so is SCVTF.
#include "asm.h"

#define PANEL x0
#define Q x1
#define D x2
#define Q_END x3
#define Y x4
#define CONSTANTS x5
#define SET1 x6
#define SET2 x7
#define SET3 x8
#define ZEROS x9
#define STEP x10

// Unpacks register \w: low nibbles to \t. Multiplies the low nibbles in \t2 into accumulator \a2 (column quad \j2),
// leaves the high nibbles of \w2 there, multiplies those of \w3 into \a3 (quad \j3).
.macro slot w, t, w2, t2, a2, j2, w3, a3, j3
    shl v\t\().16b, v\w\().16b, #4
    sdot v\a2\().4s, v\t2\().16b, v0.4b[\j2]
    and v\w2\().16b, v\w2\().16b, v3.16b
    sdot v\a3\().4s, v\w3\().16b, v1.4b[\j3]
.endm

// Where a block's loads go: quads 0 and 1 at its start, 2 and 3 four slots before their use.
.macro load_start
    ldp q0, q1, [Q]
#if FHM
    ld1 {v8.16b, v9.16b, v10.16b, v11.16b}, [PANEL]
    ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [CONSTANTS]
    ld1 {v12.16b, v13.16b, v14.16b, v15.16b}, [SET1]
#else
    .irp r, 8, 9, 10, 11, 12, 13, 14, 15
    load_one \r
    .endr
    movi v20.2d, #0
    movi v21.2d, #0
    movi v22.2d, #0
    movi v23.2d, #0
#endif
.endm

.macro load_one r
    ldr q\r, [PANEL, #(16 * (\r - 8))]
.endm

.macro load_quad2
#if FHM
    ld1 {v24.16b, v25.16b, v26.16b, v27.16b}, [SET2]
#else
    ld1 {v24.16b, v25.16b, v26.16b, v27.16b}, [SET2], #64
#endif
.endm

.macro load_quad3
#if FHM
    ld1 {v28.16b, v29.16b, v30.16b, v31.16b}, [SET3]
#else
    ld1 {v28.16b, v29.16b, v30.16b, v31.16b}, [SET2], STEP
#endif
.endm

// dx * d of 16 rows to v12-v15
.macro load_scales
    ldr s2, [D], #4
    ldp q8, q9, [PANEL, #-32]
.endm

.macro scale_products
#if FHM
    ld1 {v12.4s, v13.4s, v14.4s, v15.4s}, [ZEROS]
    fcvt h2, s2
    fmlal v12.4s, v8.4h, v2.h[0]
    fmlal2 v13.4s, v8.4h, v2.h[0]
    fmlal v14.4s, v9.4h, v2.h[0]
    fmlal2 v15.4s, v9.4h, v2.h[0]
#else
    fcvtl v12.4s, v8.4h
    fcvtl2 v13.4s, v8.8h
    fcvtl v14.4s, v9.4h
    fcvtl2 v15.4s, v9.8h
    fmul v12.4s, v12.4s, v2.s[0]
    fmul v13.4s, v13.4s, v2.s[0]
    fmul v14.4s, v14.4s, v2.s[0]
    fmul v15.4s, v15.4s, v2.s[0]
#endif
.endm

.macro to_float register
#if FHM
    fsub \register\().4s, \register\().4s, v7.4s
#else
    scvtf \register\().4s, \register\().4s, #4
#endif
.endm

    vector_function FUNCTION
    add Q_END, Q, x3, lsl #5
    movi v3.16b, #0xf0
    add PANEL, PANEL, #32
    add SET2, PANEL, #128
#if FHM
    add SET1, PANEL, #64
    add SET3, PANEL, #192
    adrp CONSTANTS, constants
    add CONSTANTS, CONSTANTS, :lo12:constants
    add ZEROS, CONSTANTS, #64
    ldr q7, [CONSTANTS]
#else
    mov STEP, #(288 - 64)
#endif
    movi v16.2d, #0
    movi v17.2d, #0
    movi v18.2d, #0
    movi v19.2d, #0

1:  load_start
    shl v4.16b, v8.16b, #4
    shl v5.16b, v9.16b, #4
    shl v6.16b, v10.16b, #4
    sdot v20.4s, v4.16b, v0.4b[0]
    and v8.16b, v8.16b, v3.16b
    slot 11, 4, 9, 5, 21, 0, 8, 20, 0
    load_quad2
    slot 12, 5, 10, 6, 22, 0, 9, 21, 0
    slot 13, 6, 11, 4, 23, 0, 10, 22, 0
    slot 14, 4, 12, 5, 20, 1, 11, 23, 0
    slot 15, 5, 13, 6, 21, 1, 12, 20, 1
    load_quad3
    slot 24, 6, 14, 4, 22, 1, 13, 21, 1
    slot 25, 4, 15, 5, 23, 1, 14, 22, 1
    load_scales
    slot 26, 5, 24, 6, 20, 2, 15, 23, 1
    slot 27, 6, 25, 4, 21, 2, 24, 20, 2
    slot 28, 4, 26, 5, 22, 2, 25, 21, 2
    slot 29, 5, 27, 6, 23, 2, 26, 22, 2
    slot 30, 6, 28, 4, 20, 3, 27, 23, 2
    slot 31, 4, 29, 5, 21, 3, 28, 20, 3
    sdot v22.4s, v6.16b, v0.4b[3]
    and v30.16b, v30.16b, v3.16b
    sdot v21.4s, v29.16b, v1.4b[3]
    sdot v23.4s, v4.16b, v0.4b[3]
    and v31.16b, v31.16b, v3.16b
    sdot v22.4s, v30.16b, v1.4b[3]
    sdot v23.4s, v31.16b, v1.4b[3]
    scale_products
    to_float v20
    to_float v21
    to_float v22
    to_float v23
    add PANEL, PANEL, #288
    add Q, Q, #32
#if FHM
    add SET1, SET1, #288
    add SET2, SET2, #288
    add SET3, SET3, #288
#endif
    fmla v16.4s, v20.4s, v12.4s
    fmla v17.4s, v21.4s, v13.4s
    fmla v18.4s, v22.4s, v14.4s
    fmla v19.4s, v23.4s, v15.4s
    cmp Q, Q_END
    b.ne 1b

    stp q16, q17, [Y]
    stp q18, q19, [Y, #32]
    end_vector_function FUNCTION

#if FHM
    .section .rodata
    .p2align 6
constants:
    .rept 16
    .word 0x49400000 // 1.5 * 2^19
    .endr
    .zero 64
#endif
