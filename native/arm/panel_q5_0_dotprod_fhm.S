#define TYPE Q5_0
#define FHM 1
#define FUNCTION q4_panel_q5_0_dotprod_fhm
#include "panel_lane16.inc"
