#define GEMV_NAME q4_gemv_q4_0_dotprod
#define GEMV_PANEL q4_panel_q4_0_dotprod
#define GEMV_BLOCK LANE16_Q4_0_BYTES
#include "gemv_lane16.h"
