#define TYPE Q5_1
#define FHM 0
#define FUNCTION q4_panel_q5_1_dotprod
#include "panel_lane16.inc"
