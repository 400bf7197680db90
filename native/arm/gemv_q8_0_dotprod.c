#define GEMV_NAME q4_gemv_q8_0_dotprod
#define GEMV_TYPE Q8_0
#define GEMV_FHM 0
#include "gemv_lane16.h"
