#define GEMM_NAME q4_gemm_q2_k_i8mm
#define GEMM_TILE q4_tile4x8_k16_min_i8mm
#define FORMAT Q2_K
#include "gemm_k_i8mm.h"
