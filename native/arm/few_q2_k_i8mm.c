#define FEW_NAME q4_few_q2_k_i8mm
#define FEW_I8MM
#define FORMAT Q2_K
#include "few_k16.h"
