#define TYPE Q4_0
#define FHM 0
#define FUNCTION q4_panel_q4_0_dotprod
#include "panel_lane16.inc"
