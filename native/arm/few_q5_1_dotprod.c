#define FEW_NAME q4_few_q5_1_dotprod
#define DECODE_TYPE Q5_1
#include "few_lane16.h"
