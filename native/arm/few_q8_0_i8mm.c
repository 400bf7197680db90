#define FEW_NAME q4_few_q8_0_i8mm
#define FEW_I8MM
#define DECODE_TYPE Q8_0
#include "few_lane16.h"
