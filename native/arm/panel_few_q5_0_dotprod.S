#define TYPE Q5_0
#define FUNCTION2 q4_few2_q5_0_dotprod
#define FUNCTION3 q4_few3_q5_0_dotprod
#define FUNCTION4 q4_few4_q5_0_dotprod
#define FUNCTION8 q4_few8_q5_0_dotprod
#include "panel_few_lane16_dotprod.inc"
