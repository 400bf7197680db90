// 32 rows x 6 tokens over some blocks of 32 columns: the inner loop of the AVX-512 VNNI GEMM kernels.
//
//   void q4_tile6_q4_0_avx512vnni(float *y, size_t y_stride, const void *w, const void *acts, size_t blocks,
//                                 bool resume, const char *prefetch, size_t prefetch_step, size_t ahead)
//   void q4_tile6_q4_1_avx512vnni(…)
//   void q4_tile6_q8_0_avx512vnni(…)
//
// y:        6 tokens of 32 floats, y_stride bytes apart; with resume they hold the sums of earlier blocks.
// w, acts:  decoded_q8 or decoded_min (gemm_types.h), 64-byte aligned, and acts_q8 (layouts.h); at least one block.
// prefetch: asked for into L2, prefetch_step bytes further each block.
// ahead:    bytes from acts to those of the next tile, asked for into L1.
// Vector registers keep their upper halves: the caller ends with VZEROUPPER.
//
// It is in assembly because the tile needs 30 of the 32 vector registers, and compilers spill: 12 fp32 accumulators
// (zmm0-11), 12 sums (zmm12-23), 2 vectors of rows, 2 of their scales, and operands. Scaling a block takes the pipes
// that multiply: 12 products of scales and 12 fma beside 96 VPDPBUSD. (VCVTDQ2PS has others.) So that neither waits for
// the other, each token's sums are scaled just before they start anew with the next block.

#define Y %rdi
#define STRIDE %rsi
#define W %rdx
#define ACTS %rcx
#define BLOCKS %r8
#define RESUME %r9d
#define PREFETCH %r10
#define STEP %r11
#define FIRST_Y %rax
#define AHEAD %rax // after that

#define ROWS0 %zmm24
#define ROWS1 %zmm25
#define SCALES0 %zmm30
#define SCALES1 %zmm31
#define MINIMA0 %zmm28
#define MINIMA1 %zmm29

#define STEP_ROWS 128 // bytes of a step (4 columns) of 32 rows, and of 6 tokens
#define STEP_ACTS 24
#define W_D 1024
#define W_M 1152
#define ACTS_MINUS_8_SUM 192
#define ACTS_MINUS_128_SUM 216
#define ACTS_SUM 240
#define ACTS_D 264
#define ACTS_BYTES 288

    .macro each_token what
    \what 0, %zmm0, %zmm1, %zmm12, %zmm13, %zmm26, %zmm27
    \what 1, %zmm2, %zmm3, %zmm14, %zmm15, %zmm26, %zmm27
    \what 2, %zmm4, %zmm5, %zmm16, %zmm17, %zmm26, %zmm27
    \what 3, %zmm6, %zmm7, %zmm18, %zmm19, %zmm26, %zmm27
    \what 4, %zmm8, %zmm9, %zmm20, %zmm21, %zmm26, %zmm27
    \what 5, %zmm10, %zmm11, %zmm22, %zmm23, %zmm26, %zmm27
    .endm

// `ahead` bytes further: the next block.
    .macro load_rows step, ahead=0
    vmovdqa64 \step * STEP_ROWS + \ahead(W), ROWS0
    vmovdqa64 \step * STEP_ROWS + 64 + \ahead(W), ROWS1
    .endm

    .macro dot step, token, s0, s1, x, ahead=0
    vpbroadcastd \step * STEP_ACTS + \token * 4 + \ahead(ACTS), \x
    vpdpbusd \x, ROWS0, \s0
    vpdpbusd \x, ROWS1, \s1
    .endm

    .macro steps_from_1
    .irp step, 1, 2, 3, 4, 5, 6, 7
    load_rows \step
    dot \step, 0, %zmm12, %zmm13, %zmm26
    dot \step, 1, %zmm14, %zmm15, %zmm27
    dot \step, 2, %zmm16, %zmm17, %zmm28
    dot \step, 3, %zmm18, %zmm19, %zmm29
    dot \step, 4, %zmm20, %zmm21, %zmm26
    dot \step, 5, %zmm22, %zmm23, %zmm27
    .endr
    .endm

// A token's sums of a block to its accumulators. They are exact, and so are the products of two fp16 scales.
    .macro scale token, a0, a1, s0, s1, x0, x1
    vcvtdq2ps \s0, \s0
    vcvtdq2ps \s1, \s1
    vmulps ACTS_D + \token * 4(ACTS){1to16}, SCALES0, \x0
    vmulps ACTS_D + \token * 4(ACTS){1to16}, SCALES1, \x1
    vfmadd231ps \x0, \s0, \a0
    vfmadd231ps \x1, \s1, \a1
    .endm

    .macro scale_min token, a0, a1, s0, s1, x0, x1
    scale \token, \a0, \a1, \s0, \s1, \x0, \x1
    vmulps ACTS_D + \token * 4(ACTS){1to16}, MINIMA0, \x0
    vmulps ACTS_D + \token * 4(ACTS){1to16}, MINIMA1, \x1
    vfmadd231ps ACTS_SUM + \token * 4(ACTS){1to16}, \x0, \a0
    vfmadd231ps ACTS_SUM + \token * 4(ACTS){1to16}, \x1, \a1
    .endm

    .macro start_0 token, s0, s1, ahead
    vpxord \s0, \s0, \s0
    vpxord \s1, \s1, \s1
    .endm

    .macro start_minus_8_sum token, s0, s1, ahead
    vpbroadcastd ACTS_MINUS_8_SUM + \token * 4 + \ahead(ACTS), \s0
    vmovdqa32 \s0, \s1
    .endm

    .macro start_minus_128_sum token, s0, s1, ahead
    vpbroadcastd ACTS_MINUS_128_SUM + \token * 4 + \ahead(ACTS), \s0
    vmovdqa32 \s0, \s1
    .endm

    .macro load_token token, a0, a1, s0, s1, x0, x1
    vmovups (Y), \a0
    vmovups 64(Y), \a1
    add STRIDE, Y
    .endm

    .macro clear_token token, a0, a1, s0, s1, x0, x1
    vpxord \a0, \a0, \a0
    vpxord \a1, \a1, \a1
    .endm

    .macro store_token token, a0, a1, s0, s1, x0, x1
    vmovups \a0, (Y)
    vmovups \a1, 64(Y)
    add STRIDE, Y
    .endm

    .macro load_scales
    vmovaps W_D(W), SCALES0
    vmovaps W_D + 64(W), SCALES1
    .endm

    .macro load_scales_and_minima
    load_scales
    vmovaps W_M(W), MINIMA0
    vmovaps W_M + 64(W), MINIMA1
    .endm

// w_bytes: of a decoded block.
    .macro tile type, w_bytes, scales, scale, start
    .macro first_\type token, a0, a1, s0, s1, x0, x1
    \start \token, \s0, \s1, 0
    dot 0, \token, \s0, \s1, \x0
    .endm

    .macro scale_and_first_\type token, a0, a1, s0, s1, x0, x1
    \scale \token, \a0, \a1, \s0, \s1, \x0, \x1
    \start \token, \s0, \s1, ACTS_BYTES
    dot 0, \token, \s0, \s1, \x0, ACTS_BYTES
    .endm

    .text
    .globl q4_tile6_\type\()_avx512vnni
    .hidden q4_tile6_\type\()_avx512vnni
    .type q4_tile6_\type\()_avx512vnni, @function
    .p2align 6
q4_tile6_\type\()_avx512vnni:
    .cfi_startproc
    mov 8(%rsp), PREFETCH
    mov 16(%rsp), STEP
    each_token clear_token
    test RESUME, RESUME
    jz 1f
    mov Y, FIRST_Y
    each_token load_token
    mov FIRST_Y, Y
1:
    mov 24(%rsp), AHEAD
    load_rows 0
    each_token first_\type
    .p2align 6
2:
    prefetcht1 (PREFETCH)
    add STEP, PREFETCH
    .irp line, 0, 64, 128, 192, 256
    prefetcht0 \line(ACTS, AHEAD)
    .endr
    steps_from_1
    \scales
    dec BLOCKS
    jz 3f
    load_rows 0, \w_bytes
    each_token scale_and_first_\type
    add $\w_bytes, W
    add $ACTS_BYTES, ACTS
    jmp 2b
3:
    each_token \scale
    each_token store_token
    ret
    .cfi_endproc
    .size q4_tile6_\type\()_avx512vnni, . - q4_tile6_\type\()_avx512vnni
    .endm

    tile q4_0, 1152, load_scales, scale, start_minus_8_sum
    tile q4_1, 1280, load_scales_and_minima, scale_min, start_0
    tile q8_0, 1152, load_scales, scale, start_minus_128_sum

    .section .note.GNU-stack, "", @progbits
