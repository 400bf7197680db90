#define FUNCTION(WIDTH) q4_few##WIDTH##_q4_k_i8mm
#define BLOCK_BYTES K16_Q4_K_BYTES
#define PACK(PAIRS) q4_pack_pairs##PAIRS##_nibbles
#define FEW_I8MM
#include "few_k16_blocks.h"
