#define FUNCTION(WIDTH) q4_few##WIDTH##_q4_k_dotprod
#define BLOCK_BYTES K16_Q4_K_BYTES
#include "few_k16_blocks.h"
