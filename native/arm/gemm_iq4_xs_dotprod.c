#define GEMM_NAME q4_gemm_iq4_xs_dotprod
#define GEMM_TILE q4_tile8x4_k32_dotprod
#define FORMAT IQ4_XS
#include "gemm_k_dotprod.h"
