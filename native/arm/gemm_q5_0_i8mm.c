#define GEMM_NAME q4_gemm_q5_0_i8mm
#define DECODE_TYPE Q5_0
#include "gemm_i8mm.h"
