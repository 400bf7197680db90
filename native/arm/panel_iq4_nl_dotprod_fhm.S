#define TYPE IQ4_NL
#define FHM 1
#define FUNCTION q4_panel_iq4_nl_dotprod_fhm
#include "panel_lane16.inc"
