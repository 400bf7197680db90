#define GEMM_NAME q4_gemm_q3_k_i8mm
#define GEMM_TILE q4_tile4x8_k16_32w_i8mm
#define FORMAT Q3_K
#include "gemm_k_i8mm.h"
