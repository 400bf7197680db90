#define FUNCTION(WIDTH) q4_few##WIDTH##_q5_0_dotprod
#define BLOCK_BYTES LANE16_Q5_0_BYTES
#include "few_blocks.h"
