#define GEMM_NAME q4_gemm_q2_k_dotprod
#define GEMM_TILE q4_tile8x4_k16_min_dotprod
#define FORMAT Q2_K
#include "gemm_k_dotprod.h"
