#define FEW_NAME q4_few_q4_1_dotprod
#define DECODE_TYPE Q4_1
#include "few_lane16.h"
