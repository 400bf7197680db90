#define GEMM_NAME q4_gemm_q4_0_i8mm
#define DECODE_TYPE Q4_0
#include "gemm_i8mm.h"
