#define FUNCTION(WIDTH) q4_few##WIDTH##_q4_0_i8mm
#define BLOCK_BYTES LANE16_Q4_0_BYTES
#define PACK(PAIRS) q4_pack_pairs##PAIRS##_nibbles
#define FEW_I8MM
#include "few_blocks.h"
