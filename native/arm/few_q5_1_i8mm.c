#define FEW_NAME q4_few_q5_1_i8mm
#define FEW_I8MM
#define DECODE_TYPE Q5_1
#include "few_lane16.h"
