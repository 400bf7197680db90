#define DOTPROD 1
#define Q8_0 1
#define ISA dotprod
#include "attention.h"
