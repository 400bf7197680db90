#define FEW_NAME q4_few_q6_k_i8mm
#define FEW_I8MM
#define FORMAT Q6_K
#include "few_k16.h"
