// 16 rows of Q4_0 in the layout lane16 times one token: the inner loop of the Q4_0 GEMV kernels. Included with FHM = 1
// (scale products by FMLAL) or 0 (by FCVTL and FMUL), and FUNCTION:
//
//   void FUNCTION(const uint8_t *panel, const int8_t *q, const float *d, size_t n_blocks, float y[16])
//
// n_blocks > 0. It is in assembly so that gcc and clang builds run the same schedule, which in-order cores depend on:
// they complete in order, so short instructions (loads, SHL, AND) come in groups before long ones (SDOT), and no SDOT
// waits for the accumulator of the one before.
//
// The forms differ by the cores that run them. FHM: out-of-order cores and Cortex-A510; four registers a load, and
// constants loaded into accumulators rather than moved, since vector pipes are the limit. The integer sums start as the
// bits of 1.5 * 2^19, whose unit in the last place is 1/16: they hold 16 times the sum, so one subtraction gives
// float(sum). Without FHM: Cortex-A55, where four registers a load are slow, and SCVTF is fast.
#include "asm.h"

#define PANEL x0
#define Q x1
#define D x2
#define Q_END x3
#define Y x4
#define CONSTANTS x5
#define QUAD1 x6
#define QUAD2 x7
#define QUAD3 x8
#define ZEROS x9

// The 4 vectors of a column quad, 4 rows each, to registers \r0-\r3.
.macro load_quad pointer, offset, r0, r1, r2, r3
#if FHM
    ld1 {v\r0\().16b, v\r1\().16b, v\r2\().16b, v\r3\().16b}, [\pointer]
#else
    .if \offset < 192
    ldp q\r0, q\r1, [PANEL, #\offset]
    ldp q\r2, q\r3, [PANEL, #\offset + 32]
    .else
    ldr q\r0, [PANEL, #\offset]
    ldr q\r1, [PANEL, #\offset + 16]
    ldr q\r2, [PANEL, #\offset + 32]
    ldr q\r3, [PANEL, #\offset + 48]
    .endif
#endif
.endm

// Low nibbles to v4-v7, high nibbles in place, both as 16 w; then their products with column quad \j.
.macro dot_quad j, r0, r1, r2, r3
    shl v4.16b, v\r0\().16b, #4
    shl v5.16b, v\r1\().16b, #4
    shl v6.16b, v\r2\().16b, #4
    shl v7.16b, v\r3\().16b, #4
    and v\r0\().16b, v\r0\().16b, v3.16b
    and v\r1\().16b, v\r1\().16b, v3.16b
    and v\r2\().16b, v\r2\().16b, v3.16b
    and v\r3\().16b, v\r3\().16b, v3.16b
    sdot v20.4s, v4.16b, v0.4b[\j]
    sdot v21.4s, v5.16b, v0.4b[\j]
    sdot v22.4s, v6.16b, v0.4b[\j]
    sdot v23.4s, v7.16b, v0.4b[\j]
    sdot v20.4s, v\r0\().16b, v1.4b[\j]
    sdot v21.4s, v\r1\().16b, v1.4b[\j]
    sdot v22.4s, v\r2\().16b, v1.4b[\j]
    sdot v23.4s, v\r3\().16b, v1.4b[\j]
.endm

// dx (s2) times the 16 fp16 scales (v12, v13) to v8-v11, and the integer sums to float
.macro convert
#if FHM
    fcvt h2, s2
    fmlal v8.4s, v12.4h, v2.h[0]
    fmlal2 v9.4s, v12.4h, v2.h[0]
    fmlal v10.4s, v13.4h, v2.h[0]
    fmlal2 v11.4s, v13.4h, v2.h[0]
    ldr q4, [CONSTANTS]
    fsub v20.4s, v20.4s, v4.4s
    fsub v21.4s, v21.4s, v4.4s
    fsub v22.4s, v22.4s, v4.4s
    fsub v23.4s, v23.4s, v4.4s
#else
    fcvtl v8.4s, v12.4h
    fcvtl2 v9.4s, v12.8h
    fcvtl v10.4s, v13.4h
    fcvtl2 v11.4s, v13.8h
    scvtf v20.4s, v20.4s, #4
    scvtf v21.4s, v21.4s, #4
    scvtf v22.4s, v22.4s, #4
    scvtf v23.4s, v23.4s, #4
    fmul v8.4s, v8.4s, v2.s[0]
    fmul v9.4s, v9.4s, v2.s[0]
    fmul v10.4s, v10.4s, v2.s[0]
    fmul v11.4s, v11.4s, v2.s[0]
#endif
.endm

    vector_function FUNCTION
    add Q_END, Q, x3, lsl #5
    movi v3.16b, #0xf0
    add PANEL, PANEL, #32
#if FHM
    add QUAD1, PANEL, #64
    add QUAD2, PANEL, #128
    add QUAD3, PANEL, #192
    adrp CONSTANTS, constants
    add CONSTANTS, CONSTANTS, :lo12:constants
    add ZEROS, CONSTANTS, #64
#endif
    movi v16.2d, #0
    movi v17.2d, #0
    movi v18.2d, #0
    movi v19.2d, #0

1:  ldp q0, q1, [Q]
    load_quad PANEL, 0, 8, 9, 10, 11
#if FHM
    ld1 {v20.4s, v21.4s, v22.4s, v23.4s}, [CONSTANTS]
#else
    movi v20.2d, #0
    movi v21.2d, #0
    movi v22.2d, #0
    movi v23.2d, #0
#endif
    load_quad QUAD1, 64, 12, 13, 14, 15
    dot_quad 0, 8, 9, 10, 11
    load_quad QUAD2, 128, 24, 25, 26, 27
    dot_quad 1, 12, 13, 14, 15
    load_quad QUAD3, 192, 28, 29, 30, 31
    ldr s2, [D], #4
    ldp q12, q13, [PANEL, #-32]
#if FHM
    ld1 {v8.4s, v9.4s, v10.4s, v11.4s}, [ZEROS]
#endif
    dot_quad 2, 24, 25, 26, 27
    dot_quad 3, 28, 29, 30, 31
    convert
    add PANEL, PANEL, #288
#if FHM
    add QUAD1, QUAD1, #288
    add QUAD2, QUAD2, #288
    add QUAD3, QUAD3, #288
#endif
    add Q, Q, #32
    fmla v16.4s, v20.4s, v8.4s
    fmla v17.4s, v21.4s, v9.4s
    fmla v18.4s, v22.4s, v10.4s
    fmla v19.4s, v23.4s, v11.4s
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
