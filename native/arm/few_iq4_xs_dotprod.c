#define FEW_NAME q4_few_iq4_xs_dotprod
#define FORMAT IQ4_XS
#include "few_k16.h"
