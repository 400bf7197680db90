#define GEMM_NAME q4_gemm_q8_0_dotprod
#define DECODE_TYPE Q8_0
#include "gemm_dotprod.h"
