#define FEW_NAME q4_few_q4_k_i8mm
#define FEW_I8MM
#define FORMAT Q4_K
#include "few_k16.h"
