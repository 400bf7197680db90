#define TYPE Q8_0
#define FHM 0
#define FUNCTION q4_panel_q8_0_dotprod
#include "panel_lane16.inc"
