#define FUNCTION(WIDTH) q4_few##WIDTH##_q5_0_i8mm
#define BLOCK_BYTES LANE16_Q5_0_BYTES
#define PACK(PAIRS) q4_pack_pairs##PAIRS
#define FEW_I8MM
#include "few_blocks.h"
