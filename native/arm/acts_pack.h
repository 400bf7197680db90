// Activations as the Arm GEMM kernels read them.
#ifndef Q4_ARM_ACTS_PACK_H
#define Q4_ARM_ACTS_PACK_H

#include "../matmul/matmul.h"

// `pairs8`: 8 tokens, for SMMLA. A block of 32 columns is
//   int8 q[4 chunks of 8 columns][4 token pairs][2 tokens x 8 columns],
//   fp32 scales [4 token pairs][d0, d0, d1, d1], and for Q4_1 the sums of q as fp32 in the same form.
#define PAIRS8_TOKENS 8
#define PAIRS8_BYTES (256 + 64)
#define PAIRS8_SUM_BYTES (256 + 64 + 64)
extern const struct q4_act_packing q4_pairs8, q4_pairs8_sum;

// `pairs8_k`: the same for super-blocks. A block of 256 columns is fp32 scales [4 token pairs][d0, d0, d1, d1],
//   int8 sums of q over 32 columns, for minima [2 parts][4 token pairs][2 tokens x 8 sub-blocks] (k16.h has the parts),
//   int8 q[32 chunks of 8 columns][4 token pairs][2 tokens x 8 columns].
// `pairs8_k_16`: with sums over 16 columns, [2 parts][2 halves of the sub-blocks][4 token pairs][2 x 8].
#define PAIRS8_K_SUMS 64
#define PAIRS8_K_BYTES (64 + 128 + 8 * Q4_SUPER)
#define PAIRS8_K_16_BYTES (PAIRS8_K_BYTES + 128)
extern const struct q4_act_packing q4_pairs8_k, q4_pairs8_k_16;

// `quad4`: 4 tokens, for SDOT by lane. A block of 32 columns is
//   int8 q[2 halves of 16 columns][4 tokens][16], fp32 d[4], fp32 sum[4].
#define QUAD4_TOKENS 4
#define QUAD4_BYTES (128 + 16 + 16)
extern const struct q4_act_packing q4_quad4;

// `quad4_k`: the same for super-blocks. A block of 256 columns is int8 q[16 columns each][4 tokens][16], the sums of 32
// columns in two parts [4 tokens][high[8], low[8]], fp32 d[4], and 48 bytes that keep blocks aligned.
// `quad4_k_16`: with sums over 16 columns, [4 tokens][high[16], low[16]].
#define QUAD4_K_SUMS (4 * Q4_SUPER)
#define QUAD4_K_BYTES (QUAD4_K_SUMS + 64 + 64)
#define QUAD4_K_16_BYTES (QUAD4_K_SUMS + 128 + 64)
extern const struct q4_act_packing q4_quad4_k, q4_quad4_k_16;

#endif
