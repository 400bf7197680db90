#define GEMV_NAME q4_gemv_q8_0_dotprod
#define GEMV_PANEL q4_panel_q8_0_dotprod
#define GEMV_BLOCK LANE16_Q8_0_BYTES
#include "gemv_lane16.h"
