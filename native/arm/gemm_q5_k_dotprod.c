#define GEMM_NAME q4_gemm_q5_k_dotprod
#define GEMM_TILE q4_tile8x4_k32_min_dotprod
#define FORMAT Q5_K
#include "gemm_k_dotprod.h"
