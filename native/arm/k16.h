// The layout `k16` of types with super-blocks, and what its kernels share. (Q6_K has a layout of its own, q6b.h.)
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
// With sub-blocks of 16 columns:
//   Q3_K    for each 32 columns int8 scales[2 sub-blocks][16 rows], then [4 groups][3 vectors]; byte 4r + i of vector v
//   has
//           column 4v + i in its upper three bits and column 12 + 4v + i in the next three, as signed numbers. The
//           lower two bits: of vector 0 and bit 0 of vector 1 quad 6, of vector 2 and bit 1 of vector 1 quad 7
//   Q2_K    no minima before; for each 64 columns a byte for each sub-block, scale low, minimum high nibble, [4 groups]
//           [4 rows x 4 sub-blocks], then [4 groups][4 quads]; byte 4r + i of quad c has column 4c + i of sub-block f
//           in bit pair f
// But for Q2_K scales and minima have 8 bits where GGUF has 6: a fortieth more bytes, but a vector of them is one
// instruction.
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
#define K16_Q3_K_PAIR (32 + 192) // two sub-blocks
#define K16_Q3_K_BYTES (32 + 8 * K16_Q3_K_PAIR)
#define K16_Q2_K_FOUR (64 + 256) // four
#define K16_Q2_K_BYTES (64 + 4 * K16_Q2_K_FOUR)

extern const struct q4_layout q4_k16_q4_k, q4_k16_q5_k, q4_k16_iq4_xs, q4_k16_q3_k, q4_k16_q2_k;

// Sums of q over the sub-blocks (of `sub` columns, 16 or 32) of each super-block, which minima are multiplied with, in
// two int8 parts: high[256 / sub], low[256 / sub] with sum = 64 high + low.
#define K16_SUM_BYTES(SUB) (2 * Q4_SUPER / (SUB))
void q4_k16_sums(int8_t *sums, const int8_t *q, size_t n_blocks, size_t sub);

#endif
