#define GEMM_NAME q4_gemm_q4_1_dotprod
#define DECODE_TYPE Q4_1
#include "gemm_dotprod.h"
