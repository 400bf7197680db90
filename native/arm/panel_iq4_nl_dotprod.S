#define TYPE IQ4_NL
#define FHM 0
#define FUNCTION q4_panel_iq4_nl_dotprod
#include "panel_lane16.inc"
