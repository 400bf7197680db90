#define GEMM_NAME q4_gemm_iq4_xs_i8mm
#define GEMM_TILE q4_tile4x8_k32_i8mm
#define FORMAT IQ4_XS
#include "gemm_k_i8mm.h"
