#define FUNCTION(WIDTH) q4_few##WIDTH##_q8_0_dotprod
#define BLOCK_BYTES LANE16_Q8_0_BYTES
#include "few_blocks.h"
