#define TYPE Q5_K
#define FUNCTION2 q4_few2_q5_k_dotprod
#define FUNCTION3 q4_few3_q5_k_dotprod
#define FUNCTION4 q4_few4_q5_k_dotprod
#define FUNCTION8 q4_few8_q5_k_dotprod
#include "panel_few_k16_dotprod.inc"
