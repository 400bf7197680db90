// The packed layouts that all x86 kernels share, GEMV and GEMM, AVX2 to AVX-512, and the packed form of activations.
//
// Everything is cut into groups of 4 columns of one row, 4 bytes: the unit that VPDPBUSD (and VPMADDUBSW + VPMADDWD)
// reduces to one 32-bit lane. So lanes are rows, and a group of activations is broadcast to all of them. Weight bytes
// are unsigned, because those instructions multiply unsigned by signed bytes; the offset that makes them so is taken
// back by starting the sum at -offset * (sum of the activations), which is exact.
#ifndef Q4_X86_LAYOUTS_H
#define Q4_X86_LAYOUTS_H

#include "../matmul/matmul.h"

// Tokens that GEMV kernels take, four at a time. With AVX-512 they multiply as fast as GEMM kernels, which read weights
// only while they decode them: 24 tokens took 0.8 of the GEMM's time, more were not tried. With AVX2 GEMM is as fast
// from 12 on.
#define FEW_TOKENS_avx2 Q4_FEW_TOKENS
#define FEW_TOKENS_avxvnni Q4_FEW_TOKENS
#define FEW_TOKENS_avx512vnni (3 * Q4_FEW_TOKENS)

#define PANEL_ROWS 32
#define TILE_TOKENS 6 // a GEMM tile is 32 rows x 6 tokens: 12 int32 and 12 fp32 accumulators in AVX-512 registers

// One block of 32 columns. q[h][c]: rows 16 h .. 16 h + 15, 4 bytes each.
typedef struct {
    uint16_t d[PANEL_ROWS];
    uint8_t q[2][4][64]; // columns 4 c + i in the low nibble of byte i, 16 + 4 c + i in the high one; w + 8
} panel_q4_0;

typedef struct {
    uint16_t d[PANEL_ROWS], m[PANEL_ROWS];
    uint8_t q[2][4][64]; // as Q4_0
} panel_q4_1;

// Five planes hold 8 groups: bytes of plane c are columns 4 c + i as w + 16 in the low 5 bits, and in the high 3 bits a
// part of the last three groups. Group 5 has bits 0-2 in plane 0, 3-4 in plane 1 (bits 6-7); group 6 likewise in planes
// 2 and 3; group 7 has bits 0-2 in plane 4, 3 in plane 3 and 4 in plane 1 (bit 5 of both).
typedef struct {
    uint16_t d[PANEL_ROWS];
    uint8_t q[2][5][64];
} panel_q5_0;

typedef struct {
    uint16_t d[PANEL_ROWS], m[PANEL_ROWS];
    uint8_t q[2][5][64]; // as Q5_0; q
} panel_q5_1;

typedef struct {
    uint16_t d[PANEL_ROWS];
    uint8_t q[2][4][64]; // as Q4_0; places in the table
} panel_iq4_nl;

typedef struct {
    uint16_t d[PANEL_ROWS];
    uint8_t q[2][8][64]; // columns 4 c + i; w + 128
} panel_q8_0;

// Super-blocks of 256 columns, 16 rows, as many bits as in GGUF. Scales are packed as there, [byte][row]; weights are
// in 8 parts of 32 columns, eight groups.
#define K_ROWS 16

typedef struct {
    uint16_t d[K_ROWS], dmin[K_ROWS];
    uint8_t scales[16][K_ROWS]; // a sub-block's minimum in the high nibble
    uint8_t q[8][2][64];        // four groups each, the first in the lowest bits
} panel_q2_k;

// Byte plane c of a part has group 2 c in the low three bits, 2 c + 1 in the next, and in the high two a part of the
// last two groups: group 6 has bits 0-1 in plane 0 and 2 in plane 1 (bit 6); group 7 in planes 2 and 1 (bit 7).
typedef struct {
    uint16_t d[K_ROWS];
    uint8_t scales[12][K_ROWS];
    uint8_t q[8][3][64]; // w + 4
} panel_q3_k;

typedef struct {
    uint16_t d[K_ROWS], dmin[K_ROWS];
    uint8_t scales[12][K_ROWS];
    uint8_t q[8][4][64]; // each part as a block of Q4_0
} panel_q4_k;

typedef struct {
    uint16_t d[K_ROWS], dmin[K_ROWS];
    uint8_t scales[12][K_ROWS];
    uint8_t q[8][5][64]; // each part as a block of Q5_0
} panel_q5_k;

// A sub-block's 16 columns are four groups of 4; the bytes of the first three hold w + 32 in the low 6 bits, and in the
// high 2 bits a part of the fourth: bits 0-1 in plane 0, 2-3, 4-5.
typedef struct {
    uint16_t d[K_ROWS];
    int8_t scales[16][K_ROWS]; // [sub-block][row]
    uint8_t q[8][2][3][64];    // [part][sub-block of it][plane]
} panel_q6_k;

// Scales: bytes 0-3 have those of sub-blocks 0-3, and above their 6 bits the upper two of 4-7, whose low nibbles are in
// the last two bytes: 4 and 5 low, 6 and 7 high.
typedef struct {
    uint16_t d[K_ROWS];
    uint8_t scales[6][K_ROWS];
    uint8_t q[8][4][64]; // each part as a block of Q4_0, of places in the table
} panel_iq4_xs;

_Static_assert(sizeof(panel_q4_0) == 576 && sizeof(panel_q4_1) == 640, "4-bit panels");
_Static_assert(sizeof(panel_q5_0) == 704 && sizeof(panel_q5_1) == 768, "5-bit panels");
_Static_assert(sizeof(panel_iq4_nl) == 576, "panels of places in a table");
_Static_assert(sizeof(panel_q8_0) == 1088, "8-bit panels");
_Static_assert(sizeof(panel_q2_k) == 1344 && sizeof(panel_q3_k) == 1760 && sizeof(panel_q4_k) == 2304, "K panels");
_Static_assert(sizeof(panel_q5_k) == 2816 && sizeof(panel_q6_k) == 3360 && sizeof(panel_iq4_xs) == 2176, "K panels");

extern const struct q4_layout q4_x86_layout_q4_0, q4_x86_layout_q4_1, q4_x86_layout_q5_0, q4_x86_layout_q5_1,
    q4_x86_layout_q8_0, q4_x86_layout_iq4_nl;
extern const struct q4_layout q4_x86_layout_q2_k, q4_x86_layout_q3_k, q4_x86_layout_q4_k, q4_x86_layout_q5_k,
    q4_x86_layout_q6_k, q4_x86_layout_iq4_xs;

// Activations of 6 tokens in one block of 32 columns, for all types that multiply blocks of 32.
typedef struct {
    int32_t q[8][TILE_TOKENS];                                    // 4 columns of one token: the operand of a broadcast
    int32_t minus_8_sum[TILE_TOKENS], minus_128_sum[TILE_TOKENS]; // of q: where sums start
    float sum[TILE_TOKENS], d[TILE_TOKENS];
} acts_q8;

// Activations of 6 tokens in one super-block.
typedef struct {
    int32_t q[Q4_SUPER / 4][TILE_TOKENS];
    int32_t sums[Q4_SUPER / 32][TILE_TOKENS]; // of q over 16 columns, those of two sub-blocks as 16-bit pairs
    float d[TILE_TOKENS];
} acts_k;

// Two numbers as 16-bit halves
static inline int32_t pair_of(int low, int high) {
    return (int32_t)((uint32_t)(uint16_t)low | (uint32_t)(uint16_t)high << 16);
}

extern const struct q4_act_packing q4_x86_acts_q8, q4_x86_acts_k;

#endif
