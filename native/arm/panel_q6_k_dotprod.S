// 8 rows of Q6_K in the layout q6b times one token: the inner loop of the Q6_K GEMV kernel.
//
//   void q4_panel_q6_k_dotprod(const uint8_t *panel, const int8_t *q, const float *d, size_t n_blocks, float y[8])
//
// n_blocks > 0. Two sub-blocks of 16 columns a step: four sets of three vectors (2 sub-blocks x 2 groups of 4 rows)
// are unpacked together, so that no instruction waits for the one before. All weights are 4 w, so
// integer sums stay below 2^30.
#include "asm.inc"

#define BLOCK x0
#define Q x1
#define D x2
#define BLOCKS x3
#define Y x4
#define SCALES x5
#define WEIGHTS x6
#define ZEROS x7
#define STEPS w8
#define WEIGHTS1 x9
#define WEIGHTS2 x10

// Two sub-blocks of 4 + 4 rows: weights in the triples v8-v10, v11-v13 (first sub-block), v14-v16, v17-v19 (second),
// activations in v0, v1, sub-scales in v2. Shifts stand between other instructions because they share a pipe.
.macro two_sub_blocks
    and v20.16b, v8.16b, v3.16b
    and v21.16b, v11.16b, v3.16b
    and v22.16b, v14.16b, v3.16b
    and v23.16b, v17.16b, v3.16b
    sli v8.16b, v9.16b, #2
    sdot v24.4s, v20.16b, v0.4b[0]
    sli v11.16b, v12.16b, #2
    sdot v25.4s, v21.16b, v0.4b[0]
    sli v14.16b, v15.16b, #2
    sdot v26.4s, v22.16b, v1.4b[0]
    sli v17.16b, v18.16b, #2
    sdot v27.4s, v23.16b, v1.4b[0]
    and v9.16b, v9.16b, v3.16b
    sxtl v5.8h, v2.8b
    and v12.16b, v12.16b, v3.16b
    sxtl2 v7.8h, v2.16b
    and v15.16b, v15.16b, v3.16b
    and v18.16b, v18.16b, v3.16b
    sli v8.16b, v10.16b, #4
    sdot v24.4s, v9.16b, v0.4b[1]
    sli v11.16b, v13.16b, #4
    sdot v25.4s, v12.16b, v0.4b[1]
    sli v14.16b, v16.16b, #4
    sdot v26.4s, v15.16b, v1.4b[1]
    sli v17.16b, v19.16b, #4
    sdot v27.4s, v18.16b, v1.4b[1]
    and v10.16b, v10.16b, v3.16b
    sxtl v4.4s, v5.4h
    and v13.16b, v13.16b, v3.16b
    sxtl2 v5.4s, v5.8h
    and v16.16b, v16.16b, v3.16b
    sxtl v6.4s, v7.4h
    and v19.16b, v19.16b, v3.16b
    sxtl2 v7.4s, v7.8h
    shl v8.16b, v8.16b, #2
    sdot v24.4s, v10.16b, v0.4b[2]
    shl v11.16b, v11.16b, #2
    sdot v25.4s, v13.16b, v0.4b[2]
    shl v14.16b, v14.16b, #2
    sdot v26.4s, v16.16b, v1.4b[2]
    shl v17.16b, v17.16b, #2
    sdot v27.4s, v19.16b, v1.4b[2]
    sdot v24.4s, v8.16b, v0.4b[3]
    sdot v25.4s, v11.16b, v0.4b[3]
    sdot v26.4s, v14.16b, v1.4b[3]
    sdot v27.4s, v17.16b, v1.4b[3]
    mla v28.4s, v24.4s, v4.4s
    mla v29.4s, v25.4s, v5.4s
    mla v28.4s, v26.4s, v6.4s
    mla v29.4s, v27.4s, v7.4s
.endm

    vector_function q4_panel_q6_k_dotprod
    movi v3.16b, #0xfc
    adrp ZEROS, zeros
    add ZEROS, ZEROS, :lo12:zeros
    movi v30.2d, #0
    movi v31.2d, #0

1:  add SCALES, BLOCK, #16
    add WEIGHTS, BLOCK, #(16 + 128)
    add WEIGHTS1, WEIGHTS, #64
    add WEIGHTS2, WEIGHTS, #128
    movi v28.2d, #0
    movi v29.2d, #0
    mov STEPS, #8
2:  ld1 {v8.16b, v9.16b, v10.16b, v11.16b}, [WEIGHTS]
    ld1 {v12.16b, v13.16b, v14.16b, v15.16b}, [WEIGHTS1]
    ld1 {v16.16b, v17.16b, v18.16b, v19.16b}, [WEIGHTS2]
    ldr q2, [SCALES]
    ldp q0, q1, [Q]
    ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [ZEROS]
    two_sub_blocks
    sub STEPS, STEPS, #1
    add WEIGHTS, WEIGHTS, #192
    add WEIGHTS1, WEIGHTS1, #192
    add WEIGHTS2, WEIGHTS2, #192
    add SCALES, SCALES, #16
    add Q, Q, #32
    cbnz STEPS, 2b

    // acc += float(sum) * (d * dx)
    ldr q0, [BLOCK]
    ldr s1, [D], #4
    mov BLOCK, WEIGHTS
    fcvtl v4.4s, v0.4h
    fcvtl2 v5.4s, v0.8h
    scvtf v28.4s, v28.4s, #2
    scvtf v29.4s, v29.4s, #2
    fmul v4.4s, v4.4s, v1.s[0]
    fmul v5.4s, v5.4s, v1.s[0]
    fmla v30.4s, v28.4s, v4.4s
    fmla v31.4s, v29.4s, v5.4s
    subs BLOCKS, BLOCKS, #1
    b.ne 1b

    stp q30, q31, [Y]
    end_vector_function q4_panel_q6_k_dotprod

    .section .rodata
    .p2align 6
zeros:
    .zero 64
