#define TYPE Q5_0
#define FHM 0
#define FUNCTION q4_panel_q5_0_dotprod
#include "panel_lane16.inc"
