#define GEMM_NAME q4_gemm_iq4_nl_i8mm
#define DECODE_TYPE IQ4_NL
#include "gemm_i8mm.h"
