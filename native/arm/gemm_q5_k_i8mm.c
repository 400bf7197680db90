#define GEMM_NAME q4_gemm_q5_k_i8mm
#define GEMM_TILE q4_tile4x8_k32_min_i8mm
#define FORMAT Q5_K
#include "gemm_k_i8mm.h"
