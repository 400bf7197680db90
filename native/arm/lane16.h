// The layout `lane16` of the types with blocks of 32 columns, and what its kernels share.
//
// A panel is 16 rows; one block of it is 32 columns:
//   fp16 d[16], for Q4_1 and Q5_1 also fp16 m[16], then the weights as vectors of 16 bytes [column quad][group of 4
//   rows], a vector being 4 rows x 4 columns.
// SDOT by lane multiplies such a vector with 4 activations and leaves a row in each int32 lane, so a GEMV needs neither
// horizontal sums nor broadcasts. The 4-bit types have 4 quads: byte 4r + i of quad c holds column 4c + i in
// its low nibble and column 4c + i + 16 in its high one; Q4_0 as signed nibbles, Q4_1 unsigned as in GGUF. Q8_0 has 8.
//
// Q5_0 has 5, which hold 8: a byte is the signed weight in the upper 5 bits, and in the lower 3 a part of the quads
// 5 to 7. Quad 5 has its bits 0-2 in quad 0 and 3-4 in quad 1 (bits 0-1); quad 6 likewise in 2 and 3; quad 7 has bits
// 0-2 in quad 4, 3 in quad 3 and 4 in quad 1 (bit 2 of both). So unpacking takes a mask for five of them, two shifts
// (SLI, SHL) for each of the next two and five for the last; all come out as 8 w. Q5_1 is the same, of q - 16.
//
// IQ4_NL has 4, as Q4_1, of places in its table.
#ifndef Q4_ARM_LANE16_H
#define Q4_ARM_LANE16_H

#include "../matmul/matmul.h"

#include <string.h>

#define LANE16_ROWS 16
#define LANE16_Q4_0_BYTES (32 + 256)
#define LANE16_Q4_1_BYTES (64 + 256)
#define LANE16_Q5_0_BYTES (32 + 320)
#define LANE16_Q5_1_BYTES (64 + 320)
#define LANE16_Q8_0_BYTES (32 + 512)
#define LANE16_IQ4_NL_BYTES (32 + 256)

extern const struct q4_layout q4_lane16_q4_0, q4_lane16_q4_1, q4_lane16_q5_0, q4_lane16_q5_1, q4_lane16_q8_0,
    q4_lane16_iq4_nl;

#endif
