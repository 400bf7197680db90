#define FEW_NAME q4_few_q5_k_dotprod
#define FORMAT Q5_K
#include "few_k16.h"
