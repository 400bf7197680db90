#define GEMM_NAME q4_gemm_q4_0_dotprod
#define DECODE_TYPE Q4_0
#include "gemm_dotprod.h"
