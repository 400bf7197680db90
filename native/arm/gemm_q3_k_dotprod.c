#define GEMM_NAME q4_gemm_q3_k_dotprod
#define GEMM_TILE q4_tile8x4_k16_32w_dotprod
#define FORMAT Q3_K
#include "gemm_k_dotprod.h"
