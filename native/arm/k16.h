// The layout `k16` of types whose super-blocks have sub-blocks of 32 columns, and what its kernels share.
//
// A panel is 16 rows; one super-block of it is 256 columns:
//   fp16 d[16]; for types with minima fp16 dmin[16] and int8 minima [4 groups of 4 rows][2 halves of the sub-blocks]
//   [4 rows x 4 sub-blocks]; then for each of 8 sub-blocks int8 scales[16 rows] and the weights as vectors of 16 bytes.
// Vectors are 4 rows x 4 columns, so SDOT by lane leaves a row in each int32 lane, as with lane16:
//   Q4_K    [4 column quads][4 groups]; byte 4r + i of quad c: column 4c + i in the low nibble, 16 + 4c + i in the high
//   Q5_K    [4 groups][5 vectors]; vector v's byte 4r + i has column 4v + i in its lower 5 bits. The upper three bits
//           are parts of quads 5, 6 and 7: those of vector 0 the lower three of quad 5, whose upper two are bits 6
//           and 7 of vector 1; quad 6 the same of vectors 2 and 3; quad 7 has those of vector 4, and bit 5 of vectors
//           3 and 1
//   IQ4_XS  as Q4_K
// Scales and minima have 8 bits where GGUF has 6: a fortieth more bytes, but a vector of them is one instruction.
#ifndef Q4_ARM_K16_H
#define Q4_ARM_K16_H

#include "../matmul/matmul.h"

#define K16_ROWS 16
#define K16_SUBS 8           // sub-blocks
#define K16_MINIMA 64        // offset of the minima
#define K16_MINIMA_BYTES 128 // of all rows
#define K16_Q4_K_SUB (16 + 256)
#define K16_Q5_K_SUB (16 + 320)
#define K16_Q4_K_BYTES (64 + K16_MINIMA_BYTES + K16_SUBS * K16_Q4_K_SUB)
#define K16_Q5_K_BYTES (64 + K16_MINIMA_BYTES + K16_SUBS * K16_Q5_K_SUB)
#define K16_IQ4_XS_BYTES (32 + K16_SUBS * K16_Q4_K_SUB)

extern const struct q4_layout q4_k16_q4_k, q4_k16_q5_k, q4_k16_iq4_xs;

// Sums of q over the 8 sub-blocks of each super-block, which minima are multiplied with, in two int8 parts: 16 bytes
// high[8], low[8] with sum = 64 high + low.
#define K16_SUM_BYTES 16
void q4_k16_sums(int8_t *sums, const int8_t *q, size_t n_blocks);

#endif
