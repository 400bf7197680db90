#define TYPE Q4_0
#define FHM 1
#define FUNCTION q4_panel_q4_0_dotprod_fhm
#include "panel_lane16.inc"
