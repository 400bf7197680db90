#define GEMV_NAME q4_gemv_q4_0_dotprod
#define GEMV_PANEL q4_panel_q4_0_dotprod
#include "gemv_q4_0.h"
