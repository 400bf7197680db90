#define GEMM_NAME q4_gemm_q5_0_dotprod
#define DECODE_TYPE Q5_0
#include "gemm_dotprod.h"
