#define TYPE IQ4_XS
#define FUNCTION q4_panel_iq4_xs_dotprod
#include "panel_k16.inc"
