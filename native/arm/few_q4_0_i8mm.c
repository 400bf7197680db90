#define FEW_NAME q4_few_q4_0_i8mm
#define FEW_I8MM
#define DECODE_TYPE Q4_0
#include "few_lane16.h"
