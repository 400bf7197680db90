#define DOTPROD 0
#define Q8_0 1
#define ISA neon
#include "attention.h"
