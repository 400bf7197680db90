// The layout `q6b` of Q6_K: exactly 6.5625 bits a weight, as in GGUF.
//
// A panel is 8 rows; one super-block of it is 256 columns:
//   fp16 d[8], int8 scales[16 sub-blocks of 16 columns][8 rows], then vectors of 16 bytes
//   [16 sub-blocks][2 groups of 4 rows][3 vectors], a vector being 4 rows x 4 columns.
// Byte 4r + i of vector v holds, for row r and column 4v + i of the sub-block, the weight as a signed 6-bit number in
// its upper bits, and in its lower two a part of column 12 + i: bits 2v and 2v + 1. So three vectors are four column
// quads, and unpacking is a mask for three of them and three shifts (SLI, SLI, SHL) for the fourth; all come out as 4
// w.
#ifndef Q4_ARM_Q6B_H
#define Q4_ARM_Q6B_H

#include "../matmul/matmul.h"

#define Q6B_ROWS 8
#define Q6B_SUB_BLOCKS (Q4_SUPER / 16)
#define Q6B_SCALES 16                                 // offset of the sub-scales
#define Q6B_WEIGHTS (Q6B_SCALES + Q6B_SUB_BLOCKS * 8) // offset of the weights
#define Q6B_SUB_BYTES (2 * 3 * 16)
#define Q6B_BYTES (Q6B_WEIGHTS + Q6B_SUB_BLOCKS * Q6B_SUB_BYTES)

extern const struct q4_layout q4_q6b_q6_k;

#endif
