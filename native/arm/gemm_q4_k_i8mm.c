#define GEMM_NAME q4_gemm_q4_k_i8mm
#define GEMM_TILE q4_tile4x8_k32_min_i8mm
#define FORMAT Q4_K
#include "gemm_k_i8mm.h"
