#define GEMM_NAME q4_gemm_q6_k_dotprod
#define GEMM_TILE q4_tile8x4_k16_dotprod
#define FORMAT Q6_K
#include "gemm_k_dotprod.h"
