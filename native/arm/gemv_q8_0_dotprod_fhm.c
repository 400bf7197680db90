#define GEMV_NAME q4_gemv_q8_0_dotprod_fhm
#define GEMV_TYPE Q8_0
#define GEMV_FHM 1
#include "gemv_lane16.h"
