#define GEMM_NAME q4_gemm_q8_0_i8mm
#define DECODE_TYPE Q8_0
#include "gemm_i8mm.h"
