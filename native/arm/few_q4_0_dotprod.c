#define FUNCTION(WIDTH) q4_few##WIDTH##_q4_0_dotprod
#define BLOCK_BYTES LANE16_Q4_0_BYTES
#include "few_blocks.h"
