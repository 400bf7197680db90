#define KERNEL dotprod
#include "few_q4_0.h"
