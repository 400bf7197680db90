#define GEMM_NAME q4_gemm_q5_1_dotprod
#define DECODE_TYPE Q5_1
#include "gemm_dotprod.h"
