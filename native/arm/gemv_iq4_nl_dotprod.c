#define GEMV_NAME q4_gemv_iq4_nl_dotprod
#define GEMV_PANEL q4_panel_iq4_nl_dotprod
#define GEMV_BLOCK LANE16_IQ4_NL_BYTES
#include "gemv_lane16.h"
