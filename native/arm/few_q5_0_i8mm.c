#define FEW_NAME q4_few_q5_0_i8mm
#define FEW_I8MM
#define DECODE_TYPE Q5_0
#include "few_lane16.h"
