#define FUNCTION(WIDTH) q4_few##WIDTH##_q5_k_i8mm
#define BLOCK_BYTES K16_Q5_K_BYTES
#define PACK(PAIRS) q4_pack_pairs##PAIRS
#define FEW_I8MM
#include "few_k16_blocks.h"
