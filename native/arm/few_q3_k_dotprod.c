#define FEW_NAME q4_few_q3_k_dotprod
#define FORMAT Q3_K
#include "few_k16.h"
