#define GEMV_NAME q4_gemv_q5_1_dotprod
#define GEMV_PANEL q4_panel_q5_1_dotprod
#define GEMV_BLOCK LANE16_Q5_1_BYTES
#include "gemv_lane16.h"
