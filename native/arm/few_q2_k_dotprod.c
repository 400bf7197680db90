#define FEW_NAME q4_few_q2_k_dotprod
#define FORMAT Q2_K
#include "few_k16.h"
